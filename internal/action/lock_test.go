package action_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/bootc-go/bootc/internal/machine"
	"github.com/bootc-go/bootc/test/fault"
)

// TestTwoAtOnce stops an upgrade in the middle of its work. No other verb begins
// meanwhile, and each says who is at work; once the upgrade is killed, the next one
// has the lock at once.
func TestTwoAtOnce(t *testing.T) {
	if err := fault.Supported(); err != nil {
		t.Skip(err)
	}
	l := newLab(t, "v1")
	l.call("one", l.m.Booted.ID)
	l.write("kept", "owner")
	booted := l.m
	v := verbNamed("upgrade")
	update(l)
	begun, kill, ended := make(chan int), make(chan bool), make(chan bool)
	go func() {
		defer close(ended)
		first := &lab{T: t, dir: l.dir, store: l.store, m: booted}
		_, _, killed := first.in(v, func(n int, c fault.Call) fault.Verdict {
			if n < 40 {
				return fault.Verdict{}
			}
			begun <- n
			<-kill
			return fault.Verdict{Kill: true}
		})
		if !killed {
			t.Error("the first upgrade has come to its end")
		}
	}()
	<-begun
	for _, name := range []string{"upgrade", "rollback", "finalize", "gc"} {
		second := &lab{T: t, dir: l.dir, store: l.store, m: booted}
		r, text, _ := second.in(verbNamed(name), func(int, fault.Call) fault.Verdict { return fault.Verdict{} })
		if !strings.HasPrefix(text, "another bootc is at work: action.test (process ") || len(r.Calls) > 0 {
			t.Errorf("%s beside an upgrade: %q, %d calls", name, text, len(r.Calls))
		}
	}
	_, err := machine.TakeLock(t.Context(), l.root("run"), machine.LockOptions{})
	if locked := (*machine.LockedError)(nil); !errors.As(err, &locked) {
		t.Errorf("TakeLock beside an upgrade = %v, want a LockedError", err)
	}
	close(kill)
	<-ended
	last := &lab{T: t, dir: l.dir, store: l.store, m: booted, known: l.known}
	if _, text, killed := last.in(v, func(int, fault.Call) fault.Verdict { return fault.Verdict{} }); text != "" || killed {
		t.Errorf("after the end of the first: %q", text)
	}
	last.open(booted.Booted.ID)
	defer last.shut()
	if got, want := last.state(v), "one; new staged"; got != want {
		t.Errorf("the machine is %s, want %s", got, want)
	}
	last.whole(v)
}
