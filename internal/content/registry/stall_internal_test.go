package registry

import (
	"context"
	"errors"
	"net/http/httptrace"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// body is a connection's stream: chunks that come after some time, then
// silence until the context ends.
type body struct {
	ctx   context.Context
	every time.Duration
	left  int
}

func (b *body) Read(p []byte) (int, error) {
	if b.left == 0 {
		<-b.ctx.Done()
		return 0, b.ctx.Err()
	}
	select {
	case <-b.ctx.Done():
		return 0, b.ctx.Err()
	case <-time.After(b.every):
	}
	b.left--
	p[0] = 'x'
	return 1, nil
}

func (b *body) Close() error { return nil }

// TestStall runs under a clock that jumps: nothing is waited for.
func TestStall(t *testing.T) {
	for _, tt := range []struct {
		name          string
		every, pauses time.Duration // of the sender, of the reader
		chunks, want  int
		stalled       bool
	}{
		{"slow but steady", 59 * time.Second, 0, 100, 100, false},
		{"slow reader", time.Millisecond, time.Hour, 10, 10, false},
		{"too slow", 61 * time.Second, 0, 10, 0, true},
		{"falls silent", time.Second, time.Hour, 10, 10, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancelCause(t.Context())
				s := newStall(ctx, cancel, time.Minute)
				size := int64(tt.chunks)
				if tt.stalled {
					size = 1000
				}
				b := &blob{body: &body{s.ctx, tt.every, tt.chunks}, what: "layer x", want: size, stall: s, explainer: explainer{what: "layer x", stall: time.Minute}}
				defer b.Close()
				got := 0
				var err error
				for got < int(size) && err == nil {
					time.Sleep(tt.pauses)
					var n int
					n, err = b.Read(make([]byte, 10))
					got += n
				}
				if got != tt.want {
					t.Errorf("%d bytes, want %d", got, tt.want)
				}
				if errors.Is(err, errStalled) != tt.stalled {
					t.Errorf("error %v, want a stall: %v", err, tt.stalled)
				}
				if tt.stalled && !strings.Contains(err.Error(), "sends nothing for 1m0s") {
					t.Errorf("error %q", err)
				}
				if _, again := b.Read(make([]byte, 10)); err != nil && again != err {
					t.Errorf("after an error, Read = %v, want the same error", again)
				}
			})
		})
	}
}

// TestPatience: that the registry lets wait is told once an answer is there and
// nothing comes of it.
func TestPatience(t *testing.T) {
	for _, tt := range []struct {
		name   string
		after  func(*attempt)
		notice bool
	}{
		{"it waits", func(*attempt) {}, true},
		{"opened", func(a *attempt) { a.opened() }, false},
		{"given up", func(a *attempt) { a.close() }, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				told := false
				a := newAttempt(t.Context(), time.Minute, func() { told = true })
				defer a.close()
				httptrace.ContextClientTrace(a.ctx).GotFirstResponseByte()
				tt.after(a)
				time.Sleep(patience + time.Second)
				synctest.Wait()
				if told != tt.notice {
					t.Errorf("told: %v, want %v", told, tt.notice)
				}
			})
		})
	}
}
