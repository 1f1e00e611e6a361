package selinux

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// How deep things lie in each other in an expression at most.
const maxNesting = 250

// A grammar reads an expression. There are two: the linear one, of expressions
// that an automaton can match, and Perl's. They differ in what is in brackets,
// in some escapes, and in that only Perl's has assertions about what surrounds
// a place and references to groups.
//
// Sources: the syntax that the Rust crate regex documents, without its Unicode
// mode; pcre2pattern(3).
type grammar struct {
	src    string
	perl   bool
	pos    int
	depth  int
	fold   bool // case does not matter
	groups int  // that have begun
	names  map[string]int
}

// parseExpr parses an expression by the linear grammar or, where that is not
// possible, by Perl's.
func parseExpr(src string) (*expr, error) {
	// The whole expression is a group of its own, the first.
	e, err := (&grammar{src: src, groups: 1}).parse()
	if err == nil {
		return e, nil
	}
	return (&grammar{src: src, groups: 1, perl: true}).parse()
}

func (g *grammar) parse() (*expr, error) {
	e, err := g.alternatives()
	if err == nil && g.pos < len(g.src) {
		err = errors.New("closing parenthesis without an opening one")
	}
	if err == nil && e.height() > maxNesting {
		err = fmt.Errorf("more than %d things in each other", maxNesting)
	}
	if err != nil {
		return nil, fmt.Errorf("the expression %s is wrong at byte %d: %w", quote(g.src), g.pos, err)
	}
	return e, nil
}

func (g *grammar) more() bool          { return g.pos < len(g.src) }
func (g *grammar) rest() string        { return g.src[g.pos:] }
func (g *grammar) at(text string) bool { return strings.HasPrefix(g.rest(), text) }

// take goes over text if it is next.
func (g *grammar) take(text string) bool {
	if !g.at(text) {
		return false
	}
	g.pos += len(text)
	return true
}

// alternatives reads up to the end of a group. Options that are set inside end
// with it.
func (g *grammar) alternatives() (*expr, error) {
	if g.depth++; g.depth > maxNesting {
		return nil, fmt.Errorf("more than %d things in each other", maxNesting)
	}
	fold := g.fold
	defer func() { g.depth, g.fold = g.depth-1, fold }()
	var all []*expr
	for {
		e, err := g.concat()
		if err != nil {
			return nil, err
		}
		all = append(all, e)
		if !g.take("|") {
			break
		}
	}
	if len(all) == 1 {
		return all[0], nil
	}
	return &expr{op: opAlternate, subs: all}, nil
}

func (g *grammar) concat() (*expr, error) {
	var items []*expr
	for g.more() && !g.at("|") && !g.at(")") {
		e, err := g.atom()
		if err == nil && e != nil {
			e, err = g.repeated(e)
		}
		if err != nil {
			return nil, err
		}
		if e != nil {
			items = append(items, e)
		}
	}
	if items = join(items); len(items) == 1 {
		return items[0], nil
	}
	return &expr{op: opConcat, subs: items}, nil
}

// atom reads what a repetition can follow; nil is nothing, as an option is.
func (g *grammar) atom() (*expr, error) {
	switch c := g.src[g.pos]; c {
	case '(':
		return g.group()
	case '[':
		s, err := g.class()
		return &expr{op: opSet, set: s}, err
	case '.':
		g.pos++
		return &expr{op: opSet, set: anyByte()}, nil
	case '^':
		g.pos++
		return &expr{op: opAssert, text: `\A`}, nil
	case '$':
		// What is matched ends with the letter of the type, so that a line
		// feed before the end makes no difference.
		g.pos++
		return &expr{op: opAssert, text: `\z`}, nil
	case '\\':
		g.pos++
		return g.escape()
	case '*', '+', '?':
		return nil, fmt.Errorf("%q repeats nothing", c)
	case '{':
		if !g.perl {
			return nil, errors.New("a count of nothing")
		}
		if _, _, ok := g.count(); ok {
			return nil, errors.New("a count of nothing")
		}
	}
	return g.characters(), nil
}

// characters reads what stands for itself: bytes up to one that does not or
// that is repeated. In the linear grammar a character of several bytes is
// repeated as a whole.
func (g *grammar) characters() *expr {
	size := 1
	if !g.perl {
		_, size = utf8.DecodeRuneInString(g.rest())
	}
	end := g.pos + size
	for !g.fold && end < len(g.src) && g.src[end] < utf8.RuneSelf && !isMeta(g.src[end]) {
		if end+1 < len(g.src) && isRepetition(g.src[end+1]) {
			break
		}
		end++
	}
	if size == 1 && end > g.pos+1 && isRepetition(g.src[g.pos+1]) {
		end = g.pos + 1
	}
	text := g.src[g.pos:end]
	g.pos = end
	return g.literal(text)
}

