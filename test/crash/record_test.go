package crash_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/bootc-go/bootc/test/crash"
)

// TestRecording records writes with QEMU itself and replays them.
func TestRecording(t *testing.T) {
	if _, err := exec.LookPath("qemu-io"); err != nil {
		t.Skip("qemu-io is not installed")
	}
	dir := t.TempDir()
	disk, log, copied := filepath.Join(dir, "disk"), filepath.Join(dir, "log"), filepath.Join(dir, "copy")
	for _, f := range []string{disk, log, copied} {
		if err := os.WriteFile(f, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, f := range []string{disk, copied} {
		if err := os.Truncate(f, 1<<20); err != nil {
			t.Fatal(err)
		}
	}
	out, err := exec.Command("qemu-io", "--image-opts",
		"-c", "write -P 0x11 0 4k", "-c", "flush", "-c", "write -P 0x22 4k 8k", "-c", "write -P 0x33 512 512", "-c", "flush",
		"driver=blklogwrites,file.driver=raw,file.file.driver=file,file.file.filename="+disk+",log.driver=file,log.filename="+log).CombinedOutput()
	if err != nil {
		t.Fatalf("qemu-io: %v: %s", err, out)
	}
	r, err := crash.ReadRecording(log)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	flushes := r.Flushes()
	if len(flushes) < 2 {
		t.Fatalf("%d flushes in %+v, want 2 at least", len(flushes), r.Entries)
	}
	if err := r.Replay(copied, 0, flushes[0]); err != nil {
		t.Fatal(err)
	}
	if got := read(t, copied); got[0] != 0x11 || got[512] != 0x11 || got[4096] != 0 {
		t.Errorf("after the first flush: %#x %#x %#x, want 0x11 0x11 0", got[0], got[512], got[4096])
	}
	if err := r.Replay(copied, flushes[0], len(r.Entries)); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(read(t, copied), read(t, disk)) {
		t.Error("after all entries the copy is not what the disk is")
	}
}

// TestRecordingOfNothing reads what is left where nothing was recorded.
func TestRecordingOfNothing(t *testing.T) {
	log := filepath.Join(t.TempDir(), "log")
	if err := os.WriteFile(log, make([]byte, 4096), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := crash.ReadRecording(log); err == nil {
		t.Error("a log without a superblock was read")
	}
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return data
}
