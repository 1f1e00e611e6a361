package cli_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

// These tests compare the verbs with the programs of the C project whose names
// they have.

func tools(t *testing.T) {
	t.Helper()
	for _, name := range []string{"mkcomposefs", "composefs-info"} {
		if _, err := exec.LookPath(name); err != nil {
			t.Skip(name, " is not installed")
		}
	}
}

// theirs runs a program of the C project, ours the verb of that name.
func theirs(args ...string) (status int, stdout string) {
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Env = append(os.Environ(), "LC_ALL=C")
	out, err := cmd.Output()
	if err != nil {
		return cmd.ProcessState.ExitCode(), string(out)
	}
	return 0, string(out)
}

func ours(args ...string) (status int, stdout string) {
	status, stdout, _ = run(append([]string{"internals"}, args...)...)
	return status, stdout
}

// compare runs both and compares exit status and output.
func compare(t *testing.T, args ...string) {
	t.Helper()
	wantStatus, want := theirs(args...)
	status, got := ours(args...)
	if status != wantStatus {
		t.Errorf("%q: status %d, want %d", args, status, wantStatus)
	}
	if args[0] == "composefs-info" {
		want = withoutFaults(want)
		got = withoutFaults(got)
	}
	if diff := cmp.Diff(want, got); diff != "" && wantStatus == 0 {
		t.Errorf("%q (-theirs +ours):\n%s", args, diff)
	}
}

var (
	opaque = regexp.MustCompile(`(?m) (trusted|user)\.overlay\.opaque=x\b`)
	// Their reader takes bytes behind the end of a path.
	junk = regexp.MustCompile(`(/path)(\\x[0-9a-f]{2}|[^\n -~])+`)
)

func withoutFaults(text string) string {
	return junk.ReplaceAllString(opaque.ReplaceAllString(text, ""), "$1")
}

func TestOracleDumps(t *testing.T) {
	tools(t)
	dumps, err := filepath.Glob("../../format/erofs/testdata/dumps/*.dump")
	if err != nil || len(dumps) != 140 {
		t.Fatalf("%d dumps, %v", len(dumps), err)
	}
	image := filepath.Join(t.TempDir(), "image")
	for _, dump := range dumps {
		for _, option := range []string{"--threads=2", "--min-version=0", "--min-version=1", "--max-version=1", "--max-version=0", "--use-epoch", "--skip-xattrs", "--digest-store=/nowhere"} {
			compare(t, "mkcomposefs", "--from-file", option, "--print-digest-only", dump)
		}
		if status, _ := ours("mkcomposefs", "--from-file", dump, image); status != 0 {
			t.Errorf("%s: status %d", dump, status)
		}
		for _, command := range []string{"ls", "objects", "missing-objects", "dump", "measure-file"} {
			if strings.Contains(dump, "ext-foreign-path") && command != "dump" {
				continue // their junk differs from place to place
			}
			compare(t, "composefs-info", command, image)
		}
	}
	bad, err := filepath.Glob("../../format/dumpfile/testdata/should-fail/*.dump")
	if err != nil || len(bad) == 0 {
		t.Fatalf("%d dumps, %v", len(bad), err)
	}
	for _, dump := range bad {
		if strings.Contains(dump, "hardlink-to-dir") {
			continue // which they accept
		}
		compare(t, "mkcomposefs", "--from-file", "--print-digest-only", dump)
	}
}

