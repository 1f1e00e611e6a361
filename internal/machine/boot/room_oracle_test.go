package boot_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"testing"

	"github.com/bootc-go/bootc/internal/format/osrelease"
	"github.com/bootc-go/bootc/internal/machine/boot"
)

// clusters is a volume with clusters of a size.
type clusters struct {
	boot.Volume
	size int64
}

func (c clusters) Room() (free, unit int64, err error) { return 1 << 30, c.size, nil }

// TestRoomOracle compares what is counted with what the files of an update take on
// real file systems.
func TestRoomOracle(t *testing.T) {
	for _, tool := range []string{"mkfs.fat", "mcopy", "fsck.fat"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("needs %s", tool)
		}
	}
	for _, sectors := range []int{1, 4, 8} {
		t.Run(fmt.Sprint(sectors*512), func(t *testing.T) {
			unit := int64(sectors * 512)
			root, _ := machineOfOurs(t)
			for n := range 4 { // foreign ones
				write(t, root, fmt.Sprintf("loader/entries/another-system-with-a-long-name-%d.conf", n), "title x\nlinux /y\n")
			}
			l := boot.On(clusters{boot.Mounted(root), unit})
			before := usedClusters(t, root.Name(), sectors)
			kernel, initrd := content(make([]byte, 1_000_001)), content(make([]byte, 2_500_000))
			room, err := l.KernelRoom(kernel, initrd)
			if err != nil {
				t.Fatal(err)
			}
			a, err := l.WriteKernel(ctx, v3.id, kernel, initrd)
			if err != nil {
				t.Fatal(err)
			}
			if err := l.StageEntries(boot.NewEntry(v3.id, osrelease.Release{ID: "debian", VersionID: "13"}, a, "rw composefs="+string(v3.id)), v1.id); err != nil {
				t.Fatal(err)
			}
			// In the switch there is a copy for a moment.
			if err := os.CopyFS(filepath.Join(root.Name(), "loader/entries.next"), os.DirFS(filepath.Join(root.Name(), "loader/entries.staged"))); err != nil {
				t.Fatal(err)
			}
			took := int64(usedClusters(t, root.Name(), sectors)-before) * unit
			if took > room.Needed || took < room.Needed-(64<<10) {
				t.Errorf("the update takes %d bytes, %d were counted", took, room.Needed)
			}
		})
	}
}

// usedClusters counts the clusters that a tree takes on FAT32.
func usedClusters(t *testing.T, dir string, sectors int) int {
	t.Helper()
	image := filepath.Join(t.TempDir(), "esp")
	for _, c := range [][]string{
		{"mkfs.fat", "-C", "-F", "32", "-s", strconv.Itoa(sectors), image, strconv.Itoa(40_000 * sectors)},
		{"mcopy", "-s", "-i", image, filepath.Join(dir, "EFI"), filepath.Join(dir, "loader"), "::"},
	} {
		if out, err := exec.Command(c[0], c[1:]...).CombinedOutput(); err != nil {
			t.Fatalf("%v: %v\n%s", c, err, out)
		}
	}
	out, err := exec.Command("fsck.fat", "-n", image).CombinedOutput()
	m := regexp.MustCompile(`files, (\d+)/\d+ clusters`).FindSubmatch(out)
	if err != nil || m == nil {
		t.Fatalf("fsck.fat: %v\n%s", err, out)
	}
	n, err := strconv.Atoi(string(m[1]))
	if err != nil {
		t.Fatal(err)
	}
	return n
}
