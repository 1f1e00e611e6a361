package tool_test

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/bootc-go/bootc/internal/linux/tool"
)

// script puts a program called fake into $PATH.
func script(t *testing.T, text string) tool.Tool {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "fake"), []byte("#!/bin/sh\n"+text), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
	return "fake"
}

func TestOutput(t *testing.T) {
	fake := script(t, `echo "$# $2"; echo noise >&2; [ ! -t 0 ] && cat`)
	got, err := tool.Output(t.Context(), fake, "a", "b c")
	if err != nil || string(got) != "2 b c\n" {
		t.Errorf("Output = %q, %v", got, err)
	}
}

func TestFailureTellsWhatWasSaid(t *testing.T) {
	fake := script(t, "echo out; echo first >&2; echo >&2; echo 'second  ' >&2; exit 3")
	err := tool.Run(t.Context(), fake)
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != 3 || !strings.HasSuffix(err.Error(), "exit status 3: first; second") {
		t.Errorf("Run = %v", err)
	}
}

func TestLongComplaintIsCut(t *testing.T) {
	fake := script(t, "i=0; while [ $i -lt 500 ]; do echo complaint $i >&2; i=$((i+1)); done; exit 1")
	err := tool.Run(t.Context(), fake)
	if err == nil || len(err.Error()) > 1200 || !strings.HasSuffix(err.Error(), "complaint 499") {
		t.Errorf("Run = %v", err)
	}
}

func TestMissing(t *testing.T) {
	if err := tool.Run(t.Context(), "no-such-program-here"); !errors.Is(err, tool.ErrMissing) {
		t.Errorf("Run = %v, want ErrMissing", err)
	}
}

func TestCancelled(t *testing.T) {
	fake := script(t, "exec sleep 60")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := tool.Run(ctx, fake); !errors.Is(err, context.Canceled) {
		t.Errorf("Run = %v, want Canceled", err)
	}
}
