package progress

import (
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"golang.org/x/sys/unix"
	"golang.org/x/term"
)

// pipeLimit is how long a reader may leave the pipe full before the output is
// given up: the work must not hang on whoever watches it.
const pipeLimit = 10 * time.Second

// OpenFD takes over the file descriptor of --progress-fd: 3 or higher, and a
// pipe.
func OpenFD(fd int) (io.WriteCloser, error) {
	if fd < 3 {
		return nil, fmt.Errorf("progress file descriptor %d is one of the standard ones, want 3 or higher", fd)
	}
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return nil, fmt.Errorf("progress file descriptor %d: %w", fd, err)
	}
	if st.Mode&unix.S_IFMT != unix.S_IFIFO {
		return nil, fmt.Errorf("progress file descriptor %d is not a pipe", fd)
	}
	unix.CloseOnExec(fd)
	return &pipe{fd: fd, limit: pipeLimit}, nil
}

// A pipe writes only what fits without waiting, and waits for room only so
// long. It does so by asking before each write instead of O_NONBLOCK, which
// would change the other holders' descriptors as well.
type pipe struct {
	fd    int
	limit time.Duration
}

func (p *pipe) Write(data []byte) (int, error) {
	written := 0
	for written < len(data) {
		if err := p.room(); err != nil {
			return written, err
		}
		// A pipe that has any room has room for a page.
		n, err := unix.Write(p.fd, data[written:min(len(data), written+os.Getpagesize())])
		if n > 0 {
			written += n
		}
		if err != nil && !errors.Is(err, unix.EINTR) && !errors.Is(err, unix.EAGAIN) {
			return written, fmt.Errorf("writing progress: %w", err)
		}
	}
	return written, nil
}

func (p *pipe) room() error {
	end := time.Now().Add(p.limit)
	for {
		left := max(0, time.Until(end))
		fds := []unix.PollFd{{Fd: int32(p.fd), Events: unix.POLLOUT}}
		n, err := unix.Poll(fds, int((left+time.Millisecond-1)/time.Millisecond))
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case err != nil:
			return fmt.Errorf("waiting for the reader of progress: %w", err)
		case n == 0:
			return fmt.Errorf("nobody reads the progress pipe for %s", p.limit)
		}
		return nil
	}
}

func (p *pipe) Close() error { return unix.Close(p.fd) }

// Width returns how to learn the width of a terminal, nil if f is none (or
// one that cannot move its cursor, TERM=dumb).
func Width(f *os.File) func() int {
	fd := int(f.Fd())
	if !term.IsTerminal(fd) || os.Getenv("TERM") == "dumb" {
		return nil
	}
	return func() int {
		w, _, err := term.GetSize(fd)
		if err != nil || w <= 0 {
			return 80
		}
		return w
	}
}
