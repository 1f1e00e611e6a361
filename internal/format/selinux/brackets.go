package selinux

import (
	"errors"
	"fmt"
	"strings"
)

// class reads a class in brackets.
func (g *grammar) class() (set, error) {
	if g.depth++; g.depth > maxNesting {
		return set{}, fmt.Errorf("more than %d things in each other", maxNesting)
	}
	defer func() { g.depth-- }()
	g.pos++
	negated := g.take("^")
	var s set
	var err error
	if g.perl {
		s, err = g.perlClass()
	} else {
		s, err = g.linearClass()
	}
	if negated {
		s = s.not()
	}
	return s, err
}

var errUnclosed = errors.New("a bracket is not closed")

// linearClass reads a class in which there may be classes, and operations of
// sets: intersection &&, difference -- and symmetric difference ~~, from left to
// right.
func (g *grammar) linearClass() (set, error) {
	var left, s set
	operation := ""
	combine := func() set {
		if g.fold {
			s.fold()
		}
		switch operation {
		case "&&":
			left.intersect(s)
		case "--":
			left.intersect(s.not())
		case "~~":
			both := left
			both.intersect(s)
			left.union(s)
			left.intersect(both.not())
		default:
			left = s
		}
		return left
	}
	empty := true
	for g.take("-") {
		s.add('-')
		empty = false
	}
	if empty && g.take("]") {
		s.add(']')
	}
	for g.more() {
		switch {
		case g.take("]"):
			return combine(), nil
		case g.at("&&"), g.at("--"), g.at("~~"):
			next := g.rest()[:2]
			g.pos += 2
			combine()
			operation, s = next, set{}
		case g.at("["):
			inner, ok := g.posixClass()
			if !ok {
				var err error
				if inner, err = g.class(); err != nil {
					return set{}, err
				}
			}
			s.union(inner)
		default:
			if err := g.ranged(&s); err != nil {
				return set{}, err
			}
		}
	}
	return set{}, errUnclosed
}

// perlClass reads a class of single bytes, ranges and named classes.
func (g *grammar) perlClass() (set, error) {
	var s set
	if g.take("]") {
		s.add(']')
	}
	for g.more() {
		if g.take("]") {
			if g.fold {
				s.fold()
			}
			return s, nil
		}
		if inner, ok := g.posixClass(); ok {
			s.union(inner)
			continue
		}
		if g.at("[:") && strings.Contains(g.rest(), ":]") || g.at("[.") || g.at("[=") {
			return set{}, errors.New("a class of an unknown name")
		}
		if err := g.ranged(&s); err != nil {
			return set{}, err
		}
	}
	return set{}, errUnclosed
}

// posixClass reads [:name:].
func (g *grammar) posixClass() (set, bool) {
	if !g.at("[:") {
		return set{}, false
	}
	name, _, ok := strings.Cut(g.rest()[2:], ":]")
	if !ok {
		return set{}, false
	}
	s, ok := namedClass(name)
	if ok {
		g.pos += len(name) + 4
	}
	return s, ok
}

// ranged reads one item of a class, or two with a dash between them.
func (g *grammar) ranged(s *set) error {
	lo, single, err := g.item(s)
	if err != nil {
		return err
	}
	rest := g.rest()
	isRange := len(rest) > 1 && rest[0] == '-' && rest[1] != ']' && (g.perl || rest[1] != '-')
	switch {
	case !isRange:
		if single {
			s.add(lo)
		}
		return nil
	case !single && g.perl:
		return nil // the dash stands for itself
	case !single:
		return errors.New("a range that begins with a class")
	}
	g.pos++
	before := *s
	hi, single, err := g.item(s)
	switch {
	case err != nil:
		return err
	case !single && g.perl:
		s.add(lo)
		s.add('-')
		return nil
	case !single:
		*s = before
		return errors.New("a range that ends with a class")
	case hi < lo:
		return fmt.Errorf("a range from %q to %q", lo, hi)
	}
	s.addRange(lo, hi)
	return nil
}

// item reads one byte, which it returns, or what stands for several, which it
// adds.
func (g *grammar) item(s *set) (b byte, single bool, err error) {
	if inner, ok := g.posixClass(); ok {
		s.union(inner)
		return 0, false, nil
	}
	c := g.src[g.pos]
	if c != '\\' {
		if c >= 0x80 && !g.perl {
			return 0, false, errors.New("a character of several bytes in brackets")
		}
		g.pos++
		return c, true, nil
	}
	if g.pos++; !g.more() {
		return 0, false, errUnclosed
	}
	if inner, ok := g.classEscape(); ok {
		s.union(inner)
		return 0, false, nil
	}
	if g.perl && g.take("b") {
		return '\b', true, nil
	}
	b, err = g.byteEscape()
	return b, err == nil, err
}
