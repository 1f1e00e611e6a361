// Package bls reads, writes and sorts boot loader entries of Type 1: text files
// that tell a boot loader which kernel to start.
//
// It does not know what an entry boots; package boot does.
//
// Invariants:
//   - unknown keys, comments and the order of lines are kept;
//   - any text is an entry; an odd one has no keys;
//   - an entry's identity is the base of its file name, without the counters.
//
// Sources: UAPI.1 Boot Loader Specification,
// https://uapi-group.org/specifications/specs/boot_loader_specification/;
// UAPI.10 Version Format Specification; systemd-boot(7).
package bls

import (
	"slices"
	"strings"
)

// An Entry is a boot loader entry.
type Entry struct {
	Name  Name
	lines []line
}

// A line is a key with its value or, with an empty key, text kept as it is.
type line struct{ key, value string }

// Parse reads an entry; file is its file name. Only the name can be wrong.
func Parse(file string, data []byte) (Entry, error) {
	name, err := ParseName(file)
	if err != nil {
		return Entry{}, err
	}
	e := Entry{Name: name}
	for _, text := range strings.FieldsFunc(string(data), isLineBreak) {
		if text = strings.Trim(text, blank); text != "" {
			e.lines = append(e.lines, parseLine(text))
		}
	}
	return e, nil
}

func isLineBreak(r rune) bool { return r == '\n' || r == '\r' }

const blank = " \t"

func parseLine(text string) line {
	i := strings.IndexAny(text, blank)
	if i < 0 || text[0] == '#' {
		return line{value: text}
	}
	return line{text[:i], strings.TrimLeft(text[i:], blank)}
}

// Bytes returns the text of the entry, "key value" on each line.
func (e Entry) Bytes() []byte {
	var b []byte
	for _, l := range e.lines {
		if l.key != "" {
			b = append(append(b, l.key...), ' ')
		}
		b = append(append(b, l.value...), '\n')
	}
	return b
}

// Get returns the value of a key, "" if it is not there. The options of all
// lines are joined by blanks; of other keys the last line counts.
func (e Entry) Get(key string) string {
	all := e.All(key)
	switch {
	case len(all) == 0:
		return ""
	case key == "options":
		return strings.Join(all, " ")
	}
	return all[len(all)-1]
}

// All returns the values of all lines of a key, in order.
func (e Entry) All(key string) []string {
	var all []string
	for _, l := range e.lines {
		if l.key == key {
			all = append(all, l.value)
		}
	}
	return all
}

// Set gives a key one value, in the place of its first line or at the end. An
// empty value removes the key. Line breaks and other control characters, which
// an entry cannot hold, become blanks. e shares no lines with copies of it.
func (e *Entry) Set(key, value string) {
	value = strings.Trim(strings.Map(printable, value), blank)
	lines := make([]line, 0, len(e.lines)+1)
	done := value == ""
	for _, l := range e.lines {
		if l.key == key {
			if done {
				continue
			}
			l.value, done = value, true
		}
		lines = append(lines, l)
	}
	if !done {
		lines = append(lines, line{key, value})
	}
	e.lines = lines
}

// Add gives a key one value more, behind its last line or at the end. e shares no
// lines with copies of it.
func (e *Entry) Add(key, value string) {
	value = strings.Trim(strings.Map(printable, value), blank)
	at := len(e.lines)
	for i, l := range e.lines {
		if l.key == key {
			at = i + 1
		}
	}
	e.lines = slices.Insert(slices.Clone(e.lines), at, line{key, value})
}

func printable(r rune) rune {
	if r < ' ' || r == 0x7f {
		return ' '
	}
	return r
}
