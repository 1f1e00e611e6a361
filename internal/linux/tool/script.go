package tool

import (
	"context"
	"fmt"
	"io"
	"os/exec"
	"sync"
	"syscall"
	"time"
)

// maxEnd is how much of the end of a script's output is returned.
const maxEnd = 2 << 10

// Script runs a program that an image or an owner brings, by its path, without
// input. What it prints goes to log; its end is returned. A program that is not
// executable is given to the shell. When the time is over, or ctx ends, it is
// killed with all processes that it has started and that stayed in its group.
func Script(ctx context.Context, path string, executable bool, limit time.Duration, log io.Writer) (said string, err error) {
	timed, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	cmd := exec.CommandContext(timed, path)
	if !executable {
		shell, err := Find(Bash)
		if err != nil {
			shell, err = Find(Shell)
		}
		if err != nil {
			return "", err
		}
		cmd = exec.CommandContext(timed, shell, path)
	}
	end := &tail{log: log}
	cmd.Stdout, cmd.Stderr = end, end
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = time.Second // who still has its output open is not waited for
	err = cmd.Run()
	switch {
	case ctx.Err() != nil:
		err = context.Cause(ctx)
	case timed.Err() != nil:
		err = fmt.Errorf("it was stopped after %s", limit)
	}
	return end.String(), err
}

// tail passes on what is written and keeps the end.
type tail struct {
	log io.Writer
	mu  sync.Mutex
	end []byte
}

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.end = append(t.end, p...)
	if n := len(t.end); n > maxEnd {
		t.end = append([]byte(nil), t.end[n-maxEnd:]...)
	}
	return t.log.Write(p)
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(t.end)
}
