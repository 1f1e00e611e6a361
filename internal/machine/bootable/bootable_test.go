package bootable_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/bootc-go/bootc/internal/format/tree"
	"github.com/bootc-go/bootc/internal/machine/bootable"
)

// image makes a tree of files.
func image(files map[string]string) *tree.Tree {
	t := &tree.Tree{Root: &tree.Node{Mode: tree.TypeDir | 0o755}}
	for name, text := range files {
		dir, parts := t.Root, strings.Split(name, "/")
		for _, p := range parts[:len(parts)-1] {
			if dir.Child(p) == nil {
				dir.SetChild(p, &tree.Node{Mode: tree.TypeDir | 0o755})
			}
			dir = dir.Child(p)
		}
		dir.SetChild(parts[len(parts)-1], &tree.Node{Mode: tree.TypeRegular | 0o644, Size: uint64(len(text)), Content: []byte(text)})
	}
	return t
}

// TestArchitecture reads the arguments for the architecture that the system is
// for, whatever machine reads them.
func TestArchitecture(t *testing.T) {
	img := image(map[string]string{
		"usr/lib/modules/6.1/vmlinuz":       "kernel",
		"usr/lib/modules/6.1/initramfs.img": "initrd",
		"usr/lib/bootc/kargs.d/a.toml":      "kargs = [\"all\"]",
		"usr/lib/bootc/kargs.d/b.toml":      "kargs = [\"pc\"]\nmatch-architectures = [\"x86_64\"]",
		"usr/lib/bootc/kargs.d/c.toml":      "kargs = [\"arm\"]\nmatch-architectures = [\"aarch64\"]",
	})
	read := func(n *tree.Node) ([]byte, error) { return n.Content, nil }
	for arch, want := range map[string][]string{"amd64": {"all", "pc"}, "arm64": {"all", "arm"}} {
		s, err := bootable.Read(img, read, arch)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, s.Kargs); diff != "" {
			t.Errorf("arguments for %s (-want +got):\n%s", arch, diff)
		}
	}
}

// TestJudges looks for the unit that says that a boot is good.
func TestJudges(t *testing.T) {
	files := map[string]string{
		"usr/lib/modules/6.1/vmlinuz":       "kernel",
		"usr/lib/modules/6.1/initramfs.img": "initrd",
	}
	for _, want := range []bool{false, true} {
		s, err := bootable.Read(image(files), func(n *tree.Node) ([]byte, error) { return n.Content, nil }, "amd64")
		if err != nil || s.Judges != want {
			t.Errorf("Judges = %v, %v, want %v", s.Judges, err, want)
		}
		files["usr/lib/systemd/system/bootc-bless-boot.service"] = "[Unit]"
	}
}
