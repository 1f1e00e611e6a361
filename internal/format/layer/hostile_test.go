package layer_test

import (
	"archive/tar"
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/bootc-go/bootc/internal/format/layer"
	"github.com/bootc-go/bootc/internal/format/tree"
	"github.com/bootc-go/bootc/internal/format/verity"
)

// A file is a line of a tar in tests.
type file struct {
	tar.Header
	data string
}

func dir(name string) file { return file{Header: tar.Header{Name: name, Typeflag: '5', Mode: 0o755}} }
func reg(name, data string) file {
	return file{tar.Header{Name: name, Typeflag: '0', Mode: 0o644, Size: int64(len(data))}, data}
}
func link(name, target string) file {
	return file{Header: tar.Header{Name: name, Typeflag: '1', Linkname: target}}
}
func symlink(name, target string) file {
	return file{Header: tar.Header{Name: name, Typeflag: '2', Mode: 0o777, Linkname: target}}
}
func pax(f file, records map[string]string) file {
	f.PAXRecords, f.Format = records, tar.FormatPAX
	return f
}

func pack(t testing.TB, files ...file) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, f := range files {
		if err := w.WriteHeader(&f.Header); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, f.data); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// change changes the first header of a tar and corrects its checksum.
func change(data []byte, at int, with string) []byte {
	data = bytes.Clone(data)
	copy(data[at:], with)
	sum := 8 * int(' ')
	for i, c := range data[:512] {
		if i < 148 || i >= 156 {
			sum += int(c)
		}
	}
	copy(data[148:156], fmt.Sprintf("%06o\x00 ", sum))
	return data
}

// rawPAX is a PAX header with any data, before a file.
func rawPAX(t testing.TB, data string) []byte {
	t.Helper()
	return append(change(pack(t, reg("PaxHeaders/f", data)), 156, "x")[:512+len(data)+(-len(data)&511)], pack(t, reg("f", "x"))...)
}

func newSink() sink { return sink{verity.SHA512, map[verity.Digest][]byte{}} }

func read(data []byte, l layer.Limits) (*layer.Layer, error) {
	return layer.Read(bytes.NewReader(data), newSink(), nil, l)
}

// apply makes the tree of some layers.
func apply(layers ...[]byte) (*tree.Tree, error) {
	t := tree.New()
	for _, data := range layers {
		l, err := read(data, layer.Limits{})
		if err != nil {
			return nil, err
		}
		if err := layer.Apply(t, l); err != nil {
			return nil, err
		}
	}
	return t, nil
}

