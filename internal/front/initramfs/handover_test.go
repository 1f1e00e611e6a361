package initramfs_test

import (
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/bootc-go/bootc"
	"github.com/bootc-go/bootc/internal/front/initramfs"
	"github.com/bootc-go/bootc/internal/linux/efivars"
)

// A firmware is a directory with the variables of a machine.
type firmware struct {
	t    *testing.T
	vars *os.Root
}

func newFirmware(t *testing.T, entries ...string) *firmware {
	t.Helper()
	vars, err := os.OpenRoot(t.TempDir())
	must(t, err)
	t.Cleanup(func() { vars.Close() })
	f := &firmware{t, vars}
	f.set("LoaderEntries", efivars.LoaderVendor, strings.Join(entries, "\x00"))
	return f
}

func (f *firmware) set(name, vendor, text string) {
	f.t.Helper()
	must(f.t, efivars.SetText(f.vars, name, vendor, text))
}

func (f *firmware) get(name, vendor string) string {
	f.t.Helper()
	text, err := efivars.Text(f.vars.FS(), name, vendor)
	must(f.t, err)
	return text
}

// boot is what systemd-boot does: it takes the one-shot entry, which it
// forgets, or else the default.
func (f *firmware) boot(def string) string {
	f.t.Helper()
	entry := f.get("LoaderEntryOneShot", efivars.LoaderVendor)
	must(f.t, efivars.Remove(f.vars, "LoaderEntryOneShot", efivars.LoaderVendor))
	if entry == "" {
		entry = def
	}
	f.set("LoaderEntrySelected", efivars.LoaderVendor, entry)
	return entry
}

const (
	newest = "bootc_debian-13-1.conf"
	older  = "bootc_debian-13-0.conf"
	oldest = "bootc_debian-12-0.conf"
)

// TestHandOver boots until a deployment is good, and tells why the others were
// not.
func TestHandOver(t *testing.T) {
	f := newFirmware(t, "custom.conf", newest, older, oldest, "auto-reboot-to-firmware-setup")
	broken := map[string]string{newest: "verifying the image objects/5a: fs-verity is not enabled", older: "not\nthere"}
	var booted []string
	entry := f.boot(newest)
	for ; broken[entry] != ""; entry = f.boot(newest) {
		booted = append(booted, entry)
		next, err := initramfs.HandOver(f.vars, broken[entry])
		if err != nil {
			t.Fatalf("after %q: %v", booted, err)
		}
		if len(booted) > 3 {
			t.Fatalf("still not good after %q, next is %q", booted, next)
		}
	}
	if entry != oldest {
		t.Errorf("booted %q in the end, want %q", entry, oldest)
	}
	dir := t.TempDir()
	run, err := os.OpenRoot(dir)
	must(t, err)
	defer run.Close()
	must(t, initramfs.Succeeded(f.vars, run))
	requireText(t, dir+"/"+bootc.FailedBootsFile, `[{"entry":"`+newest+`","reason":"verifying the image objects/5a: fs-verity is not enabled"},{"entry":"`+older+`","reason":"not there"}]`+"\n")
	if got := f.get("BootcFailedBoots", efivars.BootcVendor); got != "" {
		t.Errorf("after a success the firmware remembers %q", got)
	}
	// Without a failure nothing is said.
	must(t, os.Remove(dir+"/"+bootc.FailedBootsFile), initramfs.Succeeded(f.vars, run))
	if _, err := os.Stat(dir + "/" + bootc.FailedBootsFile); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("after no failure: %v", err)
	}
}

// TestHandOverEnds: when all deployments are broken the boot ends instead of
// going round, and what has failed is forgotten, so that a repaired one boots.
func TestHandOverEnds(t *testing.T) {
	f := newFirmware(t, newest, older)
	for _, want := range []string{newest, older} {
		if got := f.boot(newest); got != want {
			t.Fatalf("booted %q, want %q", got, want)
		}
		_, err := initramfs.HandOver(f.vars, "broken")
		if last := want == older; last != errors.Is(err, initramfs.ErrNoOther) || !last && err != nil {
			t.Fatalf("after %s: %v", want, err)
		}
	}
	if got := f.get("BootcFailedBoots", efivars.BootcVendor) + f.get("LoaderEntryOneShot", efivars.LoaderVendor); got != "" {
		t.Errorf("in the end the firmware remembers %q", got)
	}
}

// TestHandOverWithoutOther: nothing is written where there is nothing to hand
// over to.
func TestHandOverWithoutOther(t *testing.T) {
	for name, f := range map[string]*firmware{
		"one entry":      newFirmware(t, newest, "custom.conf"),
		"another loader": newFirmware(t),
	} {
		if name == "one entry" {
			f.boot(newest)
		}
		if next, err := initramfs.HandOver(f.vars, "broken"); !errors.Is(err, initramfs.ErrNoOther) {
			t.Errorf("%s: handing over to %q, %v, want an error", name, next, err)
		}
		if got := f.get("LoaderEntryOneShot", efivars.LoaderVendor); got != "" {
			t.Errorf("%s: the next boot is %q", name, got)
		}
	}
}

// TestLongReason: the firmware has little room, and a list is lines.
func TestLongReason(t *testing.T) {
	f := newFirmware(t, newest, older)
	f.boot(newest)
	_, err := initramfs.HandOver(f.vars, "tab\tand line\n"+strings.Repeat("ü", 1000))
	must(t, err)
	if got, want := f.get("BootcFailedBoots", efivars.BootcVendor), newest+"\ttab and line "+strings.Repeat("ü", 187)+"\n"; got != want {
		t.Errorf("the firmware remembers %q, want %q", got, want)
	}
}
