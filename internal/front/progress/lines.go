package progress

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/bootc-go/bootc"
)

// lineInterval is how often a log hears of a task that moves bytes.
const lineInterval = 10 * time.Second

// lines shows progress as lines for a log.
type lines struct {
	sink
	now     func() time.Time
	meter   meter
	written time.Time
	step    string // the last line about steps
}

func newLines(w io.Writer, now func() time.Time) *lines {
	return &lines{sink: sink{w: w}, now: now}
}

func (l *lines) event(e bootc.Event) {
	switch e := e.(type) {
	case bootc.Notice:
		l.write(printable(e.Text) + "\n")
	case bootc.Bytes:
		l.bytes(e)
	case bootc.Steps:
		if text := stepText(e); text != l.step && text != "" {
			l.step = text
			l.write(text + "\n")
		}
		if e.Done {
			l.step = ""
		}
	}
}

func (l *lines) bytes(e bootc.Bytes) {
	now, key := l.now(), e.Task+"\x00"+e.ID
	began := l.meter.key != key
	if began {
		l.meter = newMeter(key, now)
	}
	l.meter.sample(now, e.Bytes)
	switch {
	case e.Done:
		l.write(l.meter.summary(e, now) + "\n")
		l.meter = meter{}
	case began || now.Sub(l.written) >= lineInterval:
		l.written = now
		l.write(l.text(e) + "\n")
	}
}

func (l *lines) text(e bootc.Bytes) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %s", label(e.Description, e.Task), size(e.Bytes))
	if e.Total > 0 {
		fmt.Fprintf(&b, " of %s", size(e.Total))
	}
	if e.StepsTotal > 0 {
		fmt.Fprintf(&b, ", %d of %s", e.Steps, layers(e.StepsTotal))
	}
	if l.meter.rate >= 1 {
		fmt.Fprintf(&b, ", %s/s", size(uint64(l.meter.rate)))
	}
	if d, ok := l.meter.left(e); ok {
		fmt.Fprintf(&b, ", %s left", clock(d))
	}
	return b.String()
}

func (l *lines) close() {}

// stepText says which step of a task is under way, "" for its silent end.
func stepText(e bootc.Steps) string {
	if e.Description == "" && e.Done {
		return ""
	}
	text := label(e.Description, e.Task)
	if e.Total > 0 {
		return fmt.Sprintf("[%d/%d] %s", min(e.Steps+1, e.Total), e.Total, text)
	}
	return text
}