// directory makes a directory with a bit of all.
func directory(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "source")
	for _, sub := range []string{"a/b", "many", "with blank"} {
		if err := os.MkdirAll(filepath.Join(dir, sub), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for name, size := range map[string]int{"empty": 0, "a/64": 64, "a/65": 65, "a/b/4096": 4096, "a/b/4097": 4097, "with blank/1000000": 1_000_000, "\xff\n": 3} {
		if err := os.WriteFile(filepath.Join(dir, name), bytes.Repeat([]byte{byte(size), 'x'}, size)[:size], 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 300 {
		name := strings.Repeat(string(rune('a'+i%26)), 1+i/10)
		if err := os.Symlink(name, filepath.Join(dir, "many", name)); err != nil && !os.IsExist(err) {
			t.Fatal(err)
		}
	}
	if err := os.Link(filepath.Join(dir, "a/65"), filepath.Join(dir, "again")); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mkfifo(filepath.Join(dir, "fifo"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, value := range map[string]string{"user.a": "1", "user.b": "\x00=", "trusted.overlay.opaque": "y"} {
		for _, path := range []string{"a", "a/65", "."} {
			// Without the right or the support, there are less of them.
			_ = unix.Setxattr(filepath.Join(dir, path), name, []byte(value), 0)
		}
	}
	_ = unix.Mknod(filepath.Join(dir, "a/whiteout"), unix.S_IFCHR, 0)
	_ = unix.Mknod(filepath.Join(dir, "null"), unix.S_IFCHR|0o666, int(unix.Mkdev(1, 3)))
	return dir
}

func TestOracleDirectory(t *testing.T) {
	tools(t)
	dir := directory(t)
	out := t.TempDir()
	for _, options := range []string{
		"--threads=1", "--threads=7", "--use-epoch", "--skip-devices", "--skip-xattrs", "--user-xattrs", "--min-version=1",
		"--max-version=0", "--min-version=1 --max-version=0", "--use-epoch --skip-devices --skip-xattrs",
	} {
		args := append([]string{"mkcomposefs", "--print-digest"}, strings.Fields(options)...)
		compare(t, append(args, dir, filepath.Join(out, "image"))...)
		compare(t, append(args, dir, "-")...)
	}
	var listing [2]string
	for i, f := range []func(...string) (int, string){theirs, ours} {
		name := []string{"theirs", "ours"}[i]
		store, image := filepath.Join(out, name, "store"), filepath.Join(out, name+".image")
		if status, _ := f("mkcomposefs", "--digest-store", store, dir, image); status != 0 {
			t.Fatalf("%s: status %d", name, status)
		}
		list, err := exec.Command("find", store, "-printf", "%P %m %s\n").Output()
		if err != nil {
			t.Fatal(err)
		}
		lines := strings.Split(string(list), "\n")
		slices.Sort(lines)
		listing[i] = strings.Join(lines, "\n")
	}
	if diff := cmp.Diff(listing[0], listing[1]); diff != "" {
		t.Errorf("store (-theirs +ours):\n%s", diff)
	}
	store, image := filepath.Join(out, "ours", "store"), filepath.Join(out, "ours.image")
	if same, err := exec.Command("cmp", image, filepath.Join(out, "theirs.image")).CombinedOutput(); err != nil {
		t.Errorf("images: %s", same)
	}
	first, err := filepath.Glob(store + "/*")
	if err != nil || len(first) == 0 {
		t.Fatal(err)
	}
	if err := os.RemoveAll(first[0]); err != nil {
		t.Fatal(err)
	}
	for _, command := range []string{"ls", "objects", "dump", "missing-objects", "measure-file"} {
		compare(t, "composefs-info", command, image)
		compare(t, "composefs-info", command, "--basedir", store, image)
		compare(t, "composefs-info", "--basedir="+store, command, image, image)
	}
}

// TestOracleErrors compares the exit status where something is wrong.
func TestOracleErrors(t *testing.T) {
	tools(t)
	dir := directory(t)
	t.Chdir(dir)
	image := filepath.Join(t.TempDir(), "image")
	for _, args := range []string{
		"mkcomposefs", "mkcomposefs a", "mkcomposefs --print-digest-only a image", "mkcomposefs a b c d", "mkcomposefs nothing IMAGE",
		"mkcomposefs empty IMAGE", "mkcomposefs a nothing/image", "mkcomposefs --from-file a IMAGE", "mkcomposefs --from-file nothing IMAGE",
		"mkcomposefs --from-file empty IMAGE", "mkcomposefs --min-version=2 a IMAGE", "mkcomposefs --max-version=2 a IMAGE",
		"mkcomposefs --min-version=x a IMAGE", "mkcomposefs --threads=0 a IMAGE", "mkcomposefs --threads=x a IMAGE", "mkcomposefs --frobnicate a IMAGE",
		"mkcomposefs --skip-xattrs --user-xattrs a IMAGE",
		"composefs-info", "composefs-info ls", "composefs-info frobnicate a", "composefs-info --frobnicate ls a", "composefs-info --basedir",
		"composefs-info --basedir=nothing ls IMAGE", "composefs-info ls nothing", "composefs-info ls empty", "composefs-info ls a", "composefs-info ls a/b/4096",
		"composefs-info measure-file nothing", "composefs-info measure-file a", "composefs-info --filter=a/b ls IMAGE", "composefs-info missing-objects",
	} {
		compare(t, strings.Fields(strings.ReplaceAll(args, "IMAGE", image))...)
	}
	for _, filter := range []string{"a", "null", "nothing"} {
		if status, _ := ours("mkcomposefs", dir, image); status != 0 {
			t.Fatal(status)
		}
		for _, command := range []string{"ls", "objects", "dump"} {
			compare(t, "composefs-info", "--filter", filter, command, image)
			compare(t, "composefs-info", "--filter", filter, "--filter=empty", command, image)
		}
	}
}
