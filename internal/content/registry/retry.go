package registry

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"syscall"
	"time"

	"github.com/docker/distribution/registry/api/errcode"
	"go.podman.io/image/v5/docker"

	"github.com/bootc-go/bootc"
)

// A retry tries requests to a registry again when they fail for a reason that
// may pass.
type retry struct {
	options  Options
	remote   bool
	progress bootc.Progress
}

// tried is an error that stayed after several attempts.
type tried struct {
	attempts int
	error
}

func (t *tried) Unwrap() error { return t.error }

const firstPause = time.Second // doubled for each further attempt

func (r retry) do(ctx context.Context, f func(context.Context) error) error {
	pause := firstPause
	for n := 1; ; n++ {
		err := f(ctx)
		switch {
		case err == nil:
			return nil
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case !r.remote || !transient(err):
			return err
		case n >= r.options.Attempts:
			if n == 1 {
				return err
			}
			return &tried{n, err}
		}
		r.progress.Send(bootc.Notice{Text: fmt.Sprintf("%s; trying again (%d of %d)", clean(plain(err)), n+1, r.options.Attempts)})
		// The jitter keeps machines that failed together from coming back together.
		if err := r.options.Wait(ctx, pause+rand.N(pause/4)); err != nil {
			return err
		}
		pause *= 2
	}
}

// transient says whether an error may go away by itself.
func transient(err error) bool {
	var (
		status  docker.UnexpectedHTTPStatusError
		code    errcode.ErrorCoder
		dns     *net.DNSError
		timeout net.Error
		errno   syscall.Errno
	)
	switch {
	case errors.Is(err, errStalled), errors.Is(err, docker.ErrTooManyRequests):
		return true
	case errors.As(err, &status):
		return status.StatusCode >= 500
	case errors.As(err, &code):
		return code.ErrorCode() == errcode.ErrorCodeUnavailable || code.ErrorCode() == errcode.ErrorCodeTooManyRequests
	case untrusted(err):
		return false
	case errors.As(err, &dns):
		return dns.IsTimeout || dns.IsTemporary && !dns.IsNotFound
	case errors.As(err, &timeout) && timeout.Timeout():
		return true
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, net.ErrClosed):
		return true
	case errors.As(err, &errno):
		switch errno {
		case syscall.ECONNREFUSED, syscall.ECONNRESET, syscall.ECONNABORTED, syscall.EPIPE, syscall.ETIMEDOUT,
			syscall.ENETDOWN, syscall.ENETUNREACH, syscall.EHOSTDOWN, syscall.EHOSTUNREACH:
			return true
		}
	}
	return false
}

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-t.C:
		return nil
	}
}
