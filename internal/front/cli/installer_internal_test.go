package cli

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/bootc-go/bootc/internal/linux/block"
	"github.com/bootc-go/bootc/internal/machine"
)

func TestConsoles(t *testing.T) {
	for active, want := range map[string][]string{
		"tty0 ttyS0\n": {"tty1", "ttyS0"}, "ttyS0\n": {"ttyS0"}, "tty0\n": {"tty1"}, "": {"tty1"}, "hvc0 ttyAMA0\n": {"hvc0", "ttyAMA0"},
	} {
		if got := consoles(active); !slices.Equal(got, want) {
			t.Errorf("consoles(%q) = %q, want %q", active, got, want)
		}
	}
}

func TestGreet(t *testing.T) {
	run := t.TempDir()
	for range 2 {
		if err := greet(run); err != nil {
			t.Fatal(err)
		}
	}
	text, err := os.ReadFile(filepath.Join(run, "issue.d/60-bootc.issue"))
	if err != nil || !strings.Contains(string(text), "bootc install interactive") {
		t.Errorf("the greeting is %q, %v", text, err)
	}
}

// TestEject ejects only drives for discs, and only after an installation.
func TestEject(t *testing.T) {
	dir := t.TempDir()
	run, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer run.Close()
	if err := eject(dir); err != nil {
		t.Errorf("nothing was installed: %v", err)
	}
	if err := run.Mkdir("bootc", 0o755); err != nil {
		t.Fatal(err)
	}
	stick := &machine.Medium{Disks: []*block.Device{{Name: "sda", Path: "/dev/sda"}}}
	if err := ejectLater(run, stick); err != nil {
		t.Fatal(err)
	}
	if _, err := run.Stat("bootc/eject"); err == nil {
		t.Error("a stick is to be ejected")
	}
	disc := &machine.Medium{Disks: []*block.Device{{Name: "sr7", Path: "/dev/null"}}}
	if err := ejectLater(run, disc); err != nil {
		t.Fatal(err)
	}
	if err := eject(dir); err == nil || !strings.Contains(err.Error(), "/dev/null is not a block device") {
		t.Errorf("eject = %v, want it to try /dev/null", err)
	}
}
