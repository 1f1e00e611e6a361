package ext4_test

import (
	"bytes"
	"os"
	"os/exec"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/bootc-go/bootc/internal/format/dumpfile"
	"github.com/bootc-go/bootc/internal/format/tree"
	"github.com/bootc-go/bootc/internal/format/verity"
	"github.com/bootc-go/bootc/internal/linux/dirtree"
)

// TestMounted reads everything back through the kernel.
func TestMounted(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("mounting needs root")
	}
	f := everything()
	image := f.write(t, options(512*mib, nil))
	dir := t.TempDir()
	if out, err := exec.Command("mount", "-o", "ro,loop", image, dir).CombinedOutput(); err != nil {
		t.Skipf("mounting: %v\n%s", err, out)
	}
	defer exec.Command("umount", dir).Run()
	root, err := os.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	got, err := dirtree.Read(t.Context(), root, dirtree.Options{Object: dirtree.Hash(verity.SHA512), HardLinks: true})
	if err != nil {
		t.Fatal(err)
	}
	got.Root.RemoveChild("lost+found")
	f.normalize()
	if diff := cmp.Diff(dump(t, f.Tree), dump(t, got)); diff != "" {
		t.Error("the tree differs after a mount (-want +got)\n", diff)
	}
}

// normalize gives all contents the form that dirtree gives them.
func (f *fixture) normalize() {
	_ = f.Walk(func(_ string, n *tree.Node) error {
		if !n.IsRegular() {
			return nil
		}
		data := n.Content
		switch {
		case !n.Object.IsZero():
			data = f.contents[n.Object]
		case data == nil:
			data = make([]byte, n.Size)
		}
		n.Content, n.Object = nil, verity.Digest{}
		if len(data) <= dirtree.InlineMax {
			n.Content = data
		} else {
			n.Object = verity.Sum(verity.SHA512, data)
		}
		return nil
	})
	f.CountLinks()
}

func dump(t *testing.T, tr *tree.Tree) string {
	t.Helper()
	var b bytes.Buffer
	if err := dumpfile.Write(&b, tr); err != nil {
		t.Fatal(err)
	}
	return b.String()
}
