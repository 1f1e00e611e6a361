package accounts

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// A table is a file of lines, each of fields with colons between them, the first
// a name.
type table struct {
	lines   []string
	end     string // what follows the last line
	there   bool   // or is to be made
	changed bool
}

func newTable(text string, there bool) *table {
	t := &table{there: there}
	if text == "" {
		return t
	}
	text, t.end = strings.TrimSuffix(text, "\n"), text[len(strings.TrimSuffix(text, "\n")):]
	t.lines = strings.Split(text, "\n")
	return t
}

func (t *table) text() string { return strings.Join(t.lines, "\n") + t.end }

// index returns the place of the first line with the name, -1 if there is none.
func (t *table) index(name string) int {
	return slices.IndexFunc(t.lines, func(line string) bool {
		first, _, _ := strings.Cut(line, ":")
		return first == name
	})
}

func (t *table) find(name string) []string {
	at := t.index(name)
	if at < 0 {
		return nil
	}
	return strings.Split(t.lines[at], ":")
}

// add adds a line at the end.
func (t *table) add(fields ...string) {
	t.lines = append(t.lines, strings.Join(fields, ":"))
	t.end, t.there, t.changed = "\n", true, true
}

// set gives fields of a line other values; an empty one is none.
func (t *table) set(name string, wanted map[int]string) {
	at := t.index(name)
	f := strings.Split(t.lines[at], ":")
	for i, value := range wanted {
		if value == "" {
			continue
		}
		for len(f) <= i {
			f = append(f, "")
		}
		f[i] = value
	}
	if line := strings.Join(f, ":"); line != t.lines[at] {
		t.lines[at], t.changed = line, true
	}
}

// The ranges of IDs in user namespaces, as useradd gives them.
const (
	firstRange = 100000
	rangeSize  = 65536
)

// addRange gives a user the first range behind all others.
func (t *table) addRange(name string) {
	if t.index(name) >= 0 {
		return
	}
	start := uint64(firstRange)
	for _, line := range t.lines {
		f := strings.Split(line, ":")
		if len(f) != 3 {
			continue
		}
		from, err := strconv.ParseUint(f[1], 10, 32)
		count, err2 := strconv.ParseUint(f[2], 10, 32)
		if err == nil && err2 == nil {
			start = max(start, from+count)
		}
	}
	t.add(name, fmt.Sprint(start), fmt.Sprint(rangeSize))
}