// TestReadRefuses checks that what cannot be kept or is ambiguous is refused
// with an error that names the entry.
func TestReadRefuses(t *testing.T) {
	f := pack(t, reg("some/file", "x"))
	big := pack(t, reg("some/file", strings.Repeat("x", 1000)))
	tests := []struct {
		name  string
		data  []byte
		error string
	}{
		{"dotdot", pack(t, reg("a/../b", "")), `entry "a/../b": path "a/../b" has a .. component`},
		{"dotdot link", pack(t, link("a", "../b")), `entry "a": target of the hard link: path "../b" has a .. component`},
		{"link without target", pack(t, link("a", "")), `entry "a": target of the hard link: empty path`},
		{"empty path", change(f, 0, strings.Repeat("\x00", 100)), `entry "": empty path`},
		{"long name", pack(t, reg(strings.Repeat("n", 256), "")), "has a component of 256 bytes, at most 255 are allowed"},
		{"deep path", pack(t, reg(strings.Repeat("a/", 2047)+"f", "")), "path of 2048 components, at most 2047 are allowed"},
		{"long path", pack(t, reg(strings.Repeat(strings.Repeat("n", 200)+"/", 400)+"f", "")), "path of 80401 bytes, at most 65535 are allowed"},
		{"root is a file", change(pack(t, reg("f", "x")), 0, "./"), `entry "./": the root is not a directory`},
		{"root is a link", pack(t, link(".", "a")), `entry ".": the root is not a directory`},
		{"empty symlink", pack(t, symlink("a", "")), `entry "a": symbolic link with a text of 0 bytes, it must have 1 to 4095 and no NUL`},
		{"long symlink", pack(t, symlink("a", strings.Repeat("x", 4096))), `entry "a": symbolic link with a text of 4096 bytes, it must have 1 to 4095 and no NUL`},
		{"checksum", append(append(bytes.Clone(f[:10]), 'x'), f[11:]...), `header checksum is `},
		{"negative mtime", change(f, 136, "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"), `entry "some/file": mtime: negative number`},
		{"huge size", change(f, 124, "\x80\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"), `entry "some/file": size: number is too large`},
		{"not octal", change(f, 100, "0000998\x00"), `entry "some/file": mode: "0000998" is not an octal number`},
		{"two numbers", change(f, 124, "\x0000000000001"), `entry "some/file": size: `},
		{"sparse", change(f, 156, "S"), `entry "some/file": type 'S' is not supported`},
		{"PAX sparse", rawPAX(t, "22 GNU.sparse.major=1\n"), `entry "f": sparse files are not supported`},
		{"socket", change(f, 156, "s"), `entry "some/file": type 's' is not supported`},
		{"directory with content", change(f, 156, "5"), `entry "some/file": type '5' with a content of 1 bytes`},
		{"link with content", change(f, 156, "1"), `entry "some/file": type '1' with a content of 1 bytes`},
		{"device number", pack(t, file{Header: tar.Header{Name: "d", Typeflag: '3', Devmajor: 4096}}), `entry "d": device number 4096:0, at most 4095:1048575 is possible`},
		{"cut in the header", f[:100], "the archive ends in the middle of a header"},
		{"cut in a small file", f[:512], `entry "some/file": the archive ends in the middle of it`},
		{"cut in the padding", f[:600], `entry "some/file": the archive ends in the middle of it`},
		{"cut in a large file", big[:600], `entry "some/file": the archive ends in the middle of it`},
		{"end after an extension", rawPAX(t, "9 path=a\n")[:1024], "the archive ends after an extension header"},
		{"zeros after an extension", append(rawPAX(t, "9 path=a\n")[:1024], make([]byte, 1024)...), "the archive ends after an extension header"},
		{"one block of zeros", append(make([]byte, 512), f...), "a block of zeros in the middle of the archive"},
		{"PAX length", rawPAX(t, "90 path=a\n"), `entry "PaxHeaders/f": malformed PAX header`},
		{"PAX without newline", rawPAX(t, "9 path=ab"), `malformed PAX header`},
		{"PAX without value", rawPAX(t, "8 pathx\n"), `malformed PAX header`},
		{"PAX key", rawPAX(t, "7 \xff=ab\n"), `malformed PAX header`},
		{"PAX size", rawPAX(t, "11 size=-1\n"), `entry "f": PAX size is "-1", want a decimal number`},
		{"PAX uid", rawPAX(t, "8 uid=x\n"), `entry "f": PAX uid is "x", want a decimal number`},
		{"PAX mtime", rawPAX(t, "14 mtime=-1.5\n"), `entry "f": PAX mtime is "-1.5", want seconds since 1970`},
		{"PAX path with NUL", rawPAX(t, "12 path=a\x00b\n"), "has a NUL byte"},
		{"PAX empty path", rawPAX(t, "8 path=\n"), "empty path"},
		{"PAX xattr without name", rawPAX(t, "18 SCHILY.xattr.=\n"), `extended attribute with the name ""`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			_, err := read(test.data, layer.Limits{})
			if err == nil || !strings.Contains(err.Error(), test.error) {
				t.Errorf("Read: %v, want %s", err, test.error)
			}
		})
	}
}

// TestLimits checks each limit at its value and one beyond.
func TestLimits(t *testing.T) {
	three := pack(t, dir("a"), reg("a/b", "0123456789"), symlink("c", "target"))
	records := rawPAX(t, "21 comment=012345678\n")
	tests := []struct {
		name  string
		data  []byte
		l     layer.Limits
		error string
	}{
		{"entries", three, layer.Limits{Entries: 3}, ""},
		{"entries", three, layer.Limits{Entries: 2}, "the layer has more than 2 entries"},
		{"metadata", three, layer.Limits{Metadata: 1 + 3 + 10 + 1 + 6}, ""},
		{"metadata", three, layer.Limits{Metadata: 1 + 3 + 10 + 1 + 5}, "the layer has more than 20 bytes of names, attributes and small files"},
		{"extension", records, layer.Limits{Extension: 21}, ""},
		{"extension", records, layer.Limits{Extension: 20}, `entry "PaxHeaders/f": extension headers of more than 20 bytes`},
		{"two extensions", append(records[:1024:1024], records...), layer.Limits{Extension: 41}, `entry "PaxHeaders/f": extension headers of more than 41 bytes`},
		{"1 MiB", rawPAX(t, fmt.Sprintf("%d comment=%s\n", 1<<20, strings.Repeat("x", 1<<20-17))), layer.Limits{}, ""},
		{"1 MiB and more", rawPAX(t, fmt.Sprintf("%d comment=%s\n", 1<<20+1, strings.Repeat("x", 1<<20-16))), layer.Limits{}, "extension headers of more than 1048576 bytes"},
	}
	for _, test := range tests {
		_, err := read(test.data, test.l)
		if got := fmt.Sprint(err); (test.error == "") != (err == nil) || !strings.Contains(got, test.error) && err != nil {
			t.Errorf("%s %+v: %v, want %q", test.name, test.l, err, test.error)
		}
	}
}

