package tool_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/bootc-go/bootc/internal/linux/tool"
)

func check(t *testing.T, perm os.FileMode, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "check.sh")
	if err := os.WriteFile(path, []byte(text), perm); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestScript(t *testing.T) {
	const text = "#!/bin/sh\necho out; echo err >&2; exit 4\n"
	for _, executable := range []bool{true, false} {
		perm := os.FileMode(0o644)
		if executable {
			perm = 0o755
		}
		var log bytes.Buffer
		said, err := tool.Script(t.Context(), check(t, perm, text), executable, time.Minute, &log)
		if err == nil || err.Error() != "exit status 4" || said != "out\nerr\n" || log.String() != said {
			t.Errorf("executable %v: Script = %q, %v, log %q", executable, said, err, log.String())
		}
	}
	if said, err := tool.Script(t.Context(), check(t, 0o755, "#!/bin/sh\n"), true, time.Minute, &bytes.Buffer{}); err != nil || said != "" {
		t.Errorf("Script = %q, %v", said, err)
	}
}

// TestScriptHangs stops a script with a child, which keeps the output open.
func TestScriptHangs(t *testing.T) {
	path := check(t, 0o755, "#!/bin/sh\necho begun\nsleep 1000 &\nsleep 1000\n")
	said, err := tool.Script(t.Context(), path, true, 200*time.Millisecond, &bytes.Buffer{})
	if err == nil || !strings.Contains(err.Error(), "stopped after 200ms") {
		t.Errorf("Script = %q, %v", said, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := tool.Script(ctx, path, true, time.Minute, &bytes.Buffer{}); !errors.Is(err, context.Canceled) {
		t.Errorf("Script = %v, want context.Canceled", err)
	}
}

func TestScriptLongOutput(t *testing.T) {
	var log bytes.Buffer
	said, err := tool.Script(t.Context(), check(t, 0o755, "#!/bin/sh\ni=0; while [ $i -lt 500 ]; do echo line $i; i=$((i+1)); done\n"), true, time.Minute, &log)
	if err != nil || len(said) != 2048 || !strings.HasSuffix(said, "line 499\n") || !strings.HasPrefix(log.String(), "line 0\n") {
		t.Errorf("%d bytes kept of %d, %v", len(said), log.Len(), err)
	}
}
