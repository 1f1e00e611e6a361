package etc_test

import (
	"archive/tar"
	"compress/gzip"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/bootc-go/bootc/internal/format/tree"
	"github.com/bootc-go/bootc/internal/format/verity"
	"github.com/bootc-go/bootc/internal/machine/etc"
)

// A vector is one case of testdata: three trees and what is wanted.
type vector struct {
	name      string
	upstream  string
	conflicts []string
	diff      []string
	trees     map[string]*tree.Tree // pristine, current, new
	want      map[string]string     // listings, by tree
}

// contents maps the digest of each file of the vectors to what is in it.
type contents map[verity.Digest][]byte

func loadVectors(t *testing.T) ([]vector, contents) {
	t.Helper()
	var all []vector
	for i, f := range readTSV(t, "testdata/cases.tsv") {
		if i == 0 {
			continue
		}
		v := vector{name: f[0], upstream: f[2], trees: map[string]*tree.Tree{}, want: map[string]string{}}
		if list, ok := strings.CutPrefix(f[3], "conflict: "); ok {
			for p := range strings.SplitSeq(list, ", ") {
				v.conflicts = append(v.conflicts, unescape(p))
			}
		}
		if f[4] != "-" {
			for l := range strings.SplitSeq(f[4], "|") {
				v.diff = append(v.diff, unescape(l))
			}
		}
		for _, name := range []string{"pristine", "current", "new"} {
			v.trees[name] = tree.New()
		}
		all = append(all, v)
	}
	index := map[string]*vector{}
	for i := range all {
		index[all[i].name] = &all[i]
	}
	for _, f := range readTSV(t, "testdata/trees.tsv")[1:] {
		// The column of hard links is left out: they are not kept.
		line := strings.Join([]string{f[2], f[3], f[4], f[5], f[6], f[7], f[9]}, "\t")
		index[f[0]].want[f[1]] += line + "\n"
	}
	data := loadInputs(t, index)
	sock := &tree.Node{Mode: tree.TypeSocket | 0o755}
	index["s-sock"].trees["current"].Root.SetChild("s", sock)
	return all, data
}

func loadInputs(t *testing.T, index map[string]*vector) contents {
	t.Helper()
	f, err := os.Open("testdata/inputs.tar.gz")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	data := contents{}
	for r := tar.NewReader(z); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return data
		}
		if err != nil {
			t.Fatal(err)
		}
		parts := strings.SplitN(path.Clean(h.Name), "/", 3)
		tr := index[parts[0]].trees[parts[1]]
		n := headerNode(t, r, h, data)
		if len(parts) == 2 {
			tr.Root = n
			continue
		}
		dir, base := path.Split(parts[2])
		if h.Typeflag == tar.TypeLink {
			n = tr.Lookup(strings.SplitN(path.Clean(h.Linkname), "/", 3)[2])
		}
		tr.Lookup(dir).SetChild(base, n)
	}
}

func headerNode(t *testing.T, r io.Reader, h *tar.Header, data contents) *tree.Node {
	t.Helper()
	n := &tree.Node{
		Mode: uint32(h.Mode) & 0o7777, UID: uint32(h.Uid), GID: uint32(h.Gid),
		Mtime: tree.Time{Sec: h.ModTime.Unix(), Nsec: uint32(h.ModTime.Nanosecond())},
		Rdev:  uint32(h.Devmajor<<8 | h.Devminor),
	}
	for k, v := range h.PAXRecords {
		if name, ok := strings.CutPrefix(k, "SCHILY.xattr."); ok {
			n.SetXattr(name, v)
		}
	}
	switch h.Typeflag {
	case tar.TypeDir:
		n.Mode |= tree.TypeDir
	case tar.TypeReg:
		n.Mode |= tree.TypeRegular
		body, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		setContent(n, body, data)
	case tar.TypeSymlink:
		n.Mode |= tree.TypeSymlink
		n.Target = h.Linkname
	case tar.TypeFifo:
		n.Mode |= tree.TypeFifo
	case tar.TypeChar:
		n.Mode |= tree.TypeChar
	case tar.TypeBlock:
		n.Mode |= tree.TypeBlock
	case tar.TypeLink:
	default:
		t.Fatalf("%s: type %q", h.Name, h.Typeflag)
	}
	return n
}

// setContent keeps content as an image does: inline up to 64 bytes.
func setContent(n *tree.Node, body []byte, data contents) {
	n.Size = uint64(len(body))
	if len(body) <= 64 {
		n.Content = body
		return
	}
	n.Object = verity.Sum(verity.SHA512, body)
	data[n.Object] = body
}

func (c contents) open(n *tree.Node) (io.ReadCloser, error) {
	body, ok := c[n.Object]
	if !ok {
		return nil, fmt.Errorf("no object %v", n.Object)
	}
	return io.NopCloser(strings.NewReader(string(body))), nil
}