// TestApplyRefuses checks what only shows when the layers meet.
func TestApplyRefuses(t *testing.T) {
	base := pack(t, dir("usr"), dir("usr/bin"), reg("usr/bin/sh", "sh"), symlink("bin", "usr/bin"), symlink("up", "../.."))
	tests := []struct {
		name  string
		file  file
		error string
	}{
		{"through a symlink", reg("bin/tool", ""), `entry "bin/tool": the path goes through "bin", a symbolic link to "usr/bin"`},
		{"through a symlink that leaves", reg("up/etc/passwd", ""), `entry "up/etc/passwd": the path goes through "up", a symbolic link to "../.."`},
		{"through a file", reg("usr/bin/sh/x", ""), `entry "usr/bin/sh/x": the path goes through "sh", which is not a directory`},
		{"whiteout through a symlink", reg("bin/.wh.sh", ""), `entry "bin/.wh.sh": the path goes through "bin", a symbolic link to "usr/bin"`},
		{"opaque marker in a file", reg("usr/bin/sh/.wh..wh..opq", ""), `the path goes through "sh", which is not a directory`},
		{"reserved directory", reg(".wh.x/y", ""), `entry ".wh.x/y": the path goes through ".wh.x"; such names are for whiteouts`},
		{"link to nothing", link("a", "usr/none"), `entry "a": hard link to "usr/none", which does not exist`},
		{"link to a directory", link("a", "usr"), `entry "a": hard link to "usr", which is a directory`},
		{"link to the root", link("a", "/"), `entry "a": hard link to "", which is the root directory`},
		{"link through a symlink", link("a", "bin/sh"), `entry "a": hard link to "bin/sh", which goes through a symbolic link`},
		{"link through a file", link("a", "usr/bin/sh/x"), `hard link to "usr/bin/sh/x", which goes through something that is not a directory`},
		{"forward link", link("a", "later"), `entry "a": hard link to "later", which does not exist`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			_, err := apply(base, pack(t, test.file, reg("later", "")))
			if err == nil || !strings.Contains(err.Error(), test.error) {
				t.Errorf("Apply: %v, want %s", err, test.error)
			}
			var entry *layer.EntryError
			if !errors.As(err, &entry) || entry.Path != test.file.Name {
				t.Errorf("the error names %v, want entry %s", entry, test.file.Name)
			}
		})
	}
}

