package install

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/bootc-go/bootc/internal/format/installconfig"
	"github.com/bootc-go/bootc/internal/format/tree"
	"github.com/bootc-go/bootc/internal/linux/dir"
)

// better is where what is wanted is not what was recorded from upstream: the last
// file says what the root's file system is, and links are followed.
func better(name, recorded string) string {
	switch name {
	case "fs-both-files":
		return strings.ReplaceAll(recorded, "ext4", "xfs")
	case "symlink-etc":
		return strings.ReplaceAll(recorded, "usr", "x")
	}
	return recorded
}

// TestConfig checks the cases that were recorded from upstream on x86_64: a tree,
// and what print-configuration prints of it, with --all and without. Each is read
// from a directory and from a tree in memory.
func TestConfig(t *testing.T) {
	b := newBoth(t)
	b.unpack("testdata/config.tar.gz")
	data, err := os.ReadFile("testdata/config.tsv")
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(string(data)), "\n")[1:]
	if len(lines) != 61 {
		t.Errorf("%d cases, want 61", len(lines))
	}
	for _, line := range lines {
		f := strings.Split(line, "\t")
		name, status, all, some := f[0], f[2], f[3], f[4]
		if some == "=" {
			some = all
		}
		want := [2]string{better(name, all), better(name, some)}
		if status != "0" {
			want = [2]string{"error", "error"}
		}
		for where, got := range b.read(name) {
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("%s (%s), %s (-want +got):\n%s", name, f[1], where, diff)
			}
		}
	}
}

// print is what is printed of a configuration, with the kernel arguments and
// without.
func print(c *installconfig.Config, err error) (lines [2]string) {
	if err != nil {
		return [2]string{"error", "error"}
	}
	for n, all := range []bool{true, false} {
		var b bytes.Buffer
		if err := c.Print(&b, all); err != nil {
			lines[n] = err.Error()
		}
		lines[n] = strings.TrimSuffix(b.String(), "\n")
	}
	return lines
}

// both is one tree twice: in a directory and in memory.
type both struct {
	*testing.T
	dir  string
	tree *tree.Tree
}

func newBoth(t *testing.T) *both {
	return &both{T: t, dir: t.TempDir(), tree: &tree.Tree{Root: &tree.Node{Mode: tree.TypeDir | 0o755}}}
}

// add makes a file, a link or a directory, and the directories above it.
func (b *both) add(name string, n *tree.Node) {
	b.Helper()
	name = filepath.Clean(name)
	path := filepath.Join(b.dir, name)
	err := os.MkdirAll(filepath.Dir(path), 0o755)
	switch {
	case err != nil:
	case n.IsDir():
		err = os.Mkdir(path, 0o755)
	case n.IsSymlink():
		err = os.Symlink(n.Target, path)
	default:
		err = os.WriteFile(path, n.Content, 0o644)
	}
	if err != nil {
		b.Fatal(err)
	}
	in := b.tree.Root
	parts := strings.Split(name, "/")
	for _, part := range parts[:len(parts)-1] {
		if in.Child(part) == nil {
			in.SetChild(part, &tree.Node{Mode: tree.TypeDir | 0o755})
		}
		in = in.Child(part)
	}
	in.SetChild(parts[len(parts)-1], n)
}

func (b *both) file(name, text string) {
	b.add(name, &tree.Node{Mode: tree.TypeRegular | 0o644, Content: []byte(text), Size: uint64(len(text))})
}

func (b *both) link(name, target string) {
	b.add(name, &tree.Node{Mode: tree.TypeSymlink | 0o777, Target: target})
}

// read reads what is below a directory as the root.
func (b *both) read(name string) map[string][2]string {
	b.Helper()
	root, err := dir.Open(filepath.Join(b.dir, name))
	if err != nil {
		b.Fatal(err)
	}
	defer root.Close()
	content := func(n *tree.Node) ([]byte, error) { return n.Content, nil }
	return map[string][2]string{
		"in a directory": print(ReadConfig(root, "amd64")),
		"in memory":      print(readImageConfig(&tree.Tree{Root: b.tree.Lookup(name)}, content, "amd64")),
	}
}

// unpack adds what is in an archive.
func (b *both) unpack(name string) {
	b.Helper()
	f, err := os.Open(name)
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		b.Fatal(err)
	}
	for r := tar.NewReader(z); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			b.Fatal(err)
		}
		data, err := io.ReadAll(r)
		if err != nil {
			b.Fatal(err)
		}
		switch h.Typeflag {
		case tar.TypeDir:
			b.add(h.Name, &tree.Node{Mode: tree.TypeDir | 0o755})
		case tar.TypeSymlink:
			b.link(h.Name, h.Linkname)
		default:
			b.file(h.Name, string(data))
		}
	}
}

// TestConfigLinks is what links do: hide, lead inside the root, lead nowhere.
func TestConfigLinks(t *testing.T) {
	b := newBoth(t)
	const usr, etc = "usr/lib/bootc/install/", "etc/bootc/install/"
	b.file(usr+"hidden.toml", "install.kargs = [\"hidden\"]")
	b.link(etc+"hidden.toml", "/dev/null")
	b.file(usr+"kept.toml", "install.kargs = [\"kept\"]")
	b.link(etc+"kept.toml", "/etc/nothing")
	b.link(usr+"loop.toml", "loop.toml")
	b.link(usr+"dir.toml", "/usr")
	b.link(usr+"outside.toml", "../../../../../../../etc/site")
	b.file("etc/site", "install.kargs = [\"site\"]")
	b.link("run/bootc/install", "/opt/defaults")
	b.file("opt/defaults/there.toml", "install.kargs = [\"there\"]")
	b.file("usr/local/lib/bootc", "not a directory")
	for where, got := range b.read("") {
		if !strings.Contains(got[0], `"kargs":["kept","site","there"],`) {
			t.Errorf("%s: %s", where, got[0])
		}
	}
}

// TestConfigError names the file.
func TestConfigError(t *testing.T) {
	b := newBoth(t)
	b.file("usr/lib/bootc/install/a.toml", "[install]\nkargs = 1\n")
	root, err := dir.Open(b.dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	if _, err := ReadConfig(root, "amd64"); err == nil || !strings.Contains(err.Error(), "/usr/lib/bootc/install/a.toml: line 2") {
		t.Errorf("the error is %v", err)
	}
}
