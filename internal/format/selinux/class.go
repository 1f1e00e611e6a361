package selinux

import (
	"fmt"
	"math/bits"
	"strings"
)

// A set is a set of bytes.
type set [4]uint64

func (s *set) add(b byte)      { s[b>>6] |= 1 << (b & 63) }
func (s *set) has(b byte) bool { return s[b>>6]>>(b&63)&1 != 0 }

func (s *set) addRange(lo, hi byte) {
	for b := int(lo); b <= int(hi); b++ {
		s.add(byte(b))
	}
}

func (s *set) union(t set) {
	for i := range s {
		s[i] |= t[i]
	}
}

func (s *set) intersect(t set) {
	for i := range s {
		s[i] &= t[i]
	}
}

func (s set) not() set {
	for i := range s {
		s[i] = ^s[i]
	}
	return s
}

func (s set) size() int {
	n := 0
	for _, w := range s {
		n += bits.OnesCount64(w)
	}
	return n
}

// fold adds the other case of each letter.
func (s *set) fold() {
	for c := byte('a'); c <= 'z'; c++ {
		if upper := c - 'a' + 'A'; s.has(c) || s.has(upper) {
			s.add(c)
			s.add(upper)
		}
	}
}

// setOf makes a set of pairs of bytes, first and last of a range.
func setOf(ranges string) set {
	var s set
	for i := 0; i < len(ranges); i += 2 {
		s.addRange(ranges[i], ranges[i+1])
	}
	return s
}

const (
	digits = "09"
	spaces = "\t\r  "
	words  = "09AZ__az"
)

func anyByte() set { return set{}.not() }

// namedClass returns a class that is written [:name:] inside brackets.
func namedClass(name string) (set, bool) {
	bare, negated := strings.CutPrefix(name, "^")
	ranges := ""
	switch bare {
	case "alnum":
		ranges = "09AZaz"
	case "alpha":
		ranges = "AZaz"
	case "ascii":
		ranges = "\x00\x7f"
	case "blank":
		ranges = "\t\t  "
	case "cntrl":
		ranges = "\x00\x1f\x7f\x7f"
	case "digit":
		ranges = digits
	case "graph":
		ranges = "!~"
	case "lower":
		ranges = "az"
	case "print":
		ranges = " ~"
	case "punct":
		ranges = "!/:@[`{~"
	case "space":
		ranges = spaces
	case "upper":
		ranges = "AZ"
	case "word":
		ranges = words
	case "xdigit":
		ranges = "09AFaf"
	default:
		return set{}, false
	}
	s := setOf(ranges)
	if negated {
		s = s.not()
	}
	return s, true
}

// write writes the set as a class of either engine, which sees a byte as the
// character of that number.
func (s set) write(b *strings.Builder) {
	switch n := s.size(); {
	case n == 256:
		b.WriteString("(?s:.)")
		return
	case n == 0:
		b.WriteString(`[^\x00-\xff]`)
		return
	case n > 128:
		b.WriteString("[^")
		s = s.not()
	default:
		b.WriteByte('[')
	}
	for c := 0; c < 256; c++ {
		if !s.has(byte(c)) {
			continue
		}
		first := c
		for c < 255 && s.has(byte(c+1)) {
			c++
		}
		fmt.Fprintf(b, `\x%02x`, first)
		if c > first {
			fmt.Fprintf(b, `-\x%02x`, c)
		}
	}
	b.WriteByte(']')
}
