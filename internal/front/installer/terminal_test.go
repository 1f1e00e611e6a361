package installer_test

import (
	"context"
	"errors"
	"io"
	"os"
	"strings"
	"testing"

	"github.com/bootc-go/bootc/internal/front/installer"
)

func pipe(t *testing.T) (in, typed *os.File) {
	t.Helper()
	in, typed, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { in.Close(); typed.Close() })
	return in, typed
}

// TestTerminal reads lines until the end, of which the last may have no newline.
func TestTerminal(t *testing.T) {
	in, typed := pipe(t)
	if _, err := typed.WriteString("one\r\n\nlast"); err != nil {
		t.Fatal(err)
	}
	typed.Close()
	var out strings.Builder
	term := installer.NewTerminal(t.Context(), in, &out)
	for _, want := range []string{"one", "", "last"} {
		if got, err := term.ReadSecret("? "); err != nil || got != want {
			t.Errorf("read %q, %v, want %q", got, err, want)
		}
	}
	for range 2 {
		if got, err := term.ReadLine("? "); !errors.Is(err, io.EOF) {
			t.Errorf("after the end: %q, %v", got, err)
		}
	}
	if got, want := out.String(), "? ? ? ? \n? \n"; got != want {
		t.Errorf("shown %q, want %q", got, want)
	}
}

// TestTerminalCancelled ends a question when its context ends.
func TestTerminalCancelled(t *testing.T) {
	in, _ := pipe(t)
	ctx, cancel := context.WithCancel(t.Context())
	term := installer.NewTerminal(ctx, in, io.Discard)
	cancel()
	if got, err := term.ReadLine("? "); !errors.Is(err, io.EOF) {
		t.Errorf("read %q, %v, want io.EOF", got, err)
	}
}
