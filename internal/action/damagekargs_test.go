package action_test

import (
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/bootc-go/bootc/internal/action/fsck"
	"github.com/bootc-go/bootc/internal/content/images/imagestest"
)

// entry returns the path of the boot entry whose name ends so.
func (l *lab) entry(tail string) string {
	l.Helper()
	all, err := filepath.Glob(filepath.Join(l.dir, "esp/loader/entries/*"+tail))
	must(l, err)
	if len(all) != 1 {
		l.Fatalf("%d entries *%s", len(all), tail)
	}
	return all[0]
}

func (l *lab) mustRepair() *fsck.Repaired {
	l.Helper()
	l.openDamaged()
	r, err := fsck.RepairMachine(l.Context(), l.m, l.registry(), nil)
	must(l, err)
	if !r.After.OK() {
		l.Fatalf("after a repair: %s", told(r.After))
	}
	return r
}

// TestFsckKargs has kernel arguments that the owner has written into the entry: they
// are told and stay, also where another line of the entry is damaged, or the files that
// it names.
func TestFsckKargs(t *testing.T) {
	l := newDamaged(t, false)
	name := l.entry("-0.conf")
	data, err := os.ReadFile(name)
	must(t, err)
	text := strings.Replace(string(data), " quiet", " owner=1 quiet", 1)
	must(t, os.WriteFile(name, []byte(text), 0o644))
	l.openDamaged()
	if w := l.checkMachine(); !w.OK() || !strings.Contains(told(w), `+"owner=1"`) {
		t.Errorf("an owner's argument: %s", told(w))
	}

	must(t, os.WriteFile(name, []byte(strings.Replace(text, "composefs=", "composefz=", 1)), 0o644))
	must(t, os.Remove(filepath.Join(l.dir, "esp/loader/entries.staged", filepath.Base(name))))
	r := l.mustRepair()
	data, err = os.ReadFile(l.entry("-0.conf"))
	must(t, err)
	if options := string(data); !strings.Contains(options, "owner=1") || !strings.Contains(options, "local=1") || strings.Contains(options, "composefz") {
		t.Errorf("the entry after a repair (%q):\n%s", r.Done, options)
	}

	kernel := filepath.Join(l.dir, "esp", l.mustKernel("-0.conf"))
	must(t, os.WriteFile(kernel, []byte("damaged"), 0o644))
	l.mustRepair()
	data, err = os.ReadFile(l.entry("-0.conf"))
	must(t, err)
	if !strings.Contains(string(data), "owner=1") || l.mustKernel("-0.conf") == strings.TrimPrefix(kernel, l.dir+"/esp") {
		t.Errorf("the entry with another kernel:\n%s", data)
	}
}

// mustKernel is the kernel that an entry names.
func (l *lab) mustKernel(tail string) string {
	l.Helper()
	data, err := os.ReadFile(l.entry(tail))
	must(l, err)
	_, after, _ := strings.Cut(string(data), "\nlinux ")
	line, _, _ := strings.Cut(after, "\n")
	return line
}

// TestFsckOwnersLoader leaves a boot loader alone that the owner has put in the place
// of one copy.
func TestFsckOwnersLoader(t *testing.T) {
	l := newDamaged(t, false)
	shim := imagestest.Program(runtime.GOARCH, [2]string{".text", strings.Repeat("another program ", 500)})
	name := filepath.Join(l.dir, "esp/EFI/BOOT/BOOTX64.EFI")
	must(t, os.WriteFile(name, []byte(shim), 0o644))
	l.openDamaged()
	if text := told(l.checkMachine()); text != "" {
		t.Errorf("an owner's boot loader: %s", text)
	}
	must(t, os.Truncate(filepath.Join(l.dir, "esp/EFI/systemd/systemd-bootx64.efi"), 100))
	l.mustRepair()
	if data, err := os.ReadFile(name); err != nil || string(data) != shim {
		t.Errorf("the owner's boot loader is gone: %v", err)
	}
}
