package action_test

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/bootc-go/bootc"
	"github.com/bootc-go/bootc/internal/machine"
	"github.com/bootc-go/bootc/test/fault"
)

var allFaults = flag.Bool("faults", false, "let TestFaults plant every fault, and write its table anew")

// A plant is a fault in one system call or more.
type plant struct {
	name  string
	errno unix.Errno // 0: the process is killed
	// forever: all later calls fail, too.
	forever bool
	// fits says in which calls it can happen.
	fits func(fault.Call) bool
}

func plants() []plant {
	any := func(fault.Call) bool { return true }
	grows := func(c fault.Call) bool { return !c.Flush && !strings.HasPrefix(c.Name, "unlink") }
	return []plant{
		{"killed", 0, false, any},
		{"EIO", unix.EIO, false, any},
		{"EIO for ever", unix.EIO, true, any},
		{"ENOSPC", unix.ENOSPC, false, grows},
		{"ENOSPC for ever", unix.ENOSPC, true, grows},
	}
}

// label is what a call does, without what differs from file to file.
func label(c fault.Call) string { return c.Name + " " + class(c.Path) }

// in plants the fault in one of the calls. What several goroutines do at once has
// no order; so the call is found by its label, as the n-th of those with the same.
// planted is set when it was found.
func (p plant) in(calls []fault.Call, at int, planted *bool) func(int, fault.Call) fault.Verdict {
	want, left := label(calls[at]), 0
	for _, c := range calls[:at] {
		if label(c) == want {
			left++
		}
	}
	return func(_ int, c fault.Call) fault.Verdict {
		switch {
		case *planted:
			if !p.forever || !p.fits(c) {
				return fault.Verdict{}
			}
		case label(c) != want:
			return fault.Verdict{}
		case left > 0:
			left--
			return fault.Verdict{}
		}
		*planted = true
		return fault.Verdict{Errno: p.errno, Kill: p.errno == 0}
	}
}

// TestFaultChild is the process in which faults are planted.
func TestFaultChild(t *testing.T) {
	v := verbNamed(os.Getenv("FAULT_VERB"))
	if v == nil {
		return
	}
	l := &lab{T: t, dir: os.Getenv("FAULT_DIR"), store: os.Getenv("FAULT_STORE")}
	l.registry()
	lock, err := machine.TakeLock(t.Context(), l.root("run"), machine.LockOptions{})
	if booted := bootc.ID(os.Getenv("FAULT_BOOTED")); booted != "" {
		l.open(booted)
	}
	must(t, fault.Begin())
	if err == nil {
		err = v.run(context.Background(), l, nil)
	}
	text := ""
	if err != nil {
		text = err.Error()
	}
	must(t, os.WriteFile(os.Getenv("FAULT_RESULT"), []byte(text), 0o600))
	runtime.KeepAlive(lock)
	os.Exit(0)
}

// in runs the verb in a process of its own. killed is true if it has not come to its
// end; else text is its error, "" for none.
func (l *lab) in(v *verb, decide func(n int, c fault.Call) fault.Verdict) (r *fault.Run, text string, killed bool) {
	l.Helper()
	result := filepath.Join(l.TempDir(), "result")
	cmd := exec.Command(os.Args[0], "-test.run=^TestFaultChild$")
	cmd.Env = append(os.Environ(), "FAULT_VERB="+v.name, "FAULT_DIR="+l.dir, "FAULT_STORE="+l.store, "FAULT_RESULT="+result)
	if l.m != nil {
		cmd.Env = append(cmd.Env, "FAULT_BOOTED="+string(l.m.Booted.ID))
		l.shut()
	}
	var out strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &out
	r, err := fault.Watch(cmd, []string{l.dir + "/sysroot", l.dir + "/esp", l.dir + "/run"}, decide)
	must(l, err)
	data, err := os.ReadFile(result)
	if err == nil {
		return r, string(data), false
	}
	if r.State.ExitCode() >= 0 {
		l.Fatalf("the process has ended (%v): %s", r.State, out.String())
	}
	return r, "", true
}

// TestFaults plants faults in the system calls of each verb, each in a machine of
// its own, and in the verb that follows; then the verb succeeds. What comes of each
// is in testdata/faults.
func TestFaults(t *testing.T) {
	if err := fault.Supported(); err != nil {
		t.Skip(err)
	}
	if info, err := os.Stat("/dev/shm"); err == nil && info.IsDir() {
		t.Setenv("TMPDIR", "/dev/shm") // the verbs flush often
	}
	for _, v := range verbs() {
		t.Run(v.name, func(t *testing.T) {
			table := newTable(t, v.name)
			base := newFaultLab(t, &v)
			end, calls := base.faultless(&v)
			t.Logf("%d calls", len(calls))
			planted := 0
			for at, c := range calls {
				for k, p := range plants() {
					if !p.fits(c) || !*allFaults && !sampled(at, k, c, len(calls)) {
						continue
					}
					planted++
					t.Run(fmt.Sprintf("%d %s: %s", at, c, p.name), func(t *testing.T) {
						l := base.clone(t)
						table.add(l.plant(&v, p, calls, at, end))
					})
				}
			}
			planted += base.plantInSteps(t, &v, table, end)
			t.Logf("%d faults", planted)
			table.check()
		})
	}
}

