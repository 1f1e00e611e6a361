package cpio_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/bootc-go/bootc/internal/format/cpio"
)

// write makes an archive of some contents.
func write(t *testing.T, name string, contents []byte, stamp int64) string {
	t.Helper()
	a, err := cpio.New(name, int64(len(contents)), stamp)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "root.cpio")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := a.WriteStart(f); err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt(contents, a.Start()); err != nil {
		t.Fatal(err)
	}
	if err := a.WriteEnd(f); err != nil {
		t.Fatal(err)
	}
	if st, err := f.Stat(); err != nil || st.Size() != a.Size() || a.Size()%512 != 0 {
		t.Errorf("%d bytes, want %d, whole units of 512; %v", st.Size(), a.Size(), err)
	}
	return path
}

// TestCpio has cpio read archives of files of any length.
func TestCpio(t *testing.T) {
	program, err := exec.LookPath("cpio")
	if err != nil {
		t.Skip("cpio is not installed")
	}
	for size := range 600 {
		contents := bytes.Repeat([]byte("x"), size)
		archive := write(t, "bootc/of/root.img", contents, 1700000000)
		f, err := os.Open(archive)
		if err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command(program, "--extract", "--preserve-modification-time", "--quiet")
		cmd.Dir, cmd.Stdin = t.TempDir(), f
		if out, err := cmd.CombinedOutput(); err != nil || len(out) > 0 {
			t.Fatalf("%d bytes: cpio: %v %s", size, err, out)
		}
		f.Close()
		to := filepath.Join(cmd.Dir, "bootc/of/root.img")
		if got, err := os.ReadFile(to); err != nil || !bytes.Equal(got, contents) {
			t.Fatalf("%d bytes came out as %d; %v", size, len(got), err)
		}
		for name, mode := range map[string]os.FileMode{to: 0o644, filepath.Dir(to): os.ModeDir | 0o755} {
			if st, err := os.Stat(name); err != nil || st.Mode() != mode {
				t.Fatalf("%s: %v %v", name, st.Mode(), err)
			}
		}
		if st, err := os.Stat(to); err != nil || !st.ModTime().Equal(time.Unix(1700000000, 0)) {
			t.Fatalf("%v %v", st.ModTime(), err)
		}
	}
}

// TestBytes compares with an archive that was made by hand.
func TestBytes(t *testing.T) {
	got, err := os.ReadFile(write(t, "a/b", []byte("12345"), 1<<40))
	if err != nil {
		t.Fatal(err)
	}
	z := strings.Repeat("0", 8)
	want := "070701" + "00000001" + "000041ED" + z + z + "00000002" + "FFFFFFFF" + z + z + z + z + z + "00000002" + z + "a\x00" +
		"070701" + "00000002" + "000081A4" + z + z + "00000001" + "FFFFFFFF" + "00000005" + z + z + z + z + "00000004" + z + "a/b\x00\x00\x00" +
		"12345\x00\x00\x00" +
		"070701" + z + z + z + z + "00000001" + z + z + z + z + z + z + "0000000B" + z + "TRAILER!!!\x00\x00\x00\x00"
	if text := string(got); !strings.HasPrefix(text, want) || strings.Trim(text[len(want):], "\x00") != "" {
		t.Errorf("got  %q\nwant %q", text, want)
	}
}

func TestRefused(t *testing.T) {
	for _, name := range []string{"", ".", "/a", "a/", "../a", "a//b"} {
		if _, err := cpio.New(name, 0, 0); err == nil {
			t.Errorf("the name %q was taken", name)
		}
	}
	if _, err := cpio.New("bootc/root.img", 1<<32, 0); err == nil || !strings.Contains(err.Error(), "bootc/root.img has 4294967296 bytes, at most 4294967295") {
		t.Errorf("4 GiB: %v", err)
	}
}
