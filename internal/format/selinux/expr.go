package selinux

import (
	"fmt"
	"strings"
)

type op byte

const (
	opLiteral   op = iota // text
	opSet                 // one byte of set
	opConcat              // subs, one after the other
	opAlternate           // one of subs
	opRepeat              // subs[0], min to max times
	opCapture             // subs[0], as the next group
	opAssert              // a place: text is what both engines write
	opLook                // subs[0] in a group that only a backtracking engine has: text is its beginning
	opBackref             // what group min has matched
)

// unlimited is the max of a repetition without an end.
const unlimited = -1

// An expr is a regular expression over bytes.
type expr struct {
	op       op
	text     string
	set      set
	subs     []*expr
	min, max int
	lazy     bool
}

// backtracks reports whether the expression needs an engine that backtracks:
// for what looks around and refers to groups, and for repetitions of which the
// other engine has at most 1000. times is how often the expression is repeated.
func (e *expr) backtracks(times int) bool {
	switch e.op {
	case opLook, opBackref:
		return true
	case opRepeat:
		if times *= max(e.min, e.max, 1); times > 1000 {
			return true
		}
	}
	for _, s := range e.subs {
		if s.backtracks(times) {
			return true
		}
	}
	return false
}

// height is how deep things lie in each other.
func (e *expr) height() int {
	most := 0
	for _, s := range e.subs {
		most = max(most, s.height())
	}
	return most + 1
}

// cost is the number of places in the expression when its repetitions are
// written out, at most about most.
func (e *expr) cost(most int) int {
	n := 1 + len(e.text)
	for _, s := range e.subs {
		n += s.cost(most)
		if n > most {
			return n
		}
	}
	if e.op == opRepeat {
		n *= max(e.min, e.max, 1)
	}
	return n
}

// write writes the expression for the engine that backtracks, with numbers for
// its groups, or for the other one.
func (e *expr) write(b *strings.Builder, back bool) {
	switch e.op {
	case opLiteral:
		for i := range len(e.text) {
			writeByte(b, e.text[i])
		}
	case opSet:
		e.set.write(b)
	case opConcat:
		for _, s := range e.subs {
			s.write(b, back)
		}
	case opAlternate:
		b.WriteString("(?:")
		for i, s := range e.subs {
			if i > 0 {
				b.WriteByte('|')
			}
			s.write(b, back)
		}
		b.WriteByte(')')
	case opRepeat:
		b.WriteString("(?:")
		e.subs[0].write(b, back)
		b.WriteByte(')')
		e.writeCount(b)
	case opCapture:
		if back {
			b.WriteByte('(')
		} else {
			b.WriteString("(?:")
		}
		e.subs[0].write(b, back)
		b.WriteByte(')')
	case opAssert:
		e.writeAssert(b, back)
	case opLook:
		b.WriteString(e.text)
		e.subs[0].write(b, back)
		b.WriteByte(')')
	case opBackref:
		fmt.Fprintf(b, `(?:\%d)`, e.min)
	}
}

// writeAssert writes an assertion. To the engine that backtracks, some bytes
// above 127 are letters of words.
func (e *expr) writeAssert(b *strings.Builder, back bool) {
	const in, ahead, behind, notAhead, notBehind = "[0-9A-Z_a-z])", "(?=", "(?<=", "(?!", "(?<!"
	switch {
	case back && e.text == `\b`:
		b.WriteString("(?:" + behind + in + notAhead + in + "|" + notBehind + in + ahead + in + ")")
	case back && e.text == `\B`:
		b.WriteString("(?:" + behind + in + ahead + in + "|" + notBehind + in + notAhead + in + ")")
	default:
		b.WriteString(e.text)
	}
}

func (e *expr) writeCount(b *strings.Builder) {
	switch {
	case e.min == 0 && e.max == unlimited:
		b.WriteByte('*')
	case e.min == 1 && e.max == unlimited:
		b.WriteByte('+')
	case e.min == 0 && e.max == 1:
		b.WriteByte('?')
	case e.max == unlimited:
		fmt.Fprintf(b, "{%d,}", e.min)
	default:
		fmt.Fprintf(b, "{%d,%d}", e.min, e.max)
	}
	if e.lazy {
		b.WriteByte('?')
	}
}

func writeByte(b *strings.Builder, c byte) {
	if c >= '0' && c <= '9' || c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z' || c == '/' || c == '_' {
		b.WriteByte(c)
		return
	}
	fmt.Fprintf(b, `\x%02x`, c)
}

// items lists what a match consists of, one after the other.
func (e *expr) items() []*expr {
	switch e.op {
	case opConcat:
		var all []*expr
		for _, s := range e.subs {
			all = append(all, s.items()...)
		}
		return join(all)
	case opCapture:
		return e.subs[0].items()
	}
	return []*expr{e}
}

// join makes one literal of those that follow each other.
func join(items []*expr) []*expr {
	var all []*expr
	for _, e := range items {
		if n := len(all); n > 0 && e.op == opLiteral && all[n-1].op == opLiteral {
			all[n-1] = &expr{op: opLiteral, text: all[n-1].text + e.text}
			continue
		}
		all = append(all, e)
	}
	return all
}
