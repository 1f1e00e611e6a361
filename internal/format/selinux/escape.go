package selinux

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// escape reads what follows a backslash outside of brackets.
func (g *grammar) escape() (*expr, error) {
	if !g.more() {
		return nil, errors.New("a backslash at the end")
	}
	if s, ok := g.classEscape(); ok {
		return &expr{op: opSet, set: s}, nil
	}
	c := g.src[g.pos]
	switch c {
	case 'A', 'z', 'b', 'B':
		g.pos++
		return &expr{op: opAssert, text: `\` + string(c)}, nil
	case '<', '>':
		if !g.perl {
			g.pos++
			return wordEdge(c), nil
		}
	}
	if g.perl {
		if e, ok, err := g.perlEscape(c); ok || err != nil {
			return e, err
		}
	}
	b, err := g.byteEscape()
	if err != nil {
		return nil, err
	}
	return g.literal(string([]byte{b})), nil
}

// wordEdge is the place where a word begins or ends.
func wordEdge(c byte) *expr {
	word := []*expr{{op: opSet, set: setOf(words)}}
	look := &expr{op: opLook, text: "(?=", subs: word}
	if c == '>' {
		look.text = "(?<="
	}
	return &expr{op: opConcat, subs: []*expr{{op: opAssert, text: `\b`}, look}}
}

// perlEscape reads escapes that only Perl has, beside those for one byte.
func (g *grammar) perlEscape(c byte) (e *expr, ok bool, err error) {
	switch {
	case c == 'Z':
		g.pos++
		return &expr{op: opAssert, text: `\z`}, true, nil
	case c == 'Q':
		text, end, _ := strings.Cut(g.rest()[1:], `\E`)
		g.pos = len(g.src) - len(end)
		e := &expr{op: opConcat}
		for i := range len(text) {
			e.subs = append(e.subs, g.literal(text[i:i+1]))
		}
		return e, true, nil
	case c == 'E':
		g.pos++
		return nil, true, nil
	case c == 'g' || c == 'k':
		return g.reference()
	case c >= '1' && c <= '9':
		number := g.rest()[:len(g.rest())-len(strings.TrimLeft(g.rest(), "0123456789"))]
		n, ok := decimal(number)
		if !ok || n > 9 && n > strings.Count(g.src, "(")+1 {
			return nil, false, nil // an octal number
		}
		g.pos += len(number)
		return g.backref(n)
	}
	return nil, false, nil
}

// reference reads \g or \k with a number or name.
func (g *grammar) reference() (*expr, bool, error) {
	g.pos++
	name := ""
	for _, pair := range []string{"{}", "<>", "''"} {
		if body, _, ok := strings.Cut(strings.TrimPrefix(g.rest(), pair[:1]), pair[1:]); ok && g.at(pair[:1]) {
			name = body
			g.pos += len(body) + 2
			break
		}
	}
	if name == "" && g.more() {
		name = g.rest()[:1]
		g.pos++
	}
	if n, ok := g.names[name]; ok {
		return g.backref(n)
	}
	back, relative := strings.CutPrefix(name, "-")
	n, ok := decimal(back)
	if relative {
		n = g.groups + 1 - n
	}
	if !ok || n < 1 {
		return nil, false, errors.New("a reference to no group")
	}
	return g.backref(n)
}

func (g *grammar) backref(n int) (*expr, bool, error) {
	if n > strings.Count(g.src, "(")+1 {
		return nil, false, fmt.Errorf("a reference to group %d, which is not there", n)
	}
	if g.fold {
		return nil, false, errors.New("a reference to a group where case does not matter")
	}
	return &expr{op: opBackref, min: n}, true, nil
}

// classEscape reads an escape that stands for a set of bytes.
func (g *grammar) classEscape() (s set, ok bool) {
	negated := false
	switch c := g.src[g.pos]; c {
	case 'd', 'D':
		s, negated = setOf(digits), c == 'D'
	case 's', 'S':
		s, negated = setOf(spaces), c == 'S'
	case 'w', 'W':
		s, negated = setOf(words), c == 'W'
	default:
		if !g.perl {
			return s, false
		}
		switch c {
		case 'h', 'H':
			s, negated = setOf("\t\t  \xa0\xa0"), c == 'H'
		case 'v', 'V':
			s, negated = setOf("\n\r\x85\x85"), c == 'V'
		case 'N':
			s, negated = setOf("\n\n"), true
		default:
			return s, false
		}
	}
	g.pos++
	if negated {
		s = s.not()
	}
	return s, true
}

// byteEscape reads an escape that stands for one byte.
func (g *grammar) byteEscape() (byte, error) {
	c := g.src[g.pos]
	g.pos++
	switch c {
	case 'a':
		return '\a', nil
	case 'f':
		return '\f', nil
	case 'n':
		return '\n', nil
	case 'r':
		return '\r', nil
	case 't':
		return '\t', nil
	case 'x':
		return g.hex()
	}
	alnum := c >= '0' && c <= '9' || c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z'
	switch {
	case !g.perl && c == 'v':
		return '\v', nil
	case g.perl && c == 'e':
		return 0x1b, nil
	case g.perl && c >= '0' && c <= '7':
		g.pos--
		return g.octal()
	case alnum || !g.perl && (c >= 0x80 || c == '<' || c == '>'):
		return 0, fmt.Errorf(`\%c has no meaning`, c)
	}
	return c, nil
}

// hex reads the number of a byte after \x.
func (g *grammar) hex() (byte, error) {
	text := g.rest()
	if g.take("{") {
		body, _, ok := strings.Cut(g.rest(), "}")
		if !ok {
			return 0, errors.New("a number without an end")
		}
		g.pos += len(body) + 1
		text = body
	} else {
		text = text[:min(2, len(text))]
		g.pos += len(text)
	}
	n, err := strconv.ParseUint(text, 16, 8)
	if err != nil {
		return 0, fmt.Errorf("%q is not the number of a byte", text)
	}
	return byte(n), nil
}

// octal reads up to three octal digits.
func (g *grammar) octal() (byte, error) {
	n := 0
	for i := 0; i < 3 && g.more() && g.src[g.pos] >= '0' && g.src[g.pos] <= '7'; i++ {
		n = n*8 + int(g.src[g.pos]-'0')
		g.pos++
	}
	if n > 255 {
		return 0, fmt.Errorf("%d is not the number of a byte", n)
	}
	return byte(n), nil
}
