package selinux

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/dlclark/regexp2"
)

// What all lookups may cost. A machine's image needs about a thousandth.
const (
	maxWork = 200_000_000_000 // steps of matching
	maxTime = 10 * time.Second
)

// A matcher is what Contexts remember from one lookup to the next.
type matcher struct {
	levels  []level // each below the one before
	engines map[int32]engine
	work    int64         // that is left
	time    time.Duration // that is left to engines that backtrack
}

func newMatcher() matcher {
	return matcher{engines: map[int32]engine{}, work: maxWork, time: maxTime}
}

var errWork = errors.New("matching the file contexts takes too much work")

// An engine matches one expression.
type engine interface {
	match(subject string, m *matcher) (bool, error)
}

// Lookup returns the label of a path, "" if it has none. It is fastest for the
// paths of a tree in depth-first order. An error means that the policy asks
// for too much work.
func (c *Contexts) Lookup(path string, t Type) (string, error) {
	i, err := c.find(path, t)
	if err != nil || i < 0 {
		return "", err
	}
	return c.specs[i].label, nil
}

// find returns the last line that matches, -1 if there is none.
func (c *Contexts) find(path string, t Type) (int32, error) {
	exact := c.findExact(path, t)
	m := &c.matcher
	if m.work < 0 {
		return -1, errWork
	}
	subject := ""
	for _, i := range c.candidates(directory(path)) {
		if i < exact {
			break
		}
		m.work--
		s := &c.specs[i]
		rest, ok := strings.CutPrefix(path, s.prefix)
		if !ok || s.typ != 0 && s.typ != t {
			continue
		}
		if m.work -= int64(len(path)) * int64(s.cost); m.work < 0 {
			return -1, errWork
		}
		if s.kind == kindRun {
			ok = s.run.match(rest)
		} else if ok = strings.Contains(rest, s.needle); ok {
			if subject == "" {
				subject = characters(path + string(t))
			}
			var err error
			if ok, err = c.search(i, subject); err != nil {
				return -1, s.wrap(err)
			}
		}
		if ok {
			return i, nil
		}
	}
	return exact, nil
}

func (c *Contexts) findExact(path string, t Type) int32 {
	all := c.index.exact[path]
	for n := len(all) - 1; n >= 0; n-- {
		if typ := c.specs[all[n]].typ; typ == 0 || typ == t {
			return all[n]
		}
	}
	return -1
}

// search matches with an engine, which is made when it is first needed.
func (c *Contexts) search(i int32, subject string) (bool, error) {
	e, ok := c.matcher.engines[i]
	if !ok {
		var err error
		if e, err = c.specs[i].engine(); err != nil {
			return false, err
		}
		c.matcher.engines[i] = e
	}
	return e.match(subject, &c.matcher)
}

// engine makes the engine for the line's expression. It is matched with a path
// and the letter of its type.
func (s *spec) engine() (engine, error) {
	var b strings.Builder
	back := s.expr.backtracks(1)
	if b.WriteString(`\A(?:`); back {
		b.Reset()
		b.WriteString(`\A(`)
	}
	s.expr.write(&b, back)
	b.WriteByte(')')
	if s.typ == 0 {
		b.WriteString(`(?s:.)`)
	} else {
		writeByte(&b, byte(s.typ))
	}
	b.WriteString(`\z`)
	if back {
		re, err := regexp2.Compile(b.String(), regexp2.None)
		return &backtracking{re}, err
	}
	re, err := regexp.Compile(b.String())
	return linear{re}, err
}

// linear is the engine of the standard library, whose time is linear in the
// length of the path.
type linear struct{ re *regexp.Regexp }

func (e linear) match(subject string, _ *matcher) (bool, error) {
	return e.re.MatchString(subject), nil
}

// backtracking is an engine that may need any time.
type backtracking struct{ re *regexp2.Regexp }

func (e *backtracking) match(subject string, m *matcher) (bool, error) {
	e.re.MatchTimeout = m.time
	start := time.Now()
	ok, err := e.re.MatchString(subject)
	m.time -= time.Since(start)
	if err != nil || m.time <= 0 {
		return false, fmt.Errorf("matching with look-around and back-references takes more than %v", maxTime)
	}
	return ok, nil
}

// characters gives each byte as the character of that number, which is what
// the engines see.
func characters(s string) string {
	plain := true
	for i := range len(s) {
		plain = plain && s[i] < utf8.RuneSelf
	}
	if plain {
		return s
	}
	var b strings.Builder
	for i := range len(s) {
		b.WriteRune(rune(s[i]))
	}
	return b.String()
}
