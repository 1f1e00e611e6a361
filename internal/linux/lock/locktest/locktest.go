// Package locktest has another process hold a lock, for tests.
package locktest

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"testing"
)

// Hold runs a test of the calling test binary in a process of its own, with an
// environment variable such as "LOCK=file". The test takes a lock and calls [Held].
// The process is killed at the end of t.
func Hold(t *testing.T, test, variable string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^"+test+"$")
	cmd.Env = append(os.Environ(), variable)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = in.Close()
		_ = cmd.Process.Kill() // it may have ended
		_ = cmd.Wait()
	})
	if line, err := bufio.NewReader(out).ReadString('\n'); line != "held\n" {
		t.Fatalf("the holder says %q, %v", line, err)
	}
	return cmd
}

// Held says that the lock is held, and waits for the end of the process.
func Held() {
	fmt.Println("held")
	_, _ = bufio.NewReader(os.Stdin).ReadByte()
}
