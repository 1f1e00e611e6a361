package vm

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"regexp"
	"strings"
	"sync"
	"time"
)

// tail keeps the last lines of what is written to it.
type tail struct {
	mu   sync.Mutex
	data []byte
}

const tailSize = 16 << 10

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.data = append(t.data, p...)
	if over := len(t.data) - tailSize; over > 0 {
		t.data = append(t.data[:0], t.data[over:]...)
	}
	return len(p), nil
}

func (t *tail) text() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return strings.TrimSpace(string(t.data))
}

// tee writes to two writers.
type tee struct{ a, b io.Writer }

func (t *tee) Write(p []byte) (int, error) {
	if n, err := t.a.Write(p); err != nil {
		return n, err
	}
	return t.b.Write(p)
}

// A serial is the log of a machine's serial port: a file, with the time since
// the machine was switched on before each line, and what to look out for.
type serial struct {
	file  *os.File
	since time.Time

	mu    sync.Mutex
	line  []byte
	last  []string // the last lines, without times
	fatal string   // the first line that says that this boot will not succeed
	grown time.Time
}

const serialTail = 60

// fatal lines: nothing comes after them that SSH could be waited for.
var fatal = regexp.MustCompile(`Kernel panic - not syncing|You are in emergency mode|Entering emergency mode|Press Enter for (emergency|maintenance)|` +
	`ALERT!.* does not exist|\(initramfs\)|No bootable option or device was found|BdsDxe: failed to start|Generating "/run/initramfs/rdsosreport\.txt"`)

// control are the sequences by which systemd and firmware color and move.
var control = regexp.MustCompile(`\x1b\[[0-9;?]*[A-Za-z]|\x1b[=>c78]|\x1b\][^\x1b\x07]*(\x07|\x1b\\)|\x1bP[^\x1b]*\x1b\\|[\x00-\x08\x0b-\x1f]`)

func newSerial(path string) (*serial, error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o644)
	if err != nil {
		return nil, err
	}
	return &serial{file: f, since: time.Now(), grown: time.Now()}, nil
}

func (s *serial) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.grown = time.Now()
	s.line = append(s.line, p...)
	for {
		i := bytes.IndexByte(s.line, '\n')
		if i < 0 {
			break
		}
		s.add(string(s.line[:i]))
		s.line = s.line[i+1:]
	}
	// A prompt has no newline.
	if clean := control.ReplaceAllString(string(s.line), ""); s.fatal == "" && fatal.MatchString(clean) {
		s.fatal = clean
	}
	return len(p), nil
}

func (s *serial) add(raw string) {
	text := strings.TrimRight(control.ReplaceAllString(raw, ""), " \t")
	if text == "" {
		return
	}
	fmt.Fprintf(s.file, "%8.2f %s\n", time.Since(s.since).Seconds(), text)
	s.last = append(s.last, text)
	if len(s.last) > serialTail {
		s.last = s.last[1:]
	}
	if s.fatal == "" && fatal.MatchString(text) {
		s.fatal = text
	}
}

// failed returns the line that says that the boot failed.
func (s *serial) failed() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.fatal
}

// forget begins a new boot.
func (s *serial) forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fatal = ""
}

// said looks for a text in the last lines.
func (s *serial) said(text string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, l := range s.last {
		if strings.Contains(l, text) {
			return true
		}
	}
	return strings.Contains(string(s.line), text)
}

func (s *serial) tail() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	lines := s.last
	if rest := control.ReplaceAllString(string(s.line), ""); rest != "" {
		lines = append(append([]string(nil), lines...), rest)
	}
	return strings.Join(lines, "\n")
}

func (s *serial) close() error { return s.file.Close() }
