package health_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"path"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/bootc-go/bootc/internal/machine/health"
)

func file(perm fs.FileMode) *fstest.MapFile { return &fstest.MapFile{Mode: perm} }

func TestFind(t *testing.T) {
	root := fstest.MapFS{
		"usr/lib/bootc/health.d/20-b":                   file(0o755),
		"usr/lib/bootc/health.d/10-a":                   file(0o755),
		"usr/lib/bootc/health.d/.hidden":                file(0o755),
		"usr/lib/bootc/health.d/README":                 file(0o644),
		"usr/lib/bootc/health.d/dir/x":                  file(0o755),
		"etc/greenboot/check/required.d/02-x.sh":        file(0o644),
		"etc/greenboot/check/required.d/note.txt":       file(0o644),
		"etc/greenboot/check/required.d/01-program":     file(0o755),
		"etc/greenboot/check/required.d/03-off.sh":      file(0o755),
		"usr/lib/greenboot/check/wanted.d/off-too.sh":   file(0o755),
		"usr/lib/bootc/health.d/03-off.sh":              file(0o755),
		"etc/greenboot/greenboot.conf":                  {Data: []byte("# DISABLED_HEALTHCHECKS=(\"02-x.sh\")\nDISABLED_HEALTHCHECKS=(\"03-off.sh\" off-too.sh)\n")},
		"usr/lib/greenboot/check/required.d/01-y.sh":    file(0o755),
		"usr/lib/greenboot/check/wanted.d/03-dns.sh":    file(0o755),
		"etc/greenboot/check/wanted.d/04-z.sh":          file(0o755),
		"usr/lib/greenboot/check/green.d/05-nothing.sh": file(0o755),
	}
	got, err := health.Find(root)
	if err != nil {
		t.Fatal(err)
	}
	want := []health.Check{
		{Path: "/usr/lib/bootc/health.d/03-off.sh", Executable: true},
		{Path: "/usr/lib/bootc/health.d/10-a", Executable: true},
		{Path: "/usr/lib/bootc/health.d/20-b", Executable: true},
		{Path: "/usr/lib/greenboot/check/required.d/01-y.sh", Executable: true},
		{Path: "/etc/greenboot/check/required.d/01-program", Executable: true},
		{Path: "/etc/greenboot/check/required.d/02-x.sh"},
		{Path: "/usr/lib/greenboot/check/wanted.d/03-dns.sh", Wanted: true, Executable: true},
		{Path: "/etc/greenboot/check/wanted.d/04-z.sh", Wanted: true, Executable: true},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("Find (-want +got):\n%s", diff)
	}
	if got, err := health.Find(fstest.MapFS{}); err != nil || got != nil {
		t.Errorf("Find = %v, %v in a system without checks", got, err)
	}
}

func TestDisabled(t *testing.T) {
	all := func() fstest.MapFS {
		return fstest.MapFS{"etc/greenboot/check/required.d/a.sh": file(0o755), "etc/greenboot/check/required.d/b.sh": file(0o755)}
	}
	for _, test := range []struct {
		text string
		want string // what is left
		bad  string
	}{
		{text: "GREENBOOT_MAX_BOOT_ATTEMPTS=3\n", want: "ab"},
		{text: "DISABLED_HEALTHCHECKS=()", want: "ab"},
		{text: " DISABLED_HEALTHCHECKS=( 'a.sh' )", want: "b"},
		{text: "DISABLED_HEALTHCHECKS=(\n\"a.sh\"\n\"b.sh\"\n)\n"},
		{text: "DISABLED_HEALTHCHECKS=(a.sh)\nDISABLED_HEALTHCHECKS=(b.sh)\n", want: "a"},
		{text: "DISABLED_HEALTHCHECKS=a.sh", bad: "/etc/greenboot/greenboot.conf: DISABLED_HEALTHCHECKS=a.sh is no list in parentheses"},
		{text: "DISABLED_HEALTHCHECKS=(a.sh\n", bad: "/etc/greenboot/greenboot.conf: the list of DISABLED_HEALTHCHECKS= has no end"},
	} {
		root := all()
		root["etc/greenboot/greenboot.conf"] = &fstest.MapFile{Data: []byte(test.text)}
		checks, err := health.Find(root)
		var got, bad string
		for _, c := range checks {
			got += strings.TrimSuffix(path.Base(c.Path), ".sh")
		}
		if err != nil {
			bad = err.Error()
		}
		if got != test.want || bad != test.bad {
			t.Errorf("%q leaves %q, %q, want %q, %q", test.text, got, bad, test.want, test.bad)
		}
	}
}

// TestAfter finds and runs what comes after the checks, whatever it comes to.
func TestAfter(t *testing.T) {
	root := fstest.MapFS{
		"usr/lib/greenboot/green.d/10-led.sh": file(0o644),
		"etc/greenboot/green.d/05-mail":       file(0o755),
		"etc/greenboot/red.d/alarm.sh":        file(0o755),
	}
	for healthy, want := range map[bool][]string{
		true: {"/usr/lib/greenboot/green.d/10-led.sh", "/etc/greenboot/green.d/05-mail"}, false: {"/etc/greenboot/red.d/alarm.sh"},
	} {
		programs, err := health.After(root, healthy)
		if err != nil {
			t.Fatal(err)
		}
		var ran []string
		var log bytes.Buffer
		health.RunAfter(context.Background(), programs, time.Second, func(_ context.Context, c health.Check, _ time.Duration, _ io.Writer) (string, error) {
			ran = append(ran, c.Path)
			return "", errors.New("exit status 1")
		}, &log)
		if diff := cmp.Diff(want, ran); diff != "" || strings.Count(log.String(), "has failed: exit status 1") != len(want) {
			t.Errorf("healthy %v (-want +got):\n%s%s", healthy, diff, log.String())
		}
	}
}

