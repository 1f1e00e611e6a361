package fault

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

// A notification is struct seccomp_notif of linux/seccomp.h: a call that waits for
// its verdict.
type notification struct {
	id    uint64
	pid   uint32 // the thread
	flags uint32
	nr    int32
	arch  uint32
	ip    uint64
	args  [6]uint64
}

// response is struct seccomp_notif_resp.
type response struct {
	id    uint64
	value int64
	errno int32
	flags uint32
}

// next waits for a call, nil: the process has ended.
func next(listener int) (*notification, error) {
	for {
		p := []unix.PollFd{{Fd: int32(listener), Events: unix.POLLIN}}
		if _, err := unix.Poll(p, -1); err != nil && !errors.Is(err, unix.EINTR) {
			return nil, err
		}
		if p[0].Revents&unix.POLLIN == 0 {
			if p[0].Revents&unix.POLLHUP != 0 {
				return nil, nil
			}
			continue
		}
		var n notification
		switch errno := ioctl(listener, unix.SECCOMP_IOCTL_NOTIF_RECV, unsafe.Pointer(&n)); errno {
		case 0:
			return &n, nil
		case unix.EINTR, unix.ENOENT: // it is gone
		default:
			return nil, fmt.Errorf("waiting for a system call: %w", errno)
		}
	}
}

// pass lets the call happen. That its process is gone is no error.
func (n *notification) pass(listener int) {
	r := response{id: n.id, flags: unix.SECCOMP_USER_NOTIF_FLAG_CONTINUE}
	ioctl(listener, unix.SECCOMP_IOCTL_NOTIF_SEND, unsafe.Pointer(&r))
}

// fail ends the call with an error.
func (n *notification) fail(listener int, errno unix.Errno) {
	r := response{id: n.id, errno: -int32(errno)}
	ioctl(listener, unix.SECCOMP_IOCTL_NOTIF_SEND, unsafe.Pointer(&r))
}

func ioctl(fd int, request uint, arg unsafe.Pointer) unix.Errno {
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), uintptr(request), uintptr(arg))
	return errno
}

// path is what the call is about, absolute.
func (n *notification) path(k kind) string {
	base := ""
	if k.fd >= 0 {
		base = n.link(int32(n.args[k.fd]))
	}
	if k.path < 0 {
		return base
	}
	name := n.text(n.args[k.path])
	// As by O_PATH handles: the file that is open.
	for _, proc := range []string{"/proc/self/fd/", "/proc/thread-self/fd/"} {
		if fd, ok := strings.CutPrefix(name, proc); ok {
			number, rest, _ := strings.Cut(fd, "/")
			var i int32
			if _, err := fmt.Sscan(number, &i); err == nil {
				return path.Join(n.link(i), rest)
			}
		}
	}
	if path.IsAbs(name) {
		return path.Clean(name)
	}
	return path.Join(base, name)
}

// link reads where a descriptor of the process leads.
func (n *notification) link(fd int32) string {
	name := fmt.Sprintf("/proc/%d/fd/%d", n.pid, fd)
	if fd == unix.AT_FDCWD {
		name = fmt.Sprintf("/proc/%d/cwd", n.pid)
	}
	text, err := os.Readlink(name)
	if err != nil {
		return ""
	}
	return text
}

// file tells which file the call writes to.
func (n *notification) file(k kind) fileID {
	var st unix.Stat_t
	if err := unix.Stat(fmt.Sprintf("/proc/%d/fd/%d", n.pid, int32(n.args[k.fd])), &st); err != nil || st.Mode&unix.S_IFMT != unix.S_IFREG {
		return fileID{}
	}
	return fileID{uint64(st.Dev), st.Ino}
}

// text reads a string of the process.
func (n *notification) text(at uint64) string {
	mem, err := os.Open(fmt.Sprintf("/proc/%d/mem", n.pid))
	if err != nil {
		return ""
	}
	defer mem.Close()
	buf := make([]byte, unix.PathMax)
	got, _ := mem.ReadAt(buf, int64(at)) // it may end before
	text, _, _ := bytes.Cut(buf[:got], []byte{0})
	return string(text)
}
