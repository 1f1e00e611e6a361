package systemd_test

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/bootc-go/bootc/internal/linux/systemd"
)

// fake puts a systemctl into $PATH that notes its arguments, and returns a
// function that reads them.
func fake(t *testing.T, text string) func() string {
	t.Helper()
	dir := t.TempDir()
	log := filepath.Join(dir, "log")
	script := "#!/bin/sh\necho \"$@\" >>" + log + "\n" + text
	if err := os.WriteFile(filepath.Join(dir, "systemctl"), []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
	return func() string {
		data, err := os.ReadFile(log)
		if err != nil {
			t.Fatal(err)
		}
		return string(data)
	}
}

func TestStartUnit(t *testing.T) {
	asked := fake(t, "")
	if err := systemd.StartUnit(t.Context(), "x.service"); err != nil {
		t.Error(err)
	}
	if got := asked(); got != "start -- x.service\n" {
		t.Errorf("systemctl %s", got)
	}
}

func TestQueueUnit(t *testing.T) {
	asked := fake(t, "")
	if err := systemd.QueueUnit(t.Context(), "x.service"); err != nil {
		t.Error(err)
	}
	if got := asked(); got != "start --no-block -- x.service\n" {
		t.Errorf("systemctl %s", got)
	}
}

func TestStartUnitFails(t *testing.T) {
	fake(t, "echo Unit x.service not found. >&2; exit 5")
	err := systemd.StartUnit(t.Context(), "x.service")
	if err == nil || !strings.Contains(err.Error(), "starting x.service") || !strings.Contains(err.Error(), "not found") {
		t.Errorf("StartUnit = %v", err)
	}
}

func TestReboot(t *testing.T) {
	asked := fake(t, "")
	ctx, cancel := context.WithCancel(t.Context())
	cancel() // the signal of the shutdown
	if err := systemd.Reboot(ctx); err != nil {
		t.Error(err)
	}
	if got := asked(); !strings.HasPrefix(got, "reboot ") {
		t.Errorf("systemctl %s", got)
	}
	asked = fake(t, "")
	if err := systemd.PowerOff(ctx); err != nil {
		t.Error(err)
	}
	if got := asked(); !strings.HasPrefix(got, "poweroff ") {
		t.Errorf("systemctl %s", got)
	}
	fake(t, "exit 1")
	if err := systemd.Reboot(t.Context()); err == nil {
		t.Error("a refused reboot is no error")
	}
}

func TestTables(t *testing.T) {
	fake(t, `case "$1" in
list-units) printf 'a.service loaded failed failed A thing\nb-wait-online.service loaded failed failed B\n' ;;
list-jobs) printf '1 a.service start running\n 22 multi-user.target start waiting\n3 b.mount start running\n' ;;
esac`)
	if got, err := systemd.FailedUnits(t.Context()); err != nil || !slices.Equal(got, []string{"a.service", "b-wait-online.service"}) {
		t.Errorf("FailedUnits = %q, %v", got, err)
	}
	if got, err := systemd.RunningJobs(t.Context()); err != nil || !slices.Equal(got, []string{"a.service", "b.mount"}) {
		t.Errorf("RunningJobs = %q, %v", got, err)
	}
}