func TestReadConfig(t *testing.T) {
	text := func(s string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(s)} }
	for _, test := range []struct {
		name, image, owner string
		want               health.Config
		bad                string
	}{
		{name: "nothing", want: health.Config{Timeout: 5 * time.Minute}},
		{name: "image", image: "failed-units = true\ncheck-timeout = \"90s\"\n", want: health.Config{FailedUnits: true, Timeout: 90 * time.Second}},
		{name: "both", image: "failed-units = true\ncheck-timeout = \"90s\"\n", owner: "failed-units = false\n", want: health.Config{Timeout: 90 * time.Second}},
		{name: "unknown key", owner: "failed-unit = true\n", bad: `/etc/bootc/health.toml: unknown key "failed-unit"`},
		{name: "no time", image: "check-timeout = \"0s\"\n", bad: "/usr/lib/bootc/health.toml: check-timeout is 0s"},
		{name: "no TOML", image: "=", bad: "/usr/lib/bootc/health.toml: "},
	} {
		root := fstest.MapFS{}
		if test.image != "" {
			root["usr/lib/bootc/health.toml"] = text(test.image)
		}
		if test.owner != "" {
			root["etc/bootc/health.toml"] = text(test.owner)
		}
		got, err := health.ReadConfig(root)
		if test.bad != "" {
			if err == nil || !strings.HasPrefix(err.Error(), test.bad) {
				t.Errorf("%s: error %v, want %q", test.name, err, test.bad)
			}
			continue
		}
		if err != nil || got != test.want {
			t.Errorf("%s: ReadConfig = %+v, %v, want %+v", test.name, got, err, test.want)
		}
	}
}

// TestRun runs all checks, whatever they come to.
func TestRun(t *testing.T) {
	checks := []health.Check{{Path: "/good"}, {Path: "/bad"}, {Path: "/wanted", Wanted: true}, {Path: "/worse"}, {Path: "/good2"}}
	var ran []string
	var log bytes.Buffer
	failed := health.Run(context.Background(), checks, time.Second, func(_ context.Context, c health.Check, limit time.Duration, _ io.Writer) (string, error) {
		ran = append(ran, c.Path)
		if limit != time.Second {
			t.Errorf("limit is %s", limit)
		}
		if strings.HasPrefix(c.Path, "/good") {
			return "", nil
		}
		return "said of " + c.Path, errors.New("exit status 1")
	}, &log)
	if diff := cmp.Diff([]string{"/good", "/bad", "/wanted", "/worse", "/good2"}, ran); diff != "" {
		t.Errorf("ran (-want +got):\n%s", diff)
	}
	if len(failed) != 2 || failed[0].Check.Path != "/bad" || failed[1].Output != "said of /worse" {
		t.Errorf("failed: %+v", failed)
	}
	if !strings.Contains(log.String(), "warning: the check /wanted has failed") {
		t.Errorf("log: %s", log.String())
	}
}

func TestUnits(t *testing.T) {
	got := health.Units([]string{"a.service", "systemd-networkd-wait-online.service", "NetworkManager-wait-online.service", "systemd-networkd-wait-online@eth0.service"})
	if diff := cmp.Diff([]string{"a.service"}, got); diff != "" {
		t.Errorf("Units (-want +got):\n%s", diff)
	}
}

func TestBefore(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	record := func(at time.Time) *fstest.MapFile { return &fstest.MapFile{ModTime: at} }
	status := func(s string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(s)} }
	for _, test := range []struct {
		name string
		root fstest.MapFS
		want []bool // watchdog
	}{
		{name: "nothing", root: fstest.MapFS{"sys/class/watchdog/watchdog0/bootstatus": status("0\n")}},
		{name: "in pstore", root: fstest.MapFS{"sys/fs/pstore/dmesg-efi_pstore-1": record(now.Add(-time.Hour))}, want: []bool{false}},
		{name: "moved", root: fstest.MapFS{"var/lib/systemd/pstore/7/dmesg.txt": record(now.Add(time.Second))}, want: []bool{false}},
		{name: "older", root: fstest.MapFS{"var/lib/systemd/pstore/7/dmesg.txt": record(now)}},
		{name: "of a console", root: fstest.MapFS{"sys/fs/pstore/console-ramoops-0": record(now)}},
		{name: "watchdog", root: fstest.MapFS{"sys/class/watchdog/watchdog1/bootstatus": status("32\n")}, want: []bool{true}},
		{name: "overheated", root: fstest.MapFS{"sys/class/watchdog/watchdog1/bootstatus": status("1\n")}},
	} {
		var got []bool
		for _, tr := range health.Before(test.root, now) {
			got = append(got, tr.Watchdog)
		}
		if diff := cmp.Diff(test.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", test.name, diff)
		}
	}
}
