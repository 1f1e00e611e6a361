package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const packaging = "../../packaging"

// TestScripts checks the syntax of the shell scripts, and that those are
// executable that are run and not read.
func TestScripts(t *testing.T) {
	for name, shell := range map[string]string{
		"dracut/51bootc/module-setup.sh": "bash", "initramfs-tools/hooks/bootc": "sh",
		"initramfs-tools/scripts/init-premount/bootc": "sh", "initramfs-tools/scripts/bootc": "sh",
		"initramfs-tools/scripts/local-block/bootc": "sh",
	} {
		path := filepath.Join(packaging, name)
		if out, err := exec.Command(shell, "-n", path).CombinedOutput(); err != nil {
			t.Errorf("%s: %v\n%s", name, err, out)
		}
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if run := name != "initramfs-tools/scripts/bootc"; (info.Mode()&0o111 != 0) != run {
			t.Errorf("%s has mode %v", name, info.Mode())
		}
	}
}

// TestUnits has systemd judge the units.
func TestUnits(t *testing.T) {
	analyze, err := exec.LookPath("systemd-analyze")
	if err != nil {
		t.Skip("systemd-analyze is not installed")
	}
	dir := t.TempDir()
	services, err := filepath.Glob(packaging + "/systemd/*.service")
	if err != nil {
		t.Fatal(err)
	}
	timers, err := filepath.Glob(packaging + "/systemd/*.timer")
	units := append(services, timers...)
	if err != nil || len(units) != 14 {
		t.Fatalf("units %q, %v, want 14", units, err)
	}
	args := []string{"verify", "--man=no"}
	// What only the initramfs has.
	write(t, filepath.Join(dir, "sysroot.mount"), "[Mount]\nWhat=/dev/null\nWhere=/sysroot\n")
	for _, u := range units {
		data, err := os.ReadFile(u)
		if err != nil {
			t.Fatal(err)
		}
		text := strings.NewReplacer("/usr/bin/bootc", "/bin/true", "/usr/lib/bootc/initramfs-setup", "/bin/true").Replace(string(data))
		name := filepath.Join(dir, filepath.Base(u))
		write(t, name, text)
		args = append(args, name)
	}
	cmd := exec.Command(analyze, args...)
	cmd.Env = append(os.Environ(), "SYSTEMD_UNIT_PATH="+dir+":", "LC_ALL=C")
	if out, err := cmd.CombinedOutput(); err != nil || strings.Contains(string(out), dir) {
		t.Errorf("systemd-analyze verify: %v\n%s", err, out)
	}
}

// A functions file with what the boot script takes from initramfs-tools, saying
// what is called. Time passes as the script sleeps.
const functions = `
now=0
told() { echo "$@" >>"$DIR/log"; }
log_begin_msg() { :; }
log_end_msg() { :; }
wait_for_udev() { :; }
time_elapsed() { echo "$now"; }
sleep() { now=$((now + $1)); }
local_block() { told local_block; }
local_mount_root() { told mount "$ROOT"; }
panic() { told panic "$@"; if [ -e "$DIR/repaired" ]; then exit 7; fi; : >"$DIR/repaired"; }
rootmnt=/root
`

