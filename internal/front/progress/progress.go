// Package progress shows long work to people and to programs: a live bar on a
// terminal, plain lines elsewhere, and upstream's JSON lines on a pipe
// (--progress-fd).
//
// It consumes [bootc.Event] values and knows nothing of the work. It starts no
// goroutine and no clock: what is shown changes only when an event comes.
//
// Invariants:
//   - an output that fails is given up; the work never sees it;
//   - the last event of every task is shown, whatever the limits on the rate;
//   - text from elsewhere (image names, answers of a registry) reaches a
//     terminal without control characters.
//
// Source of the JSON form: bootc's progress protocol, version 0.1.0
// (docs/src/progress-v0.schema.json of upstream).
package progress

import (
	"io"
	"sync"
	"time"

	"github.com/bootc-go/bootc"
)

// Options say where progress goes. The zero value shows nothing.
type Options struct {
	// Out is where people read: a terminal or a log. nil shows nothing.
	Out io.Writer
	// Width returns the width of the terminal in columns; nil means that Out
	// is not a terminal. See [Width].
	Width func() int
	// Quiet leaves out everything but notices.
	Quiet bool
	// JSON receives JSON lines; nil for none. See [OpenFD].
	JSON io.Writer
	// Now tells the time; nil is time.Now.
	Now func() time.Time
}

// A Printer shows events, also those of several goroutines.
type Printer struct {
	mu    sync.Mutex
	views []view
}

// A view is one way of showing events.
type view interface {
	event(bootc.Event)
	close()
}

// New makes a Printer. JSON output begins at once.
func New(o Options) *Printer {
	if o.Now == nil {
		o.Now = time.Now
	}
	p := &Printer{}
	if o.JSON != nil {
		p.views = append(p.views, newJSONLines(o.JSON, o.Now))
	}
	switch {
	case o.Out == nil:
	case o.Quiet:
		p.views = append(p.views, &notices{sink{w: o.Out}})
	case o.Width != nil:
		p.views = append(p.views, newBar(o.Out, o.Width, o.Now))
	default:
		p.views = append(p.views, newLines(o.Out, o.Now))
	}
	return p
}

// Send shows an event. As a method value it is a [bootc.Progress].
func (p *Printer) Send(e bootc.Event) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, v := range p.views {
		v.event(e)
	}
}

// Close shows what the limit on the rate still held back, and leaves a
// terminal's cursor on an empty line. Nothing may be sent after it.
func (p *Printer) Close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, v := range p.views {
		v.close()
	}
	p.views = nil
}

// A sink writes until it fails once.
type sink struct {
	w      io.Writer
	broken bool
}

func (s *sink) write(text string) {
	if s.broken {
		return
	}
	if _, err := io.WriteString(s.w, text); err != nil {
		s.broken = true
	}
}

// notices shows nothing but notices.
type notices struct{ sink }

func (n *notices) event(e bootc.Event) {
	if e, ok := e.(bootc.Notice); ok {
		n.write(printable(e.Text) + "\n")
	}
}

func (n *notices) close() {}
