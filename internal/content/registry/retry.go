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

// A retry tries something again that fails for a reason that may pass.
type retry struct {
	options   Options
	explainer explainer
	limit     int // attempts in a row; 1 for a local source
	failed    int // of them
}

// tried is an error that stayed after several attempts.
type tried struct {
	attempts int
	error
}

func (t *tried) Unwrap() error { return t.error }

// Is tells that asking again later may help.
func (t *tried) Is(target error) bool { return target == ErrInterrupted }

const (
	firstPause = time.Second // doubled for each further attempt
	maxPause   = 30 * time.Second
)

func (r *retry) do(ctx context.Context, f func(context.Context) error) error {
	for {
		err := f(ctx)
		if err == nil {
			return nil
		}
		if err := r.pause(ctx, err, "trying again"); err != nil {
			return err
		}
	}
}

// attempt begins one.
func (r *retry) attempt(ctx context.Context) *attempt {
	return newAttempt(ctx, r.options.Stall, func() {
		text := fmt.Sprintf("%s: registry %s has answered, but gives nothing yet: it may want fewer requests", r.explainer.what, r.explainer.host(nil))
		r.options.Progress.Send(bootc.Notice{Text: text})
	})
}

// pause waits before another attempt, longer each time, and tells why. It
// returns an error if there is to be none.
func (r *retry) pause(ctx context.Context, err error, then string) error {
	r.failed++
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case !transient(err):
		return err
	case r.failed >= r.limit:
		if r.failed == 1 {
			return err
		}
		return &tried{r.failed, err}
	}
	r.options.Progress.Send(bootc.Notice{Text: fmt.Sprintf("%v; %s (%d of %d)", r.explainer.explain(err), then, r.failed+1, r.limit)})
	pause := maxPause
	if n := r.failed - 1; n < 5 {
		pause = min(pause, firstPause<<n)
	}
	// The jitter keeps machines that failed together from coming back together.
	return r.options.Wait(ctx, pause+rand.N(pause/4))
}

// transient says whether an error may go away by itself soon.
func transient(err error) bool {
	var (
		status  docker.UnexpectedHTTPStatusError
		code    errcode.ErrorCoder
		dns     *net.DNSError
		timeout net.Error
		errno   syscall.Errno
		short   *truncated
	)
	switch {
	case errors.Is(err, errStalled), errors.As(err, &short):
		return true
	case tooMany(err):
		// The library has asked five times then, with the pauses that the
		// registry wanted, up to a minute each.
		return false
	case errors.As(err, &status):
		return status.StatusCode >= 500
	case errors.As(err, &code):
		return code.ErrorCode() == errcode.ErrorCodeUnavailable
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
