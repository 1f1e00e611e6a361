package storage_test

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/bootc-go/bootc/internal/format/gpt"
	"github.com/bootc-go/bootc/internal/machine/storage"
)

var update = flag.Bool("update", false, "write the golden files anew")

func TestParseSize(t *testing.T) {
	for in, want := range map[string]uint64{
		"1":        1 << 20,
		"20480":    20 << 30,
		"512M":     512 << 20,
		"512MiB":   512 << 20,
		"20G":      20 << 30,
		"20GiB":    20 << 30,
		"2T":       2 << 40,
		"2TiB":     2 << 40,
		"007":      7 << 20,
		"8388607T": 8388607 << 40,
	} {
		if got, err := storage.ParseSize(in); err != nil || got != want {
			t.Errorf("ParseSize(%q) = %d, %v, want %d", in, got, err, want)
		}
	}
	for _, in := range []string{"", "0", "0G", "G", "MiB", "-1", "+1", "1K", "1KiB", "1g", "1.5G", "1 G", "1GB", "1MB", "1iB", "1Mi", "1MiBM",
		"8388608T", "18446744073709551615", "18446744073709551616", "1\x00", "0x10", "1_0"} {
		if got, err := storage.ParseSize(in); err == nil {
			t.Errorf("ParseSize(%q) = %d, want an error", in, got)
		}
	}
}

func FuzzParseSize(f *testing.F) {
	for _, s := range []string{"1", "20G", "512MiB", "9T", "iB", ""} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		n, err := storage.ParseSize(s)
		if err == nil && (n == 0 || n%(1<<20) != 0) {
			t.Errorf("ParseSize(%q) = %d", s, n)
		}
	})
}

func TestLayout(t *testing.T) {
	const gib = 1 << 30
	var b strings.Builder
	for _, c := range []struct {
		size uint64
		o    storage.Options
	}{
		{10 * gib, storage.Options{Arch: "amd64"}},
		{10 * gib, storage.Options{Arch: "arm64"}},
		{10*gib + 123456, storage.Options{Arch: "amd64", Filesystem: "ext4"}},
		{10 * gib, storage.Options{Arch: "amd64", RootSize: 4 * gib}},
		{1539 << 20, storage.Options{Arch: "amd64"}},
		{1539<<20 - 1, storage.Options{Arch: "amd64"}},
		{0, storage.Options{Arch: "amd64"}},
		{10 * gib, storage.Options{Arch: "amd64", RootSize: 9 * gib}},
		{10 * gib, storage.Options{Arch: "amd64", RootSize: 1 << 62}},
		{10 * gib, storage.Options{Arch: "amd64", RootSize: 100 << 20}},
		{10 * gib, storage.Options{Arch: "amd64", Filesystem: "xfs"}},
		{10 * gib, storage.Options{Arch: "amd64", Filesystem: "btrfs"}},
		{10 * gib, storage.Options{Arch: "amd64", Filesystem: "vfat"}},
		{10 * gib, storage.Options{Arch: "s390x"}},
	} {
		fmt.Fprintf(&b, "# %d bytes, %s, root size %d, file system %q\n", c.size, c.o.Arch, c.o.RootSize, c.o.Filesystem)
		parts, err := storage.Layout(c.size, c.o)
		if err != nil {
			fmt.Fprintf(&b, "error: %v\n", err)
		}
		for _, p := range parts {
			fmt.Fprintf(&b, "%11d %11d %-4s %s %s\n", p.Start, p.Size, p.Filesystem, p.Type, p.Name)
		}
		check(t, c.size, parts)
		b.WriteByte('\n')
	}
	golden(t, "layout.txt", b.String())
}

// check finds partitions that overlap, are not aligned, or leave no room for
// the two copies of the table.
func check(t *testing.T, size uint64, parts []storage.Partition) {
	t.Helper()
	at := uint64(1 << 20)
	for _, p := range parts {
		if p.Start < at || p.Start%(1<<20) != 0 || p.Size%(1<<20) != 0 || p.Size == 0 {
			t.Errorf("disk of %d: partition %s at %d, size %d", size, p.Name, p.Start, p.Size)
		}
		at = p.Start + p.Size
	}
	if len(parts) > 0 && at+1<<20 > size {
		t.Errorf("disk of %d: partitions end at %d", size, at)
	}
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", name, diff)
	}
}

