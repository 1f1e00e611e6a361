package fault

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"unsafe"

	"golang.org/x/sys/unix"
)

// ErrNotSupported means that this kernel, or this user, cannot watch.
var ErrNotSupported = errors.New("the kernel does not let system calls be watched")

// Begin is called by the process that is to be watched. On return all of its
// threads are.
func Begin() error {
	fd, err := strconv.Atoi(os.Getenv(socketEnv))
	if err != nil {
		return fmt.Errorf("%s: %w", socketEnv, err)
	}
	listener, err := install()
	if err != nil {
		return err
	}
	if err := unix.Sendmsg(fd, []byte{0}, unix.UnixRights(listener), nil, 0); err != nil {
		return err
	}
	// Only the other one has it, so that it learns of our end.
	return errors.Join(unix.Close(listener), unix.Close(fd))
}

// Supported reports whether this process could be watched.
func Supported() error {
	action := uint32(unix.SECCOMP_RET_USER_NOTIF)
	_, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_GET_ACTION_AVAIL, 0, uintptr(unsafe.Pointer(&action)))
	switch {
	case errno != 0:
		return fmt.Errorf("%w: %w", ErrNotSupported, errno)
	case os.Geteuid() != 0:
		return fmt.Errorf("%w: not root", ErrNotSupported)
	}
	return nil
}

// install puts the filter on all threads, those to come included.
func install() (listener int, err error) {
	p := filter()
	prog := unix.SockFprog{Len: uint16(len(p)), Filter: &p[0]}
	// Once a call is shown it is not interrupted, or it would be shown twice.
	const flags = unix.SECCOMP_FILTER_FLAG_NEW_LISTENER | unix.SECCOMP_FILTER_FLAG_TSYNC |
		unix.SECCOMP_FILTER_FLAG_TSYNC_ESRCH | unix.SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV
	r, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, flags, uintptr(unsafe.Pointer(&prog)))
	runtime.KeepAlive(p)
	if errno != 0 {
		return -1, fmt.Errorf("%w: %w", ErrNotSupported, errno)
	}
	return int(r), nil
}

// receive waits for the listener.
func receive(socket *os.File) (int, error) {
	var b [1]byte
	oob := make([]byte, unix.CmsgSpace(4))
	_, n, _, _, err := unix.Recvmsg(int(socket.Fd()), b[:], oob, unix.MSG_CMSG_CLOEXEC)
	if err != nil {
		return -1, err
	}
	messages, err := unix.ParseSocketControlMessage(oob[:n])
	if err != nil || len(messages) != 1 {
		return -1, errors.Join(err, errors.New("it has ended before"))
	}
	fds, err := unix.ParseUnixRights(&messages[0])
	if err != nil {
		return -1, err
	}
	return fds[0], nil
}
