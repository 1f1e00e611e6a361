package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"golang.org/x/term"
)

// A screen tells people what goes on. On a terminal its last line is a clock.
type screen struct {
	out      io.Writer
	terminal bool
	begin    time.Time

	mu      sync.Mutex
	line    []byte // of a guest, not ended yet
	current string // the phase under way
	since   time.Time
	phases  []phase
	clock   *time.Ticker
}

type phase struct {
	name   string
	took   time.Duration
	failed bool
}

func newScreen(out *os.File) *screen {
	s := &screen{out: out, terminal: term.IsTerminal(int(out.Fd())), begin: time.Now()}
	if s.terminal {
		s.clock = time.NewTicker(time.Second)
		go func() {
			for range s.clock.C {
				s.mu.Lock()
				s.status()
				s.mu.Unlock()
			}
		}()
	}
	return s
}

// phase begins a phase; the returned function ends it.
func (s *screen) phase(name string) func(error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.current, s.since = name, time.Now()
	s.print(fmt.Sprintf("\n[%s] %s", stopwatch(time.Since(s.begin)), name))
	return func(err error) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.phases = append(s.phases, phase{name, time.Since(s.since), err != nil})
		s.current = ""
	}
}

// note prints a line of the laboratory's.
func (s *screen) note(text string) { s.text("  " + text) }

// command prints a command that is about to run in a machine.
func (s *screen) command(text string) { s.text("  # " + text) }

func (s *screen) text(text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.print(text)
}

// Write takes what a machine prints.
func (s *screen) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.line = append(s.line, p...)
	for {
		i := bytes.IndexByte(s.line, '\n')
		if i < 0 {
			return len(p), nil
		}
		s.print("    " + strings.TrimRight(string(s.line[:i]), "\r"))
		s.line = s.line[i+1:]
	}
}

// endLine prints what a machine has printed last, without a newline.
func (s *screen) endLine() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.line) > 0 {
		s.print("    " + string(s.line))
		s.line = nil
	}
}

// table ends the show.
func (s *screen) table(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.current = ""
	if s.clock != nil {
		s.clock.Stop()
	}
	s.print("")
	for _, p := range s.phases {
		mark := "done"
		if p.failed {
			mark = "FAILED"
		}
		s.print(fmt.Sprintf("  %-62s %8s  %s", p.name, stopwatch(p.took), mark))
	}
	result := "all done"
	if err != nil {
		result = "failed"
	}
	s.print(fmt.Sprintf("  %-62s %8s  %s", "together", stopwatch(time.Since(s.begin)), result))
}

// print prints lines above the clock.
func (s *screen) print(text string) {
	if s.terminal {
		fmt.Fprint(s.out, "\r\x1b[K")
	}
	fmt.Fprintln(s.out, text)
	s.status()
}

func (s *screen) status() {
	if s.terminal && s.current != "" {
		fmt.Fprintf(s.out, "\r\x1b[K  … %s", stopwatch(time.Since(s.since)))
	}
}

func stopwatch(d time.Duration) string {
	return fmt.Sprintf("%d:%02d", int(d.Minutes()), int(d.Seconds())%60)
}