// sampled picks some of the faults: all flushes that fail, and of each kind some, at
// places that differ.
func sampled(at, kind int, c fault.Call, calls int) bool {
	if c.Flush && plants()[kind].name == "EIO" {
		return true
	}
	every := max(1, calls/5)
	return at%every == kind*every/5
}

// faultless runs the verb without a fault. end is what the machine comes to.
func (l *lab) faultless(v *verb) (end string, calls []fault.Call) {
	l.Helper()
	c := l.clone(l.T)
	defer c.shut()
	r, text, killed := c.in(v, func(int, fault.Call) fault.Verdict { return fault.Verdict{} })
	if text != "" || killed {
		l.Fatalf("without a fault: %q, killed: %t", text, killed)
	}
	c.reopen(v)
	return c.state(v), r.Calls
}

// plant runs the verb with the fault and judges the machine: as it runs, or after a
// boot; and again after the same verb was tried with another fault.
func (l *lab) plant(v *verb, p plant, calls []fault.Call, at int, end string) row {
	l.Helper()
	defer l.shut()
	planted := false
	r, text, killed := l.in(v, p.in(calls, at, &planted))
	if !planted {
		l.Skip("there were fewer such calls this time")
	}
	if killed != (p.errno == 0) {
		l.Fatalf("killed: %t", killed)
	}
	l.reopen(v)
	out := row{call: label(calls[at]), fault: p.name, state: l.state(v), text: text, killed: killed}
	if !killed && text == "" && out.state != end {
		l.Errorf("no error, and the machine is %s; want %s", out.state, end)
	}
	if at%2 == 0 {
		l.shut()
		must(l, r.Forget())
		l.restart(v)
	}
	l.whole(v)
	if at%3 == 0 && l.state(v) != end {
		second := plants()[at/3%len(plants())]
		r, _, _ := l.in(v, second.in(calls, at*7%len(calls), new(bool)))
		must(l, r.Forget())
		l.restart(v)
		l.whole(v)
	}
	l.comesTo(v, end)
	return out
}

// comesTo runs the verb without a fault, unless the machine has come to its end.
func (l *lab) comesTo(v *verb, end string) {
	l.Helper()
	if l.state(v) != end {
		if err := v.run(context.Background(), l, nil); err != nil {
			l.Errorf("without a fault: %v", err)
		}
	}
	if got := l.state(v); got != end && got != v.costs {
		l.Errorf("in the end: %s, want %s", got, end)
	}
	l.whole(v)
}

// plantInSteps lets one step of the verb after the other fail, and the process
// panic at it.
func (l *lab) plantInSteps(t *testing.T, v *verb, b *table, end string) int {
	l.Helper()
	for n := 0; ; n++ {
		last := true
		for _, panics := range []bool{false, true} {
			c := l.clone(t)
			if !v.installs {
				c.open(l.m.Booted.ID)
			}
			out, ok := c.plantInStep(v, n, panics)
			if ok {
				last = false
				c.whole(v)
				c.comesTo(v, end)
				b.add(out)
			}
			c.shut()
		}
		if last {
			return 2 * n
		}
	}
}

// plantInStep is false where the verb has fewer steps.
func (l *lab) plantInStep(v *verb, n int, panics bool) (out row, ok bool) {
	l.Helper()
	type planted struct{}
	ctx, cancel := context.WithCancelCause(l.Context())
	defer cancel(nil)
	told := -1
	progress := func(e bootc.Event) {
		s, is := e.(bootc.Steps)
		if is && !s.Done {
			told++
		}
		if !is || s.Done || told != n || ok {
			return
		}
		out.call, ok = "step: "+s.Description, true
		if panics {
			panic(planted{})
		}
		cancel(unix.EIO)
	}
	func() {
		defer func() {
			if r := recover(); r != nil {
				if _, is := r.(planted); !is {
					panic(r)
				}
			}
		}()
		if err := v.run(ctx, l, progress); err != nil {
			out.text = err.Error()
		}
	}()
	if !ok {
		return out, false
	}
	out.fault, out.killed = "fails", panics
	if panics {
		out.fault = "panics"
	}
	l.shut()
	l.reopen(v)
	out.state = l.state(v)
	return out, true
}

// clone is the same machine, running the same deployment.
func (l *lab) clone(t *testing.T) *lab {
	l.Helper()
	c := l.copy()
	c.T, c.m, c.known = t, l.m, l.known
	return c
}

// reopen opens the machine as it runs; restart boots it.
func (l *lab) reopen(v *verb) {
	l.Helper()
	if v.installs {
		l.m = nil
		if !l.installed() {
			return
		}
		l.restart(v)
		return
	}
	l.open(l.m.Booted.ID)
}

func (l *lab) restart(v *verb) {
	l.Helper()
	if v.installs && !l.installed() {
		l.m = nil
		return
	}
	l.boot()
}

func (l *lab) installed() bool {
	all, _ := filepath.Glob(l.dir + "/esp/loader/entries/*.conf")
	return len(all) > 0
}

// quiet starts no unit.
func quiet(context.Context, string) error { return nil }
