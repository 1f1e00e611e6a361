package progress

import (
	"fmt"
	"math"
	"strings"
	"time"
	"unicode"

	"github.com/bootc-go/bootc"
)

// A meter measures one task: since when it runs, and how fast it is now.
type meter struct {
	key     string
	began   time.Time
	sampled time.Time
	bytes   uint64
	rate    float64 // bytes a second, smoothed
}

const (
	sampleEvery = 500 * time.Millisecond
	smoothOver  = 5 * time.Second
)

func newMeter(key string, now time.Time) meter {
	return meter{key: key, began: now, sampled: now}
}

// sample takes in how far the task is. The rate follows what the last five
// seconds or so brought.
func (m *meter) sample(now time.Time, bytes uint64) {
	dt := now.Sub(m.sampled)
	if dt < sampleEvery || bytes < m.bytes {
		return
	}
	current := float64(bytes-m.bytes) / dt.Seconds()
	if m.rate == 0 {
		m.rate = current
	} else {
		weight := 1 - math.Exp(-dt.Seconds()/smoothOver.Seconds())
		m.rate += weight * (current - m.rate)
	}
	m.sampled, m.bytes = now, bytes
}

// left estimates the time that the rest takes; false if that cannot be told.
func (m *meter) left(e bootc.Bytes) (time.Duration, bool) {
	if m.rate < 1 || e.Total <= e.Bytes {
		return 0, false
	}
	s := float64(e.Total-e.Bytes) / m.rate
	if s > (100 * time.Hour).Seconds() {
		return 0, false
	}
	return time.Duration(s * float64(time.Second)), true
}

// summary is the line that stays when a task is done.
func (m *meter) summary(e bootc.Bytes, now time.Time) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %s", label(e.Description, e.Task), size(e.Bytes))
	if e.StepsTotal > 0 || e.StepsCached > 0 {
		fmt.Fprintf(&b, " in %s", layers(e.StepsTotal))
		if e.StepsCached > 0 {
			fmt.Fprintf(&b, " (%d more already here)", e.StepsCached)
		}
	}
	took := now.Sub(m.began)
	fmt.Fprintf(&b, ", %s", clock(took))
	if took >= time.Second && e.Bytes > 0 {
		fmt.Fprintf(&b, ", %s/s", size(uint64(float64(e.Bytes)/took.Seconds())))
	}
	return b.String()
}

func label(description, task string) string {
	if description == "" {
		description = task
	}
	return printable(description)
}

func layers(n uint64) string {
	if n == 1 {
		return "1 layer"
	}
	return fmt.Sprintf("%d layers", n)
}

// size says a number of bytes, in powers of 1024.
func size(n uint64) string {
	unit, name := unitOf(n)
	return inUnit(n, unit) + " " + name
}

// sizes says two numbers of bytes in the unit of the second, "1.5/60.0 MiB".
func sizes(n, of uint64) string {
	unit, name := unitOf(of)
	return inUnit(n, unit) + "/" + inUnit(of, unit) + " " + name
}

func inUnit(n uint64, unit float64) string {
	if unit == 1 {
		return fmt.Sprint(n)
	}
	return fmt.Sprintf("%.1f", float64(n)/unit)
}

func unitOf(n uint64) (float64, string) {
	unit, names := 1.0, []string{"B", "KiB", "MiB", "GiB", "TiB"}
	for float64(n)/unit >= 999.5 && len(names) > 1 {
		unit, names = unit*1024, names[1:]
	}
	return unit, names[0]
}

// clock says a duration as 0:07, 12:34 or 1:02:03.
func clock(d time.Duration) string {
	s := int64(d.Round(time.Second) / time.Second)
	if s >= 3600 {
		return fmt.Sprintf("%d:%02d:%02d", s/3600, s/60%60, s%60)
	}
	return fmt.Sprintf("%d:%02d", s/60, s%60)
}

// printable makes one line of a text, without control characters.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\t':
			return ' '
		case unicode.IsControl(r) || unicode.Is(unicode.Cf, r) || r == unicode.ReplacementChar:
			return '?'
		}
		return r
	}, s)
}
