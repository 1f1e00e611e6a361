// Package cmdline reads and changes kernel command lines, and reads the files
// of /usr/lib/bootc/kargs.d.
//
// A command line is a text; it is split into parameters at white space outside
// of double quotes. Changes keep the text of what they do not touch.
//
// Two parameters are equal when their keys and values are: quotes around the
// value or around the whole parameter do not matter, and "-" and "_" are the
// same in keys, as they are for the kernel's own parameters. "a" and "a=" are
// different.
//
// The package does not know what parameters mean, with two exceptions:
// composefs=, which names what is booted, so that nobody else may set it, and
// what asks for a shell.
//
// Source: Documentation/admin-guide/kernel-parameters.rst of the Linux kernel.
package cmdline

import "strings"

// A Param is one parameter of a command line.
type Param struct {
	Text     string // as it stands in the line
	Key      string // without quotes
	Value    string // without quotes
	HasValue bool   // false for a flag, a parameter without "="
}

// Equal reports whether two parameters say the same.
func (p Param) Equal(q Param) bool {
	return p.sameKey(q) && p.HasValue == q.HasValue && p.Value == q.Value
}

func (p Param) sameKey(q Param) bool { return fold(p.Key) == fold(q.Key) }

func fold(key string) string { return strings.ReplaceAll(key, "-", "_") }

// Split cuts a command line into its parameters.
func Split(line string) []Param {
	var params []Param
	for len(line) > 0 {
		n := paramLen(line)
		if n > 0 {
			params = append(params, parse(line[:n]))
		}
		if n == len(line) {
			break
		}
		line = line[n+1:]
	}
	return params
}

// paramLen returns the length of the parameter at the start of s, 0 at white
// space. A quote that is not closed reaches to the end.
func paramLen(s string) int {
	quoted := false
	for i := range len(s) {
		switch s[i] {
		case '"':
			quoted = !quoted
		case ' ', '\t', '\n', '\f', '\r':
			if !quoted {
				return i
			}
		}
	}
	return len(s)
}

// parse takes a parameter apart. One quote at either end is dropped, and one
// after the first "=", paired or not.
func parse(text string) Param {
	s := strings.TrimPrefix(text, `"`)
	s = strings.TrimSuffix(s, `"`)
	key, value, ok := strings.Cut(s, "=")
	return Param{Text: text, Key: key, Value: strings.TrimPrefix(value, `"`), HasValue: ok}
}

// Join makes a line of parameters, with single blanks between them.
func Join(params []Param) string {
	texts := make([]string, len(params))
	for i, p := range params {
		texts[i] = p.Text
	}
	return strings.Join(texts, " ")
}

// Value returns the value of the first parameter with the key that has one.
func Value(line, key string) (string, bool) {
	for _, p := range Split(line) {
		if p.HasValue && p.sameKey(Param{Key: key}) {
			return p.Value, true
		}
	}
	return "", false
}

// Add appends a parameter unless an equal one is there.
func Add(line string, p Param) string {
	for _, q := range Split(line) {
		if q.Equal(p) {
			return line
		}
	}
	if line == "" || strings.ContainsRune(" \t\n\f\r", rune(line[len(line)-1])) {
		return line + p.Text
	}
	return line + " " + p.Text
}

// Extend adds the parameters of more, one by one, as [Add] does.
func Extend(line, more string) string {
	for _, p := range Split(more) {
		line = Add(line, p)
	}
	return line
}

// Set gives the key one place and value: the first parameter with the key of p
// becomes p, further ones go; without any p is appended.
func Set(line string, p Param) string {
	params := Split(line)
	var same []int
	for i, q := range params {
		if q.sameKey(p) {
			same = append(same, i)
		}
	}
	switch {
	case len(same) == 0:
		return Add(line, p)
	case len(same) == 1 && params[same[0]].Equal(p):
		return line
	}
	var out []Param
	for i, q := range params {
		switch {
		case i == same[0]:
			out = append(out, p)
		case !q.sameKey(p):
			out = append(out, q)
		}
	}
	return Join(out)
}

// Remove takes out all parameters that are equal to p.
func Remove(line string, p Param) string {
	return removeFunc(line, p.Equal)
}

// RemoveKey takes out all parameters with the key of p.
func RemoveKey(line string, p Param) string {
	return removeFunc(line, p.sameKey)
}

func removeFunc(line string, gone func(Param) bool) string {
	params := Split(line)
	var kept []Param
	for _, p := range params {
		if !gone(p) {
			kept = append(kept, p)
		}
	}
	if len(kept) == len(params) {
		return line
	}
	return Join(kept)
}

// openQuote reports whether what is appended to the line would become a part
// of its last parameter.
func openQuote(line string) bool { return strings.Count(line, `"`)%2 == 1 }
