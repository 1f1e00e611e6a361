package fat_test

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/bootc-go/bootc/internal/format/fat"
)

// TestFsck has dosfstools look for anything that is not as it should be.
func TestFsck(t *testing.T) {
	fsck := tool(t, "fsck.fat")
	for name, files := range samples() {
		for _, sectorSize := range []int{512, 4096} {
			o := options
			if o.SectorSize = sectorSize; sectorSize == 4096 {
				o.Size, o.Label = 300*mebi, ""
			}
			d := write(t, files, o)
			out, err := exec.Command(fsck, "-n", "-v", d.Name()).CombinedOutput()
			if err != nil {
				t.Errorf("%s, sectors of %d: %v\n%s", name, sectorSize, err, out)
			}
			checkOutput(t, name, string(out))
		}
	}
}

// TestFsckLarge does so with volumes of other clusters.
func TestFsckLarge(t *testing.T) {
	fsck := tool(t, "fsck.fat")
	for _, size := range []int64{261 * mebi, 9 << 30, 17 << 30, 33 << 30} {
		o := options
		o.Size = size
		files := samples()["ESP"]
		d := write(t, files, o)
		compare(t, files, readVolume(t, d))
		out, err := exec.Command(fsck, "-n", "-v", d.Name()).CombinedOutput()
		if err != nil {
			t.Errorf("%d MiB: %v\n%s", size/mebi, err, out)
		}
		checkOutput(t, fmt.Sprint(size/mebi, " MiB"), string(out))
	}
}

// checkOutput fails for lines that fsck.fat prints of problems only.
func checkOutput(t *testing.T, name, out string) {
	t.Helper()
	usual := regexp.MustCompile(`^(fsck.fat .*|Checking .*\.?|Boot sector contents:|System ID "MSWIN4.1"|Media byte 0xf8 \(hard disk\)|` +
		` *\d+ bytes per (logical sector|cluster)| *\d+ reserved sectors| *2 FATs, 32 bit entries| *\d+ bytes per FAT \(= \d+ sectors\)|` +
		`(First FAT|Data area) starts at byte \d+ \(sector \d+\)|Root directory start at cluster 2 \(arbitrary size\)| *\d+ data clusters \(\d+ bytes\)|` +
		`32 sectors/track, 64 heads| *\d+ hidden sectors| *\d+ sectors total|[^ ]*: \d+ files, \d+/\d+ clusters)$`)
	for line := range strings.Lines(out) {
		if line = strings.TrimSuffix(line, "\n"); !usual.MatchString(line) {
			t.Errorf("%s: fsck.fat says %q", name, line)
		}
	}
}

// TestMtools has mtools copy everything out of a volume.
func TestMtools(t *testing.T) {
	mcopy, minfo := tool(t, "mcopy"), tool(t, "minfo")
	for name, files := range samples() {
		if name == "nothing" || name == "strange" {
			continue // mcopy wants a file
		}
		d := write(t, files, options)
		run := func(args ...string) string {
			t.Helper()
			cmd := exec.Command(args[0], args[1:]...)
			cmd.Env = append(os.Environ(), "LC_ALL=C.UTF-8", "TZ=UTC")
			out, err := cmd.CombinedOutput()
			if err != nil {
				t.Fatalf("%s: %v: %v\n%s", name, args, err, out)
			}
			return string(out)
		}
		if out := run(minfo, "-i", d.Name(), "::"); !strings.Contains(out, "serial number: 1234ABCD") || !strings.Contains(out, `disk label="EFI-SYSTEM "`) {
			t.Errorf("%s: minfo says %s", name, out)
		}
		top := t.TempDir()
		if out := run(mcopy, "-s", "-n", "-m", "-i", d.Name(), "::*", top); out != "" {
			t.Errorf("%s: mcopy says %s", name, out)
		}
		compareTree(t, files, top)
	}
}

func compareTree(t *testing.T, files []fat.File, top string) {
	t.Helper()
	count := 0
	err := filepath.WalkDir(top, func(_ string, e fs.DirEntry, err error) error {
		if !e.IsDir() {
			count++
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		path := filepath.Join(top, f.Name)
		info, err := os.Stat(path)
		if err != nil {
			t.Error(err)
			continue
		}
		if strings.HasSuffix(f.Name, "/") {
			continue
		}
		count--
		if got, err := os.ReadFile(path); err != nil || !bytes.Equal(got, noise(f.Name, int(f.Size))) {
			t.Errorf("%q: other contents, %v", f.Name, err)
		}
		if got, want := info.ModTime().Unix(), options.Time.Unix()-1; got != want {
			t.Errorf("%q: time %d, want %d", f.Name, got, want)
		}
	}
	if count != 0 {
		t.Errorf("%d files too many", count)
	}
}

// TestMkfs compares our clusters with those that mkfs.fat chooses.
func TestMkfs(t *testing.T) {
	mkfs := tool(t, "mkfs.fat")
	for _, size := range []int64{33, 64, 260, 261, 1024, 8192, 8193} {
		o := options
		o.Size = size * mebi
		theirs := newDisk(t, o.Size)
		if out, err := exec.Command(mkfs, "-F", "32", theirs.Name()).CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		var boot [512]byte
		if _, err := theirs.ReadAt(boot[:], 0); err != nil {
			t.Fatal(err)
		}
		image, err := fat.New(nil, o)
		if err != nil {
			t.Fatal(err)
		}
		if got, want := fmt.Sprint(image.ClusterSize()), fmt.Sprint(512*int(boot[13])); got != want {
			t.Errorf("%d MiB: clusters of %s bytes, mkfs.fat makes %s", size, got, want)
		}
	}
}

func tool(t *testing.T, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		if path, err = exec.LookPath("/usr/sbin/" + name); err != nil {
			t.Skipf("%s is not installed", name)
		}
	}
	return path
}
