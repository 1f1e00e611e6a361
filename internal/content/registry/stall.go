package registry

import (
	"context"
	"errors"
	"net/http/httptrace"
	"sync"
	"sync/atomic"
	"time"
)

// errStalled is the cause of what ends because nothing arrived in time.
var errStalled = errors.New("no data arrives")

// A stall cancels its context when something takes longer than the limit. It
// runs only between start and stop, so a slow reader is no stall.
type stall struct {
	ctx    context.Context
	cancel context.CancelCauseFunc
	timer  *time.Timer
	limit  time.Duration
}

func newStall(ctx context.Context, limit time.Duration) *stall {
	s := &stall{limit: limit}
	s.ctx, s.cancel = context.WithCancelCause(ctx)
	s.timer = time.AfterFunc(limit, func() { s.cancel(errStalled) })
	s.timer.Stop()
	return s
}

func (s *stall) start() { s.timer.Reset(s.limit) }
func (s *stall) stop()  { s.timer.Stop() }
func (s *stall) close() { s.timer.Stop(); s.cancel(context.Canceled) }

// cause puts the stall in the place of an error that it brought about.
func (s *stall) cause(err error) error {
	if err != nil && errors.Is(context.Cause(s.ctx), errStalled) {
		return errStalled
	}
	return err
}

// An attempt is the context of opening an image once: a chain of requests,
// some to mirrors. It cannot see the bytes of a request inside the library, so
// it bounds the wait for each answer, by closing the connection (the library
// then goes on to the next mirror), and all together.
type attempt struct {
	ctx    context.Context
	cancel context.CancelFunc
	silent atomic.Bool // a connection was closed because no answer came

	mu    sync.Mutex
	timer *time.Timer
}

func newAttempt(ctx context.Context, limit time.Duration) *attempt {
	a := &attempt{}
	ctx, a.cancel = context.WithTimeoutCause(ctx, stallsPerOpen*limit, errStalled)
	a.ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GotConn: func(info httptrace.GotConnInfo) {
			a.arm(time.AfterFunc(limit, func() {
				a.silent.Store(true)
				_ = info.Conn.Close()
			}))
		},
		GotFirstResponseByte: func() { a.silent.Store(false); a.arm(nil) },
	})
	return a
}

func (a *attempt) arm(t *time.Timer) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.timer != nil {
		a.timer.Stop()
	}
	a.timer = t
}

func (a *attempt) close() { a.arm(nil); a.cancel() }

// cause puts the stall in the place of an error that it brought about.
func (a *attempt) cause(err error) error {
	if err != nil && (a.silent.Load() || errors.Is(context.Cause(a.ctx), errStalled)) {
		return errStalled
	}
	return err
}