// listing prints a tree as trees.tsv does.
func listing(t *testing.T, tr *tree.Tree, data contents) string {
	t.Helper()
	var lines []string
	err := tr.Walk(func(p string, n *tree.Node) error {
		letter, detail := "?", "-"
		switch n.Type() {
		case tree.TypeDir:
			letter = "d"
		case tree.TypeRegular:
			letter = "f"
			body := n.Content
			if !n.Object.IsZero() {
				var ok bool
				if body, ok = data[n.Object]; !ok {
					return fmt.Errorf("%s: no content for %v", p, n.Object)
				}
			}
			detail = fmt.Sprintf("%x", sha256.Sum256(body))
		case tree.TypeSymlink:
			letter, detail = "l", escape(n.Target)
		case tree.TypeFifo:
			letter = "p"
		case tree.TypeSocket:
			letter = "s"
		case tree.TypeChar:
			letter, detail = "c", fmt.Sprintf("%d:%d", n.Rdev>>8&0xfff, n.Rdev&0xff)
		case tree.TypeBlock:
			letter, detail = "b", fmt.Sprintf("%d:%d", n.Rdev>>8&0xfff, n.Rdev&0xff)
		}
		name := escape(strings.TrimPrefix(p, "/"))
		if p == "/" {
			name = "."
		}
		lines = append(lines, fmt.Sprintf("%s\t%s\t%04o\t%d\t%d\t%s\t%s\n", name, letter, n.Perm(), n.UID, n.GID, detail, xattrText(n)))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return sorted(strings.Join(lines, ""))
}

func sorted(text string) string {
	lines := strings.SplitAfter(text, "\n")
	slices.Sort(lines)
	return strings.Join(lines, "")
}

func xattrText(n *tree.Node) string {
	if len(n.Xattrs) == 0 {
		return "-"
	}
	m := map[string]string{}
	for _, x := range n.Xattrs {
		m[x.Name] = base64.StdEncoding.EncodeToString([]byte(x.Value))
	}
	text, _ := json.Marshal(m)
	return string(text)
}

func escape(s string) string {
	var b strings.Builder
	for i := range len(s) {
		switch c := s[i]; {
		case c == '\\':
			b.WriteString(`\\`)
		case c < 0x21 || c > 0x7e:
			fmt.Fprintf(&b, `\x%02x`, c)
		default:
			b.WriteByte(c)
		}
	}
	return b.String()
}

func unescape(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] != '\\' {
			b.WriteByte(s[i])
			continue
		}
		i++
		if s[i] != 'x' {
			b.WriteByte(s[i])
			continue
		}
		var c byte
		fmt.Sscanf(s[i+1:i+3], "%02x", &c)
		b.WriteByte(c)
		i += 2
	}
	return b.String()
}

func readTSV(t *testing.T, name string) [][]string {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	var rows [][]string
	for line := range strings.SplitSeq(strings.TrimSuffix(string(text), "\n"), "\n") {
		rows = append(rows, strings.Split(line, "\t"))
	}
	return rows
}

// TestMergeVectors plans every case in memory.
func TestMergeVectors(t *testing.T) {
	vectors, data := loadVectors(t)
	for _, v := range vectors {
		t.Run(v.name, func(t *testing.T) {
			for name, tr := range v.trees {
				if diff := cmp.Diff(sorted(v.want[name]), listing(t, tr, data)); diff != "" && v.name != "s-sock" {
					t.Fatalf("the input %s is not as listed (-want +got):\n%s", name, diff)
				}
			}
			plan, conflicts := etc.Merge(v.trees["pristine"], v.trees["current"], v.trees["new"])
			if diff := cmp.Diff(v.conflicts, paths(conflicts)); diff != "" {
				t.Errorf("conflicts (-want +got):\n%s", diff)
			}
			if v.conflicts != nil {
				return
			}
			if diff := cmp.Diff(sorted(v.want["ours"]), listing(t, plan.Result(), data)); diff != "" {
				t.Errorf("merged tree (-want +got):\n%s\nplan:\n%v", diff, plan)
			}
		})
	}
	if len(vectors) < 100 {
		t.Errorf("%d cases", len(vectors))
	}
}

// TestDiffVectors compares the lines that tell what was changed. Where upstream
// fails while it reads the trees, there are none to compare with.
func TestDiffVectors(t *testing.T) {
	vectors, _ := loadVectors(t)
	for _, v := range vectors {
		if v.upstream == "fails in the merge" && v.diff == nil {
			continue
		}
		var got []string
		for _, c := range etc.DiffNext(v.trees["pristine"], v.trees["current"], v.trees["new"]) {
			got = append(got, c.String())
		}
		if diff := cmp.Diff(v.diff, got); diff != "" {
			t.Errorf("%s: lines (-want +got):\n%s", v.name, diff)
		}
	}
}

func paths(conflicts []etc.Conflict) []string {
	var all []string
	for _, c := range conflicts {
		all = append(all, c.Path)
	}
	return all
}
