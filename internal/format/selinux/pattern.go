package selinux

import (
	"strings"
)

// A kind says how a path is compared with a pattern.
type kind byte

const (
	kindExact  kind = iota // the path is the prefix
	kindRun                // prefix, a run of bytes of a set, suffix
	kindEngine             // by an engine for regular expressions
)

// A pattern is what most expressions come to: a literal beginning, and a rest
// that can be compared without an engine.
type pattern struct {
	kind   kind
	prefix string // what every match begins with
	run    run
	// needle is what every match has somewhere after the prefix.
	needle string
	cost   int
}

// A run is lead, at least atLeast bytes of a set, suffix; or, where it is
// optional, nothing.
type run struct {
	lead     string
	set      set
	any      bool // the set has every byte
	atLeast  int
	suffix   string
	optional bool
}

func newPattern(e *expr) pattern {
	p := pattern{kind: kindEngine, cost: e.cost(maxCost)}
	rest := e.items()
	if len(rest) > 0 && rest[0].op == opLiteral {
		p.prefix, rest = rest[0].text, rest[1:]
	}
	if len(rest) == 0 {
		p.kind, p.cost = kindExact, 1
		return p
	}
	if r, ok := asRun(rest); ok {
		p.kind, p.run, p.cost = kindRun, r, 1
		return p
	}
	p.needle = needle(rest)
	return p
}

// asRun recognises a run, and one that is optional as a whole.
func asRun(items []*expr) (run, bool) {
	if len(items) == 1 && items[0].op == opRepeat && items[0].min == 0 && items[0].max == 1 {
		r, ok := asRun(items[0].subs[0].items())
		if ok = ok && !r.optional; ok {
			r.optional = true
			return r, true
		}
	}
	var r run
	if len(items) > 0 && items[0].op == opLiteral {
		r.lead, items = items[0].text, items[1:]
	}
	if len(items) == 2 && items[1].op == opLiteral {
		r.suffix, items = items[1].text, items[:1]
	}
	if len(items) != 1 || items[0].op != opRepeat || items[0].max != unlimited {
		return run{}, false
	}
	inner := items[0].subs[0].items()
	if len(inner) != 1 || inner[0].op != opSet {
		return run{}, false
	}
	r.set, r.atLeast = inner[0].set, items[0].min
	r.any = r.set.size() == 256
	return r, true
}

// needle returns the longest literal that every match has.
func needle(items []*expr) string {
	longest := ""
	for _, e := range items {
		if e.op == opLiteral && len(e.text) > len(longest) {
			longest = e.text
		}
	}
	return longest
}

// match compares what follows the prefix of a path.
func (r *run) match(rest string) bool {
	if r.optional && rest == "" {
		return true
	}
	rest, ok := strings.CutPrefix(rest, r.lead)
	if !ok || len(rest) < len(r.suffix)+r.atLeast {
		return false
	}
	rest, ok = strings.CutSuffix(rest, r.suffix)
	if !ok || r.any {
		return ok
	}
	for i := range len(rest) {
		if !r.set.has(rest[i]) {
			return false
		}
	}
	return true
}
