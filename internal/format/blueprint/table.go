package blueprint

import (
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// A parser keeps the first error.
type parser struct{ err error }

// A table is one of the file, which is taken apart: what nobody has asked for is
// refused by end.
type table struct {
	p      *parser
	name   string // "customizations.user[0]"; "" is the file
	values map[string]any
}

func (t *table) key(key string) string { return strings.TrimPrefix(t.name+"."+key, ".") }

// fail keeps an error about a key, if it is the first one.
func (t *table) fail(key, format string, args ...any) {
	if t.p.err == nil {
		t.p.err = fmt.Errorf("%s: "+format, slices.Insert(args, 0, any(t.key(key)))...)
	}
}

// take takes a value out, nil if it is not there.
func (t *table) take(key string) any {
	v := t.values[key]
	delete(t.values, key)
	return v
}

// end refuses what is left.
func (t *table) end() {
	for _, key := range slices.Sorted(maps.Keys(t.values)) {
		t.fail(key, "no such key is known")
	}
}

// rest lists the keys that are left.
func (t *table) rest() (all []string) {
	for _, key := range slices.Sorted(maps.Keys(t.values)) {
		all = append(all, t.key(key))
	}
	return all
}

// refuse refuses the keys that are known and not honoured, with the reason.
func (t *table) refuse(reasons map[string]string) {
	for _, key := range slices.Sorted(maps.Keys(t.values)) {
		if reason, ok := reasons[key]; ok {
			t.fail(key, "is not supported: %s", reason)
		}
	}
}

func (t *table) table(key string) *table {
	switch v := t.take(key).(type) {
	case nil:
	case map[string]any:
		return &table{t.p, t.key(key), v}
	default:
		t.fail(key, "want a table")
	}
	return nil
}

func (t *table) tables(key string) (all []*table) {
	add := func(i int, v map[string]any) { all = append(all, &table{t.p, fmt.Sprintf("%s[%d]", t.key(key), i), v}) }
	switch v := t.take(key).(type) {
	case nil:
	case []map[string]any:
		for i, m := range v {
			add(i, m)
		}
	case []any:
		for i, e := range v {
			m, ok := e.(map[string]any)
			if !ok {
				t.fail(key, "want a list of tables")
			}
			add(i, m)
		}
	default:
		t.fail(key, "want a list of tables")
	}
	return all
}

func (t *table) string(key string) string {
	v := t.take(key)
	s, ok := v.(string)
	if v != nil && !ok {
		t.fail(key, "want a text")
	}
	return s
}

// text is a string that is not empty if it is there.
func (t *table) text(key string) string {
	_, there := t.values[key]
	s := t.string(key)
	if there && s == "" {
		t.fail(key, "is empty")
	}
	return s
}

// field is what can stand between colons.
func (t *table) field(key string) string {
	s := t.string(key)
	if strings.ContainsAny(s, ":\n\x00") {
		t.fail(key, "%q has a colon or a line break", s)
	}
	return s
}

func (t *table) strings(key string) (all []string) {
	v := t.take(key)
	list, ok := v.([]any)
	if v != nil && !ok {
		t.fail(key, "want a list of texts")
	}
	for _, e := range list {
		s, ok := e.(string)
		if !ok {
			t.fail(key, "want a list of texts")
		}
		all = append(all, s)
	}
	return all
}

func (t *table) bool(key string) bool {
	v := t.take(key)
	b, ok := v.(bool)
	if v != nil && !ok {
		t.fail(key, "want true or false")
	}
	return b
}

// whole returns a whole number, and whether it is one.
func whole(v any) (int64, bool) {
	switch v := v.(type) {
	case int64:
		return v, true
	case json.Number:
		n, err := v.Int64()
		return n, err == nil
	}
	return 0, false
}

// number is an ID or the like, nil if it is not there.
func (t *table) number(key string) *uint32 {
	v := t.take(key)
	if v == nil {
		return nil
	}
	n, ok := whole(v)
	if !ok || n < 0 || n >= math.MaxUint32 {
		t.fail(key, "want a whole number from 0 to %d", uint32(math.MaxUint32-1))
	}
	id := uint32(n)
	return &id
}

func isName(s string) bool {
	return regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_.-]{0,31}$`).MatchString(s)
}

// account is the name of a user or a group, which must be there.
func (t *table) account(key string) string {
	s := t.string(key)
	if !isName(s) {
		t.fail(key, "%q cannot be the name of a user or a group", s)
	}
	return s
}

// owner is the name of a user or a group, or an ID; nil if it is not there.
func (t *table) owner(key string) *Owner {
	if _, ok := t.values[key].(string); ok {
		return &Owner{Name: t.account(key)}
	}
	if id := t.number(key); id != nil {
		return &Owner{ID: *id}
	}
	return nil
}

// mode is a text of octal digits; nil if it is not there.
func (t *table) mode(key string) *uint32 {
	v := t.take(key)
	if v == nil {
		return nil
	}
	s, _ := v.(string)
	n, err := strconv.ParseUint(s, 8, 12)
	if err != nil || len(s) < 3 || len(s) > 4 {
		t.fail(key, "want a text of three or four octal digits, such as \"0644\"")
	}
	mode := uint32(n)
	return &mode
}

// file is an absolute path, "" if it is not there. A slash at its end does not
// count.
func (t *table) file(key string) string {
	s := t.text(key)
	if s == "" {
		return ""
	}
	if clean := path.Clean(s); !path.IsAbs(s) || strings.TrimRight(s, "/") != strings.TrimRight(clean, "/") || strings.ContainsAny(s, ":\n\x00") {
		t.fail(key, "%q is not an absolute path without dots", s)
	}
	return path.Clean(s)
}

// place is where something may be put.
func (t *table) place(key string) string {
	s := t.string(key)
	switch {
	case !path.IsAbs(s) || path.Clean(s) != s || strings.Contains(s, "\x00"):
		t.fail(key, "%q is not an absolute path without dots", s)
	case !strings.HasPrefix(s, "/etc/") && !strings.HasPrefix(s, "/var/"):
		t.fail(key, "%s is the image's: only what is below /etc and /var can be added", s)
	case slices.Contains([]string{"/etc/passwd", "/etc/group", "/etc/shadow", "/etc/gshadow"}, s):
		t.fail(key, "%s is made by customizations.user and customizations.group", s)
	}
	return s
}
