package progress

import (
	"fmt"
	"io"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/bootc-go/bootc"
)

const (
	// barInterval limits how often the bar is drawn.
	barInterval = 100 * time.Millisecond
	// eraseLine goes to the first column and clears to the right.
	eraseLine = "\r\x1b[K"

	minBar, maxBar = 10, 40
	minLabel       = 8
)

// bar shows progress in the last line of a terminal.
type bar struct {
	sink
	width func() int
	now   func() time.Time
	meter meter
	drawn time.Time
	line  string // what stands in the last line
	step  string
}

func newBar(w io.Writer, width func() int, now func() time.Time) *bar {
	return &bar{sink: sink{w: w}, width: width, now: now}
}

func (b *bar) event(e bootc.Event) {
	switch e := e.(type) {
	case bootc.Notice:
		b.above(printable(e.Text))
	case bootc.Bytes:
		b.bytes(e)
	case bootc.Steps:
		b.steps(e)
	}
}

func (b *bar) bytes(e bootc.Bytes) {
	now, key := b.now(), e.Task+"\x00"+e.ID
	if b.meter.key != key {
		b.meter, b.drawn = newMeter(key, now), time.Time{}
	}
	b.meter.sample(now, e.Bytes)
	if e.Done {
		b.line = ""
		b.above(b.meter.summary(e, now))
		b.meter = meter{}
		return
	}
	if now.Sub(b.drawn) < barInterval {
		return
	}
	b.drawn = now
	b.draw(barLine(e, &b.meter, b.columns()))
}

// steps leaves each step behind as a line once the next one begins.
func (b *bar) steps(e bootc.Steps) {
	text := stepText(e)
	if text == b.step && !e.Done {
		return
	}
	if b.step != "" && text != b.step {
		b.line = ""
		b.above(b.step)
	}
	b.step = text
	if !e.Done {
		b.draw(clip(text, b.columns()))
		return
	}
	b.line = ""
	if text != "" {
		b.above(text)
	} else {
		b.draw("")
	}
	b.step = ""
}

// columns leaves the last column free: writing into it wraps some terminals.
func (b *bar) columns() int { return max(1, b.width()-1) }

func (b *bar) draw(line string) {
	b.line = line
	b.write(eraseLine + line)
}

// above writes a line that stays, and draws the last line again below it.
func (b *bar) above(text string) {
	b.write(eraseLine + text + "\n" + b.line)
}

func (b *bar) close() {
	if b.step != "" {
		b.line = ""
		b.above(b.step)
		b.step = ""
	}
	if b.line != "" {
		b.draw("")
	}
}

// barLine fits a task into the width: first the figures, then as much of the
// description and of a bar as there is room for. What does not fit goes, the
// least useful first.
func barLine(e bootc.Bytes, m *meter, width int) string {
	figures := []string{size(e.Bytes)}
	if e.Total > 0 {
		figures[0] = fmt.Sprintf("%3d%%  %s", percent(e), sizes(e.Bytes, e.Total))
	}
	if m.rate >= 1 {
		figures = append(figures, size(uint64(m.rate))+"/s")
	}
	if d, ok := m.left(e); ok {
		figures = append(figures, "ETA "+clock(d))
	}
	if e.StepsTotal > 0 {
		figures = append(figures, fmt.Sprintf("layer %d/%d", min(e.Steps+1, e.StepsTotal), e.StepsTotal))
	}
	text := label(e.Description, e.Task)
	for len(figures) > 1 && utf8.RuneCountInString(strings.Join(figures, "  ")) > width {
		figures = figures[:len(figures)-1]
	}
	right := strings.Join(figures, "  ")
	room := width - utf8.RuneCountInString(right) - 2
	if room < 4 {
		return clip(right, width)
	}
	if e.Total == 0 || room < minLabel+2+minBar {
		return clip(text, room) + "  " + right
	}
	text = clip(text, room-2-minBar)
	bar := min(room-2-utf8.RuneCountInString(text), maxBar)
	return text + "  " + gauge(e, bar) + "  " + right
}

func percent(e bootc.Bytes) uint64 {
	return uint64(float64(min(e.Bytes, e.Total)) * 100 / float64(e.Total))
}

// gauge draws [=====>    ], width columns wide.
func gauge(e bootc.Bytes, width int) string {
	inside := width - 2
	full := int(float64(min(e.Bytes, e.Total)) * float64(inside) / float64(e.Total))
	if full >= inside {
		return "[" + strings.Repeat("=", inside) + "]"
	}
	return "[" + strings.Repeat("=", full) + ">" + strings.Repeat(" ", inside-full-1) + "]"
}

// clip shortens a text to width columns, with an ellipsis.
func clip(s string, width int) string {
	if utf8.RuneCountInString(s) <= width {
		return s
	}
	r := []rune(s)
	if width <= 1 {
		return string(r[:max(0, width)])
	}
	return string(r[:width-1]) + "…"
}
