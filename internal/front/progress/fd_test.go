package progress_test

import (
	"io"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/bootc-go/bootc/internal/front/progress"
)

// TestFD writes through a real pipe, more than it holds.
func TestFD(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	fd, err := syscall.Dup(int(w.Fd()))
	if err != nil {
		t.Fatal(err)
	}
	w.Close()
	pipe, err := progress.OpenFD(fd)
	if err != nil {
		t.Fatal(err)
	}
	sent := strings.Repeat("0123456789abcdef", 20_000)
	failed := make(chan error, 1)
	go func() {
		_, err := io.WriteString(pipe, sent)
		if err == nil {
			err = pipe.Close()
		}
		failed <- err
	}()
	got, err := io.ReadAll(r)
	if err != nil || string(got) != sent {
		t.Errorf("read %d bytes, %v, want %d", len(got), err, len(sent))
	}
	if err := <-failed; err != nil {
		t.Error(err)
	}
}

func TestFDReaderGone(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	fd, err := syscall.Dup(int(w.Fd()))
	if err != nil {
		t.Fatal(err)
	}
	w.Close()
	r.Close()
	pipe, err := progress.OpenFD(fd)
	if err != nil {
		t.Fatal(err)
	}
	defer pipe.Close()
	if _, err := pipe.Write([]byte("x\n")); err == nil {
		t.Error("writing to a pipe that nobody reads: no error")
	}
}

func TestFDRefused(t *testing.T) {
	f, err := os.CreateTemp(t.TempDir(), "")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for _, tt := range []struct {
		fd   int
		want string
	}{
		{-1, "3 or higher"},
		{0, "3 or higher"},
		{2, "3 or higher"},
		{99999, "bad file descriptor"},
		{int(f.Fd()), "is not a pipe"},
	} {
		if _, err := progress.OpenFD(tt.fd); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("OpenFD(%d) = %v, want %q in it", tt.fd, err, tt.want)
		}
	}
}

func TestWidthOfNoTerminal(t *testing.T) {
	f, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if progress.Width(f) != nil {
		t.Error("/dev/null has a width")
	}
}
