// Package selinux says which label a path gets by the file contexts of an
// SELinux policy.
//
// Expressions are matched on bytes. Of all lines that match a path and its type,
// the last one counts.
//
// Invariants:
//   - every expression is understood when the files are parsed, whether or not
//     a path comes to be matched with it;
//   - what a hostile policy can cost is bounded: an expression in its size, all
//     matching in its work, what needs an engine that backtracks in its time.
//
// The rules are in docs/formats/oci-tree.md. Sources: file_contexts(5),
// selabel_file(5).
package selinux

import (
	"fmt"
	"strings"
)

// The names of the files of a policy, in its directory contexts/files. Of
// these only file_contexts must exist.
const (
	FileContexts = "file_contexts"
	Local        = "file_contexts.local"
	Homedirs     = "file_contexts.homedirs"
	Subs         = "file_contexts.subs"
	SubsDist     = "file_contexts.subs_dist"
)

// What a policy may have.
const (
	maxLines = 200_000
	maxExpr  = 1 << 14 // bytes
	maxCost  = 20_000  // places in an expression with its repetitions written out
)

// Files are the contents of a policy's files by name; one that does not exist
// is nil.
type Files map[string][]byte

// A Type is the letter of a file type: b, c, d, p, l, s, or - for a regular
// file.
type Type byte

// Contexts are the file contexts of a policy. A value is for one goroutine.
type Contexts struct {
	specs   []spec
	aliases map[string]string
	index   index
	matcher matcher
}

// A spec is a line of file_contexts.
type spec struct {
	label string // "" is none
	typ   Type   // 0 is any
	expr  *expr
	source
	pattern
}

// A source is where a line comes from.
type source struct {
	file string
	line int
	text string
}

func (s *source) wrap(err error) error {
	return fmt.Errorf("%s, line %d: %w", s.file, s.line, err)
}

// Parse reads the files of a policy. Errors name file and line.
func Parse(files Files) (*Contexts, error) {
	c := &Contexts{aliases: map[string]string{}, matcher: newMatcher()}
	for _, name := range []string{Subs, SubsDist} {
		if err := c.parse(name, files[name], c.alias); err != nil {
			return nil, err
		}
	}
	for _, name := range []string{FileContexts, Local, Homedirs} {
		if err := c.parse(name, files[name], c.spec); err != nil {
			return nil, err
		}
	}
	c.index = newIndex(c.specs)
	return c, nil
}

// parse calls f for each line that is not empty or a comment, with its words.
func (c *Contexts) parse(name string, data []byte, f func(source, []string) error) error {
	n := 0
	for line := range strings.Lines(string(data)) {
		if n++; n > maxLines {
			return fmt.Errorf("%s has more than %d lines", name, maxLines)
		}
		words := strings.Fields(line)
		if len(words) == 0 || strings.HasPrefix(words[0], "#") {
			continue
		}
		s := source{name, n, words[0]}
		if err := f(s, words); err != nil {
			return s.wrap(err)
		}
	}
	return nil
}

// alias reads a line of subs: a path and the path that it is labelled like.
func (c *Contexts) alias(_ source, words []string) error {
	if len(words) != 2 {
		return fmt.Errorf("%d words, want a path and another path", len(words))
	}
	c.aliases[words[0]] = words[1]
	return nil
}

// spec reads a line of file_contexts: an expression, sometimes a type, and a
// context.
func (c *Contexts) spec(src source, words []string) error {
	s := spec{source: src}
	rest := words[1:]
	if len(rest) > 0 && strings.HasPrefix(rest[0], "-") {
		if len(rest[0]) != 2 || !strings.Contains("bcdpls-", rest[0][1:]) {
			return fmt.Errorf("%s is not a type; the types are -b, -c, -d, -p, -l, -s and --", quote(rest[0]))
		}
		s.typ, rest = Type(rest[0][1]), rest[1:]
	}
	switch {
	case len(rest) == 0:
		return fmt.Errorf("no context after %s", quote(words[0]))
	case len(rest) > 1:
		return fmt.Errorf("%d words, want an expression, sometimes a type, and a context", len(words))
	case len(words[0]) > maxExpr:
		return fmt.Errorf("an expression of %d bytes, at most %d are possible", len(words[0]), maxExpr)
	}
	if rest[0] != "<<none>>" {
		s.label = rest[0]
	}
	var err error
	if s.expr, err = parseExpr(words[0]); err != nil {
		return err
	}
	s.pattern = newPattern(s.expr)
	if s.pattern.cost > maxCost {
		return fmt.Errorf("the expression %s has more than %d places with its repetitions written out", quote(words[0]), maxCost)
	}
	if s.expr.backtracks(1) {
		// Only the engine itself can say whether it understands it.
		if c.matcher.engines[int32(len(c.specs))], err = s.engine(); err != nil {
			return err
		}
	}
	c.specs = append(c.specs, s)
	return nil
}

// Alias returns the path that a path is labelled like: most often itself.
func (c *Contexts) Alias(path string) string {
	if other, ok := c.aliases[path]; ok {
		return other
	}
	return path
}

// quote quotes a text for people, who need not see all of a very long one.
func quote(s string) string {
	const most = 200
	if len(s) <= most {
		return fmt.Sprintf("%q", s)
	}
	return fmt.Sprintf("%q… (%d bytes)", s[:most], len(s))
}
