package progress_test

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/bootc-go/bootc"
	"github.com/bootc-go/bootc/internal/front/progress"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// A clock goes only when told.
type clock struct{ t time.Time }

func newClock() *clock { return &clock{time.Unix(1_700_000_000, 0)} }

func (c *clock) now() time.Time          { return c.t }
func (c *clock) advance(d time.Duration) { c.t = c.t.Add(d) }

func golden(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", file, diff)
	}
}

const mib = 1 << 20

// upgrade plays an upgrade: a notice, 60 MiB in 4 layers at 2 MiB/s, three
// steps.
func upgrade(c *clock, send bootc.Progress) {
	send(bootc.Notice{Text: "registry quay.io answers 503; trying again (2 of 4)"})
	e := bootc.Bytes{
		Task: "pulling", ID: "composefs-pull", Description: "Pulling composefs image",
		Cached: 100 * mib, Total: 60 * mib, StepsCached: 2, StepsTotal: 4,
	}
	for i := range 31 {
		e.Bytes = uint64(i) * 2 * mib
		e.Steps = e.Bytes / (15 * mib)
		e.Subtasks = nil
		if e.Steps < e.StepsTotal {
			e.Subtasks = []bootc.BytesSubtask{{
				Subtask: "composefs_layer", ID: fmt.Sprintf("sha256:%064d", e.Steps), Description: "layer",
				Bytes: e.Bytes % (15 * mib), Total: 15 * mib,
			}}
		}
		send(e)
		c.advance(time.Second)
	}
	e.Done = true
	send(e)
	for i, step := range []string{"Merging /etc", "Deploying", "Cleaning up"} {
		send(bootc.Steps{Task: "staging", ID: "staging", Description: step, Steps: uint64(i), Total: 3})
		c.advance(50 * time.Millisecond)
	}
	send(bootc.Steps{Task: "staging", ID: "staging", Description: "Cleaning up", Steps: 3, Total: 3, Done: true})
}

func TestLines(t *testing.T) {
	var out strings.Builder
	c := newClock()
	p := progress.New(progress.Options{Out: &out, Now: c.now})
	upgrade(c, p.Send)
	p.Close()
	golden(t, "lines.txt", out.String())
}

func TestQuiet(t *testing.T) {
	var out strings.Builder
	c := newClock()
	p := progress.New(progress.Options{Out: &out, Now: c.now, Quiet: true, Width: func() int { return 80 }})
	upgrade(c, p.Send)
	p.Close()
	if got, want := out.String(), "registry quay.io answers 503; trying again (2 of 4)\n"; got != want {
		t.Errorf("quiet output = %q, want %q", got, want)
	}
}

func TestNothing(t *testing.T) {
	c := newClock()
	p := progress.New(progress.Options{Now: c.now})
	upgrade(c, p.Send)
	p.Close()
}

// screen is what a terminal would show after some output: the lines that
// stayed and each state of the last one.
func screen(out string) string {
	out = strings.ReplaceAll(out, "\r\x1b[K", "␍")
	return strings.ReplaceAll(strings.ReplaceAll(out, "\n", "⏎\n"), "␍", "\n␍")
}

func TestBar(t *testing.T) {
	for _, width := range []int{120, 80, 40, 12} {
		t.Run(fmt.Sprint(width), func(t *testing.T) {
			var out strings.Builder
			c := newClock()
			p := progress.New(progress.Options{Out: &out, Now: c.now, Width: func() int { return width }})
			upgrade(c, p.Send)
			p.Close()
			for _, line := range strings.Split(out.String(), "\r\x1b[K") {
				if drawn, stays := strings.CutSuffix(line, "\n"); !stays && len([]rune(drawn)) >= width {
					t.Errorf("%d columns drawn on a terminal of %d: %q", len([]rune(drawn)), width, drawn)
				}
			}
			golden(t, fmt.Sprintf("bar-%d.txt", width), screen(out.String()))
		})
	}
}

func TestBarIsNotDrawnTooOften(t *testing.T) {
	var out strings.Builder
	c := newClock()
	p := progress.New(progress.Options{Out: &out, Now: c.now, Width: func() int { return 80 }})
	for i := range 1000 {
		p.Send(bootc.Bytes{Task: "pulling", ID: "x", Bytes: uint64(i), Total: 1000})
		c.advance(time.Millisecond)
	}
	p.Close()
	if n := strings.Count(out.String(), "\r"); n != 11 { // 10 in a second, and the one that clears
		t.Errorf("drawn %d times in a second, want 11", n)
	}
}

func TestNoControlCharacters(t *testing.T) {
	evil := "a\x1b]0;title\x07b\u202ec\u009bd\ne"
	for _, width := range []func() int{nil, func() int { return 80 }} {
		var out strings.Builder
		p := progress.New(progress.Options{Out: &out, Width: width, Now: newClock().now})
		p.Send(bootc.Notice{Text: evil})
		p.Send(bootc.Bytes{Task: "t", ID: "1", Description: evil, Total: 10})
		p.Send(bootc.Bytes{Task: "t", ID: "1", Description: evil, Total: 10, Done: true})
		p.Send(bootc.Steps{Task: "t", ID: "2", Description: evil})
		p.Close()
		got := strings.ReplaceAll(out.String(), "\r\x1b[K", "")
		if strings.ContainsAny(got, "\x1b\x07\u202e\u009b\r") {
			t.Errorf("control characters in %q", got)
		}
	}
}

// failing fails from the second write on.
type failing struct{ writes int }

func (f *failing) Write(p []byte) (int, error) {
	if f.writes++; f.writes > 1 {
		return 0, errors.New("broken pipe")
	}
	return len(p), nil
}

func TestBrokenOutputIsGivenUp(t *testing.T) {
	for name, o := range map[string]func(*failing) progress.Options{
		"json":  func(f *failing) progress.Options { return progress.Options{JSON: f} },
		"lines": func(f *failing) progress.Options { return progress.Options{Out: f} },
		"bar":   func(f *failing) progress.Options { return progress.Options{Out: f, Width: func() int { return 80 }} },
	} {
		t.Run(name, func(t *testing.T) {
			f, c := &failing{}, newClock()
			options := o(f)
			options.Now = c.now
			p := progress.New(options)
			upgrade(c, p.Send)
			p.Close()
			if f.writes != 2 {
				t.Errorf("%d writes, want 2: one that fails ends the output", f.writes)
			}
		})
	}
}
