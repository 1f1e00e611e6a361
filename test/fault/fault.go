// Package fault lets the n-th system call that writes fail, or kills the process
// at it: the real call of a real process, which the kernel stops before it has
// done anything (seccomp_unotify(2)).
//
// A test starts itself again as the process that is watched. That one calls
// [Begin] when it is ready, and then does its work; the other one calls [Watch]
// and decides of each call below the trees that it is told what becomes of it.
//
// Invariants:
//   - calls are shown one at a time, in the order in which the kernel got them; what
//     several goroutines do at once has no order;
//   - a call that is let pass runs as if nobody watched;
//   - what is not below the trees is let pass unseen.
//
// It needs Linux 5.19, amd64 or arm64, and root.
package fault

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// A Call is a system call that is going to write.
type Call struct {
	// Name is the kernel's: "write", "renameat".
	Name string
	// Path is below one of the trees: of a call with two, the new one.
	Path string
	// Flush: the call writes nothing, but waits until others are on disk.
	Flush bool

	file fileID // the file that the call is about, if it is open
}

func (c Call) String() string { return c.Name + " " + c.Path }

// A Verdict is what becomes of a call.
type Verdict struct {
	// Errno is its error, 0: it is let pass.
	Errno unix.Errno
	// Kill kills the process before the call.
	Kill bool
}

// A fileID tells a file from all others that are there at the time.
type fileID struct{ dev, ino uint64 }

// socketEnv says which file leads from the process that is watched to the one
// that watches it.
const socketEnv = "FAULT_SOCKET"

// A Run is what has become of a process.
type Run struct {
	// State is how it ended.
	State *os.ProcessState
	Calls []Call

	trees []string
	dirty map[fileID]bool // written, not flushed
	lost  map[fileID]bool // of these, what a flush that failed has lost
}

// Watch starts the command, lets decide say what becomes of each call below the
// trees, and waits until the process has ended.
func Watch(cmd *exec.Cmd, trees []string, decide func(n int, c Call) Verdict) (*Run, error) {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	ours, theirs := os.NewFile(uintptr(pair[0]), "socket"), os.NewFile(uintptr(pair[1]), "socket")
	defer ours.Close()
	cmd.ExtraFiles = append(cmd.ExtraFiles, theirs)
	cmd.Env = append(cmd.Environ(), fmt.Sprintf("%s=%d", socketEnv, 2+len(cmd.ExtraFiles)))
	// Nobody would answer a process that is left behind. The kernel takes the end of
	// this thread for that of the parent.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	err = cmd.Start()
	theirs.Close()
	if err != nil {
		return nil, err
	}
	r := &Run{trees: trees, dirty: map[fileID]bool{}, lost: map[fileID]bool{}}
	err = r.watch(cmd.Process, ours, decide)
	if err != nil {
		cmd.Process.Kill()
	}
	_ = cmd.Wait() // how it ended is in its state
	r.State = cmd.ProcessState
	return r, err
}

func (r *Run) watch(p *os.Process, socket *os.File, decide func(int, Call) Verdict) error {
	listener, err := receive(socket)
	if err != nil {
		return fmt.Errorf("waiting for the process to be ready: %w", err)
	}
	defer unix.Close(listener)
	for {
		n, err := next(listener)
		if err != nil || n == nil {
			return err
		}
		c, ok := r.call(n)
		if !ok {
			n.pass(listener)
			continue
		}
		v := decide(len(r.Calls), c)
		r.Calls = append(r.Calls, c)
		r.account(c, v)
		switch {
		case v.Kill:
			if err := p.Kill(); err != nil {
				return err
			}
		case v.Errno != 0:
			n.fail(listener, v.Errno)
		default:
			n.pass(listener)
		}
	}
}

// call finds out what a call is about. It is false for one that is not below the
// trees.
func (r *Run) call(n *notification) (Call, bool) {
	s := kinds()[int(n.nr)]
	c := Call{Name: s.name, Flush: s.flush}
	full := n.path(s)
	for _, t := range r.trees {
		if rest, ok := strings.CutPrefix(full, t); ok && (rest == "" || rest[0] == '/') {
			c.Path = strings.TrimPrefix(full, t[:strings.LastIndexByte(t, '/')+1])
			if s.path < 0 {
				c.file = n.file(s)
			}
			return c, true
		}
	}
	return c, false
}

// account notes what would be on a disk.
func (r *Run) account(c Call, v Verdict) {
	switch {
	case c.Flush && v.Errno == 0 && !v.Kill:
		if c.Name == "syncfs" {
			clear(r.dirty)
		}
		delete(r.dirty, c.file)
	case c.Flush && v.Errno != 0:
		for f := range r.dirty {
			if f == c.file || c.Name == "syncfs" {
				r.lost[f] = true
				delete(r.dirty, f)
			}
		}
	case v.Errno == 0 && !v.Kill && c.file != fileID{} && c.Name != "ioctl":
		r.dirty[c.file] = true
	}
}
