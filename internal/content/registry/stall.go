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

func newStall(ctx context.Context, cancel context.CancelCauseFunc, limit time.Duration) *stall {
	s := &stall{ctx: ctx, cancel: cancel, limit: limit}
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

// An attempt is the context of opening an image or a blob once: a chain of
// requests, some to mirrors. It cannot see the bytes of a request inside the
// library, so it bounds the wait for each answer, by closing the connection (the
// library then goes on to the next mirror), and all together.
type attempt struct {
	ctx    context.Context
	cancel context.CancelCauseFunc
	limit  time.Duration
	total  *time.Timer
	silent atomic.Bool // a connection was closed because no answer came
	open   atomic.Bool // what is asked for is there

	mu    sync.Mutex
	timer *time.Timer
}

// patience is how long nothing may come of an answer before that is told: the
// library waits by itself when a registry wants that.
const patience = 5 * time.Second

// newAttempt begins an attempt. waiting tells that the registry has answered and
// nothing comes of it.
func newAttempt(ctx context.Context, limit time.Duration, waiting func()) *attempt {
	a := &attempt{limit: limit}
	ctx, a.cancel = context.WithCancelCause(ctx)
	a.total = time.AfterFunc(stallsPerOpen*limit, func() { a.cancel(errStalled) })
	a.ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GotConn: func(info httptrace.GotConnInfo) {
			a.arm(time.AfterFunc(limit, func() {
				a.silent.Store(true)
				_ = info.Conn.Close()
			}))
		},
		GotFirstResponseByte: func() {
			a.silent.Store(false)
			if a.open.Load() {
				a.arm(nil)
			} else {
				a.arm(time.AfterFunc(patience, waiting))
			}
		},
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

// opened ends the attempt: its context is that of a body now.
func (a *attempt) opened() *stall {
	a.open.Store(true)
	a.total.Stop()
	a.arm(nil)
	return newStall(a.ctx, a.cancel, a.limit)
}

func (a *attempt) close() {
	a.total.Stop()
	a.arm(nil)
	a.cancel(context.Canceled)
}

// cause puts the stall in the place of an error that it brought about.
func (a *attempt) cause(err error) error {
	if err != nil && (a.silent.Load() || errors.Is(context.Cause(a.ctx), errStalled)) {
		return errStalled
	}
	return err
}