// TestApply checks the rules of whiteouts and of what replaces what: the names
// of the tree afterwards, hard links with "=" and the first name.
func TestApply(t *testing.T) {
	lower := []file{dir("d"), dir("d/e"), reg("d/e/f", "lower"), reg("d/g", ""), reg("h", "")}
	tests := []struct {
		name  string
		upper []file
		want  string
	}{
		{"nothing", nil, "d/ d/e/ d/e/f d/g h"},
		{"whiteout", []file{reg("d/.wh.e", "")}, "d/ d/g h"},
		{"whiteout of a directory", []file{reg(".wh.d", "")}, "h"},
		{"whiteout of nothing", []file{reg("d/.wh.x", ""), reg("x/y/.wh.z", ""), reg(".wh.", ""), reg(".wh...", ""), reg(".wh..", "")}, "d/ d/e/ d/e/f d/g h"},
		{"whiteout of its own layer's file", []file{reg("d/n", ""), reg("d/.wh.n", "")}, "d/ d/e/ d/e/f d/g d/n h"},
		{"opaque", []file{reg("d/.wh..wh..opq", ""), reg("d/n", "")}, "d/ d/n h"},
		{"opaque comes last", []file{dir("d"), reg("d/n", ""), reg("d/.wh..wh..opq", "")}, "d/ d/n h"},
		{"opaque root", []file{reg(".wh..wh..opq", ""), reg("n", "")}, "n"},
		{"whiteout, then a parent without entry", []file{reg(".wh.d", ""), reg("d/e/n", "")}, "d/ d/e/ d/e/n h"},
		{"whiteout of a type that it is not", []file{dir(".wh.h"), dir("d/.wh.e")}, "d/ d/g"},
		{"directory over directory", []file{dir("d")}, "d/ d/e/ d/e/f d/g h"},
		{"directory over file", []file{dir("h"), reg("h/n", "")}, "d/ d/e/ d/e/f d/g h/ h/n"},
		{"file over directory", []file{reg("d", "")}, "d h"},
		{"file over directory and back", []file{reg("d", ""), dir("d")}, "d/ h"},
		{"odd slashes", []file{reg("/d//n", ""), reg("./d/./o", ""), dir("./"), dir("/")}, "d/ d/e/ d/e/f d/g d/n d/o h"},
		{"link to a lower file", []file{link("d/l", "./d/e/f")}, "d/ d/e/ d/e/f d/g d/l=d/e/f h"},
		{"link over its target's directory", []file{link("d", "d/g")}, "d h"},
		{"link to itself", []file{link("h", "h")}, "d/ d/e/ d/e/f d/g h"},
		{"link, then the target is hidden", []file{link("l", "d/e/f"), reg("d/e/.wh.f", "")}, "d/ d/e/ d/g h l"},
		{"link, then the target is replaced", []file{link("l", "h"), reg("h", "new")}, "d/ d/e/ d/e/f d/g h l"},
		{"many links", []file{link("a", "h"), link("b", "a"), link("c", "b")}, "a b=a c=a d/ d/e/ d/e/f d/g h=a"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			tr, err := apply(pack(t, lower...), pack(t, test.upper...))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, names(tr)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// names lists the tree: directories with a slash, further names of a file with
// its first one.
func names(t *tree.Tree) string {
	var all []string
	first := map[*tree.Node]string{}
	t.Walk(func(path string, n *tree.Node) error {
		path = strings.TrimPrefix(path, "/")
		switch other, again := first[n]; {
		case path == "":
		case again:
			all = append(all, path+"="+other)
		case n.IsDir():
			all = append(all, path+"/")
		default:
			first[n] = path
			all = append(all, path)
		}
		return nil
	})
	return strings.Join(all, " ")
}

// TestHiddenLink checks that a hard link to what only a lower layer has is
// refused when the whiteout comes first.
func TestHiddenLink(t *testing.T) {
	_, err := apply(pack(t, reg("h", "")), pack(t, reg(".wh.h", ""), link("l", "h")))
	if err == nil || !strings.Contains(err.Error(), `hard link to "h", which does not exist`) {
		t.Errorf("Apply: %v, want an error", err)
	}
}

// TestMissingParents checks the attributes of directories without an entry, and
// that an entry that comes later sets them.
func TestMissingParents(t *testing.T) {
	later := dir("a")
	later.Mode, later.Uid, later.ModTime = 0o700, 7, later.ModTime.AddDate(1999, 0, 0)
	tr, err := apply(pack(t, reg("a/b/c", "")), pack(t, later))
	if err != nil {
		t.Fatal(err)
	}
	if n := tr.Lookup("a/b"); n.Mode != tree.TypeDir|0o755 || n.UID != 0 || n.Mtime != (tree.Time{}) {
		t.Errorf("a/b is %o of %d at %v", n.Mode, n.UID, n.Mtime)
	}
	if n := tr.Lookup("a"); n.Mode != tree.TypeDir|0o700 || n.UID != 7 || n.Len() != 1 {
		t.Errorf("a is %o of %d with %d entries", n.Mode, n.UID, n.Len())
	}
}

// TestLayerTwice checks that a layer that an image has twice gives new files
// the second time.
func TestLayerTwice(t *testing.T) {
	twice, err := read(pack(t, dir("d"), reg("d/a", ""), link("d/b", "d/a")), layer.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	between, err := read(pack(t, reg("d/n", ""), link("l", "d/a"), file{Header: tar.Header{Name: "d", Typeflag: '5', Mode: 0o700}}), layer.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	hide, err := read(pack(t, reg(".wh.d", "")), layer.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	tr := tree.New()
	for _, l := range []*layer.Layer{twice, between, hide, twice} {
		if err := layer.Apply(tr, l); err != nil {
			t.Fatal(err)
		}
	}
	if got, want := names(tr), "d/ d/a d/b=d/a l"; got != want {
		t.Errorf("tree is %s, want %s", got, want)
	}
	if n := tr.Lookup("d"); n.Perm() != 0o755 {
		t.Errorf("d has the mode %o, want 755", n.Perm())
	}
}

// TestAttributes checks what headers and PAX records say.
func TestAttributes(t *testing.T) {
	f := pax(reg("f", "x"), map[string]string{
		"SCHILY.xattr.user.b": "2\x00\xff", "SCHILY.xattr.user.a": "1", "LIBARCHIVE.xattr.user.l": "AA", "comment": "x",
	})
	f.Mode, f.Uid, f.Gid, f.ModTime = 0o7755, 1<<21, 3, time.Unix(5, 250_000_000)
	d := file{Header: tar.Header{Name: "d", Typeflag: '4', Devmajor: 0xabc, Devminor: 0xdef12}}
	tr, err := apply(pack(t, f, d, symlink("s", "/../../etc")))
	if err != nil {
		t.Fatal(err)
	}
	n := tr.Lookup("f")
	want := []tree.Xattr{{Name: "user.a", Value: "1"}, {Name: "user.b", Value: "2\x00\xff"}}
	if diff := cmp.Diff(want, n.Xattrs); diff != "" {
		t.Error(diff)
	}
	if n.Mode != tree.TypeRegular|0o7755 || n.UID != 1<<21 || n.GID != 3 || n.Mtime != (tree.Time{Sec: 5, Nsec: 250_000_000}) {
		t.Errorf("f is %o of %d:%d at %v", n.Mode, n.UID, n.GID, n.Mtime)
	}
	if n := tr.Lookup("d"); n.Rdev != 0xdefabc12 {
		t.Errorf("the device number is %x, want defabc12", n.Rdev)
	}
	if n := tr.Lookup("s"); n.Target != "/../../etc" {
		t.Errorf("the link text is %q", n.Target)
	}
}

// TestSink checks that an error of the sink is passed on, and a sink that does
// not read all is found out.
func TestSink(t *testing.T) {
	data := pack(t, reg("f", strings.Repeat("x", 1000)))
	full := errors.New("no space")
	_, err := layer.Read(bytes.NewReader(data), sinkFunc(func(io.Reader) error { return full }), nil, layer.Limits{})
	if !errors.Is(err, full) {
		t.Errorf("Read: %v, want %v", err, full)
	}
	_, err = layer.Read(bytes.NewReader(data), sinkFunc(func(io.Reader) error { return nil }), nil, layer.Limits{})
	if err == nil || !strings.Contains(err.Error(), "1000 of 1000 bytes were not read") {
		t.Errorf("Read: %v, want an internal error", err)
	}
	_, err = layer.Read(bytes.NewReader(data[:700]), sinkFunc(func(r io.Reader) error {
		if _, err := io.Copy(io.Discard, r); err != io.ErrUnexpectedEOF {
			t.Errorf("the sink's reader ends with %v, want %v", err, io.ErrUnexpectedEOF)
		}
		return nil
	}), nil, layer.Limits{})
	if err == nil {
		t.Error("Read of a layer that is cut short: no error")
	}
}

type sinkFunc func(io.Reader) error

func (f sinkFunc) Object(r io.Reader, _ int64) (verity.Digest, error) { return verity.Digest{}, f(r) }

// TestMillionEntries checks that a large layer is ordinary.
func TestMillionEntries(t *testing.T) {
	if testing.Short() {
		t.Skip("a million entries take some seconds")
	}
	const count = 1_000_000
	pr, pw := io.Pipe()
	go func() {
		buffered := bufio.NewWriterSize(pw, 1<<20)
		w := tar.NewWriter(buffered)
		for i := range count {
			w.WriteHeader(&tar.Header{Name: fmt.Sprintf("d%03d/f%06d", i/1000, i), Typeflag: '0', Mode: 0o644})
		}
		w.Close()
		buffered.Flush()
		pw.Close()
	}()
	l, err := layer.Read(bufio.NewReaderSize(pr, 1<<20), newSink(), nil, layer.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	tr := tree.New()
	if err := layer.Apply(tr, l); err != nil {
		t.Fatal(err)
	}
	if len(l.Entries) != count || tr.Root.Len() != 1000 {
		t.Errorf("%d entries in %d directories, want %d in 1000", len(l.Entries), tr.Root.Len(), count)
	}
}