// TestSignatures lets real programs write what is to be found.
func TestSignatures(t *testing.T) {
	for _, c := range []struct {
		command []string
		input   string
		want    string
	}{
		{nil, "", ""},
		{[]string{"mkfs.ext4", "-q", "-F"}, "", "an ext file system"},
		{[]string{"mkfs.ext2", "-q", "-F"}, "", "an ext file system"},
		{[]string{"mkfs.fat", "-F", "32"}, "", "a FAT file system"},
		{[]string{"mkfs.fat", "-F", "16"}, "", "a FAT file system"},
		{[]string{"mkfs.xfs", "-q"}, "", "an XFS file system"},
		{[]string{"mkfs.btrfs", "-q"}, "", "a Btrfs file system"},
		{[]string{"mkfs.ntfs", "-F", "-Q", "-q"}, "", "an NTFS file system"},
		{[]string{"mkfs.exfat"}, "", "an exFAT file system"},
		{[]string{"mkswap"}, "", "swap space"},
		{[]string{"sfdisk", "-q"}, "label: gpt\n", "a GPT partition table"},
		{[]string{"sfdisk", "-q"}, "label: dos\n", "an MBR partition table or boot sector"},
		{[]string{"cryptsetup", "luksFormat", "--pbkdf-force-iterations=1000", "--pbkdf=pbkdf2", "-q"}, "key", "a LUKS volume"},
	} {
		name := strings.Join(c.command, " ")
		t.Run(name, func(t *testing.T) {
			const size = 400 << 20
			path := filepath.Join(t.TempDir(), "disk")
			f, err := os.Create(path)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			if err := f.Truncate(size); err != nil {
				t.Fatal(err)
			}
			if c.command != nil {
				program, err := lookPath(c.command[0])
				if err != nil {
					t.Skip(err)
				}
				cmd := exec.Command(program, append(c.command[1:], path)...)
				cmd.Stdin = strings.NewReader(c.input)
				if out, err := cmd.CombinedOutput(); err != nil {
					t.Fatalf("%v: %s", err, out)
				}
			}
			got, err := storage.Signatures(f, size)
			if err != nil {
				t.Fatal(err)
			}
			if c.want == "" && len(got) > 0 || c.want != "" && !slices.Contains(got, c.want) {
				t.Errorf("Signatures = %q, want %q", got, c.want)
			}
		})
	}
}

// lookPath finds a program, also where ordinary users do not look.
func lookPath(name string) (string, error) {
	for _, dir := range []string{"/usr/sbin", "/sbin"} {
		if p, err := exec.LookPath(filepath.Join(dir, name)); err == nil {
			return p, nil
		}
	}
	return exec.LookPath(name)
}

// TestLayoutMore has partitions between the EFI system partition, larger than usual,
// and the root.
func TestLayoutMore(t *testing.T) {
	const mib = 1 << 20
	o := storage.Options{Arch: "arm64", ESPSize: 1500*mib - 1, More: []storage.Extra{
		{Name: "data", Mount: "/var/data", Size: 5*mib + 1, Filesystem: "ext4"},
		{Name: "swap", Mount: "swap", Size: 64 * mib, Filesystem: "swap"},
	}}
	got, err := storage.Layout(4096*mib, o)
	if err != nil {
		t.Fatal(err)
	}
	root, err := gpt.Root("arm64")
	if err != nil {
		t.Fatal(err)
	}
	want := []storage.Partition{
		{Name: "EFI-SYSTEM", Type: gpt.ESP, Start: 1 * mib, Size: 1500 * mib, Filesystem: "vfat"},
		{Name: "data", Type: gpt.Linux, Start: 1501 * mib, Size: 6 * mib, Filesystem: "ext4", Mount: "/var/data"},
		{Name: "swap", Type: gpt.Swap, Start: 1507 * mib, Size: 64 * mib, Filesystem: "swap", Mount: "swap"},
		{Name: "root", Type: root, Start: 1571 * mib, Size: 2524 * mib, Filesystem: "ext4", Attributes: gpt.GrowFileSystem},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("Layout (-want +got):\n%s", diff)
	}
	if _, err := storage.Layout(2048*mib, o); err == nil || !strings.Contains(err.Error(), "at least 2084 MiB are needed") {
		t.Errorf("a small disk: %v", err)
	}
}