func isRepetition(c byte) bool { return c == '*' || c == '+' || c == '?' || c == '{' }

func isMeta(c byte) bool { return isRepetition(c) || strings.IndexByte(`.()[]|^$\`, c) >= 0 }

func (g *grammar) literal(text string) *expr {
	if g.fold && len(text) == 1 {
		var s set
		s.add(text[0])
		if s.fold(); s.size() > 1 {
			return &expr{op: opSet, set: s}
		}
	}
	return &expr{op: opLiteral, text: text}
}

// repeated reads the repetitions of an atom.
func (g *grammar) repeated(e *expr) (*expr, error) {
	for times := 0; g.more() && times < maxNesting; times++ {
		low, high, ok := 0, unlimited, true
		switch g.src[g.pos] {
		case '*':
			g.pos++
		case '+':
			low, g.pos = 1, g.pos+1
		case '?':
			high, g.pos = 1, g.pos+1
		case '{':
			if low, high, ok = g.count(); !ok && !g.perl {
				return nil, errors.New("a count that is no number")
			}
		default:
			ok = false
		}
		switch {
		case !ok:
			return e, nil
		case high != unlimited && high < low:
			return nil, fmt.Errorf("a repetition of at least %d and at most %d", low, high)
		case times > 0 && g.perl:
			return nil, errors.New("a repetition of a repetition")
		}
		e = &expr{op: opRepeat, subs: []*expr{e}, min: low, max: high}
		if g.take("?") {
			e.lazy = true
		} else if g.perl && g.take("+") {
			e = &expr{op: opLook, text: "(?>", subs: []*expr{e}}
		}
	}
	return e, nil
}

// count reads {n}, {n,} or {n,m}; what is none stays unread.
func (g *grammar) count() (low, high int, ok bool) {
	body, _, ok := strings.Cut(g.rest()[1:], "}")
	if !ok {
		return 0, 0, false
	}
	first, last, two := strings.Cut(body, ",")
	if low, ok = decimal(first); !ok {
		return 0, 0, false
	}
	switch {
	case !two:
		high = low
	case last == "":
		high = unlimited
	default:
		if high, ok = decimal(last); !ok {
			return 0, 0, false
		}
	}
	g.pos += len(body) + 2
	return low, high, true
}

func decimal(s string) (int, bool) {
	if s == "" || len(s) > 5 || strings.Trim(s, "0123456789") != "" {
		return 0, false
	}
	n, err := strconv.Atoi(s)
	return n, err == nil
}

// group reads a group in parentheses, or options.
func (g *grammar) group() (*expr, error) {
	g.pos++
	if g.at("*") {
		return nil, errors.New("a verb of Perl's")
	}
	if !g.take("?") {
		g.groups++
		return g.closed(opCapture, "")
	}
	for _, look := range []string{"=", "!", "<=", "<!", ">"} {
		if g.take(look) {
			if !g.perl {
				return nil, errors.New("it looks around")
			}
			return g.closed(opLook, "(?"+look)
		}
	}
	for _, begin := range []string{"P<", "<"} {
		if g.take(begin) {
			return g.named()
		}
	}
	return g.options()
}

func (g *grammar) named() (*expr, error) {
	name, _, ok := strings.Cut(g.rest(), ">")
	if !ok || name == "" || strings.Trim(name, "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ_abcdefghijklmnopqrstuvwxyz") != "" || name[0] <= '9' {
		return nil, errors.New("a group without a proper name")
	}
	if _, twice := g.names[name]; twice {
		return nil, fmt.Errorf("a second group %q", name)
	}
	g.pos += len(name) + 1
	g.groups++
	if g.names == nil {
		g.names = map[string]int{}
	}
	g.names[name] = g.groups
	return g.closed(opCapture, "")
}

// options reads options, for what is left of the group around them or for one
// of their own. Line feeds are ordinary, and whether a repetition is greedy
// does not change what matches: only the option about case has a meaning.
func (g *grammar) options() (*expr, error) {
	outer, on := g.fold, true
	for ; g.more(); g.pos++ {
		switch c := g.src[g.pos]; c {
		case '-':
			on = false
		case 'i':
			g.fold = on
		case 's', 'U':
		case 'm':
			if g.perl {
				return nil, errors.New("the option m")
			}
		case ')':
			g.pos++
			return nil, nil
		case ':':
			g.pos++
			e, err := g.closed(opConcat, "")
			g.fold = outer
			return e, err
		default:
			return nil, fmt.Errorf("the option %q", c)
		}
	}
	return nil, errors.New("options without an end")
}

// closed reads up to the closing parenthesis.
func (g *grammar) closed(o op, text string) (*expr, error) {
	e, err := g.alternatives()
	if err == nil && !g.take(")") {
		err = errors.New("a parenthesis is not closed")
	}
	return &expr{op: o, text: text, subs: []*expr{e}}, err
}