// TestBootScript runs scripts/bootc with a program that answers as told.
func TestBootScript(t *testing.T) {
	tests := []struct {
		name, env string
		answers   []string // exit status and output of each call of find-root
		setup     string   // exit statuses of setup-root
		want      []string
	}{
		{name: "found at once", answers: []string{"0 /dev/vda3"}, setup: "0",
			want: []string{"find-root", "attach", "mount /dev/vda3", "setup-root --sysroot /root"}},
		{name: "found later", answers: []string{"3", "3", "0 /dev/sdb2"}, setup: "0",
			want: []string{"find-root", "local_block", "find-root", "local_block", "find-root", "attach", "mount /dev/sdb2", "setup-root --sysroot /root"}},
		{name: "given", env: "ROOT=UUID=x", setup: "0", want: []string{"attach", "mount UUID=x", "setup-root --sysroot /root"}},
		{name: "given as gpt-auto", env: "ROOT=gpt-auto", answers: []string{"0 /dev/vda3"}, setup: "0",
			want: []string{"find-root", "attach", "mount /dev/vda3", "setup-root --sysroot /root"}},
		{name: "not to be found", answers: []string{"1", "1"}, setup: "0",
			want: []string{"find-root", "panic ALERT!  The root partition was not found.  Dropping to a shell!",
				"find-root", "panic ALERT!  The root partition was not found.  Dropping to a shell!"}},
		{name: "repaired in the shell", answers: []string{"0 /dev/vda3"}, setup: "1 0",
			want: []string{"find-root", "attach", "mount /dev/vda3", "setup-root --sysroot /root",
				"panic ALERT!  The root of the deployment was not set up.  Dropping to a shell!", "setup-root --sysroot /root"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := boot(t, tt.env, tt.answers, strings.Fields(tt.setup))
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// TestBootScriptGivesUp: it waits 30 seconds, or as long as rootdelay= says.
func TestBootScriptGivesUp(t *testing.T) {
	for env, want := range map[string]int{"ROOTDELAY=": 30, "ROOTDELAY=5": 30, "ROOTDELAY=40": 40} {
		answers := make([]string, 100)
		for i := range answers {
			answers[i] = "3"
		}
		got := boot(t, "ROOT= "+env, answers, nil)
		waited := 0
		for _, line := range got {
			if strings.HasPrefix(line, "panic") {
				break
			}
			if line == "local_block" {
				waited++
			}
		}
		if waited != want {
			t.Errorf("%s: waited %d seconds, want %d", env, waited, want)
		}
	}
}

// boot runs the function mountroot and returns what it called.
func boot(t *testing.T, env string, answers, setup []string) []string {
	t.Helper()
	dir := t.TempDir()
	write(t, dir+"/functions", functions)
	write(t, dir+"/find-root", strings.Join(answers, "\n")+"\n")
	write(t, dir+"/setup-root", strings.Join(setup, "\n")+"\n")
	write(t, dir+"/program", `#!/bin/sh
echo "$@" >>"$DIR/log"
read -r status output <"$DIR/$1"
sed -i 1d "$DIR/$1"
[ -z "$output" ] || echo "$output"
exit "$status"
`)
	if err := os.MkdirAll(dir+"/scripts/local-block", 0o755); err != nil {
		t.Fatal(err)
	}
	write(t, dir+"/scripts/local-block/bootc", "#!/bin/sh\necho attach >>\"$DIR/log\"\n")
	for _, name := range []string{"/program", "/scripts/local-block/bootc"} {
		if err := os.Chmod(dir+name, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	script, err := os.ReadFile(packaging + "/initramfs-tools/scripts/bootc")
	if err != nil {
		t.Fatal(err)
	}
	text := strings.NewReplacer("/usr/lib/bootc/initramfs-setup", dir+"/program", "/run/initramfs/", dir+"/", "/scripts/", dir+"/scripts/").Replace(string(script))
	write(t, dir+"/script", text)
	cmd := exec.Command("sh", "-c", ". $DIR/functions; . $DIR/script; mountroot")
	cmd.Env = append(append(os.Environ(), "DIR="+dir), strings.Fields(env)...)
	out, err := cmd.CombinedOutput()
	t.Logf("%v %s", err, out)
	log, err := os.ReadFile(dir + "/log")
	if err != nil {
		t.Fatal(err)
	}
	return strings.Split(strings.TrimSpace(string(log)), "\n")
}

// TestChoiceOfBootScript runs init-premount/bootc on command lines.
func TestChoiceOfBootScript(t *testing.T) {
	script, err := os.ReadFile(packaging + "/initramfs-tools/scripts/init-premount/bootc")
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		line, env string
		chosen    bool
	}{
		{line: "rw composefs=abc quiet", chosen: true},
		{line: "rw composefs.digest=abc", chosen: true},
		{line: `"composefs=abc" quiet`, chosen: true},
		{line: "root=/dev/vda rw"},
		{line: "root=/dev/vda composefsx=1 xcomposefs=2"},
		{line: "composefs=abc boot=live", env: "BOOT=live"},
		{line: "composefs=abc boot=local", env: "BOOT=local", chosen: true},
		{line: "composefs=abc root=/dev/nfs", env: "BOOT=nfs"},
	}
	for _, tt := range tests {
		dir := t.TempDir()
		write(t, dir+"/cmdline", tt.line)
		write(t, dir+"/param.conf", "")
		write(t, dir+"/script", strings.NewReplacer("/proc/cmdline", dir+"/cmdline", "/conf/param.conf", dir+"/param.conf").Replace(string(script)))
		cmd := exec.Command("sh", dir+"/script")
		cmd.Env = []string{"PATH=" + os.Getenv("PATH"), tt.env}
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%q: %v\n%s", tt.line, err, out)
		}
		got, err := os.ReadFile(dir + "/param.conf")
		if err != nil {
			t.Fatal(err)
		}
		if want := map[bool]string{true: "BOOT=bootc\n"}[tt.chosen]; string(got) != want {
			t.Errorf("%q: param.conf %q, want %q", tt.line, got, want)
		}
	}
}

// TestLocalBlock: the program is called where a medium can be, in boots of
// deployments only.
func TestLocalBlock(t *testing.T) {
	script, err := os.ReadFile(packaging + "/initramfs-tools/scripts/local-block/bootc")
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ boot, place, want string }{
		{"bootc", "sr0", "modprobe -q loop\nattach-medium\n"},
		{"bootc", "root.img", "modprobe -q loop\nattach-medium\n"},
		{"bootc", "sda", ""},
		{"local", "sr0", ""},
		{"", "sr0", ""},
	} {
		dir := t.TempDir()
		write(t, dir+"/"+tt.place, "")
		write(t, dir+"/log", "")
		write(t, dir+"/modprobe", "#!/bin/sh\necho modprobe \"$@\" >>\"$DIR/log\"\n")
		write(t, dir+"/program", "#!/bin/sh\necho \"$@\" >>\"$DIR/log\"\nexit 1\n")
		for _, name := range []string{"/program", "/modprobe"} {
			if err := os.Chmod(dir+name, 0o755); err != nil {
				t.Fatal(err)
			}
		}
		write(t, dir+"/script", strings.NewReplacer("/usr/lib/bootc/initramfs-setup", dir+"/program", "/bootc/", dir+"/", "/dev/", dir+"/").Replace(string(script)))
		cmd := exec.Command("sh", dir+"/script")
		cmd.Env = []string{"PATH=" + dir + ":" + os.Getenv("PATH"), "DIR=" + dir, "BOOT=" + tt.boot}
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%+v: %v\n%s", tt, err, out)
		}
		got, err := os.ReadFile(dir + "/log")
		if err != nil {
			t.Fatal(err)
		}
		if string(got) != tt.want {
			t.Errorf("%+v: called %q", tt, got)
		}
	}
}

func write(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}
