package action_test

import (
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// A row is what came of one fault.
type row struct {
	call        string // with the class of its path
	fault       string
	state, text string
	killed      bool
}

// A table holds what may come of the faults of a verb.
type table struct {
	t    *testing.T
	file string
	got  map[string]map[string]bool // by call and fault: outcomes
}

func newTable(t *testing.T, verb string) *table {
	return &table{t: t, file: "testdata/faults/" + strings.ReplaceAll(verb, " ", "-") + ".txt", got: map[string]map[string]bool{}}
}

func (b *table) add(r row) {
	key := r.call + "\t" + r.fault
	if b.got[key] == nil {
		b.got[key] = map[string]bool{}
	}
	outcome := r.state
	switch {
	case r.killed:
	case r.text == "":
		outcome += "; no error"
	default:
		outcome += "; error: " + first(r.text)
	}
	b.got[key][outcome] = true
}

// check compares what was seen with the table, or writes it anew when all was
// seen.
func (b *table) check() {
	b.t.Helper()
	if b.t.Failed() {
		return
	}
	if *allFaults {
		must(b.t, os.MkdirAll("testdata/faults", 0o755))
		must(b.t, os.WriteFile(b.file, []byte(format(b.got)), 0o644))
		return
	}
	data, err := os.ReadFile(b.file)
	must(b.t, err)
	want := parse(string(data))
	for key, outcomes := range b.got {
		for o := range outcomes {
			if !want[key][o] {
				b.t.Errorf("%q: %q is not in %s, which has %q", key, o, b.file, slices.Sorted(maps.Keys(want[key])))
			}
		}
	}
	if d := cmp.Diff(string(data), format(want)); d != "" {
		b.t.Errorf("%s is not in its form (-want +got):\n%s", b.file, d)
	}
}

// format writes a table: the outcomes, below each the faults, below those the calls.
// It is short that way, and shows what is alike.
func format(got map[string]map[string]bool) string {
	faults := map[string][]string{} // by call and outcomes
	for _, key := range slices.Sorted(maps.Keys(got)) {
		call, fault, _ := strings.Cut(key, "\t")
		k := call + "\t" + strings.Join(slices.Sorted(maps.Keys(got[key])), "\t")
		faults[k] = append(faults[k], fault)
	}
	var text strings.Builder
	for _, k := range slices.Sorted(maps.Keys(faults)) {
		call, outcomes, _ := strings.Cut(k, "\t")
		text.WriteString(call + "\n\t" + strings.Join(faults[k], ", ") + "\n\t\t" + strings.ReplaceAll(outcomes, "\t", "\n\t\t") + "\n")
	}
	return text.String()
}

func parse(text string) map[string]map[string]bool {
	all := map[string]map[string]bool{}
	call, faults := "", []string{}
	for line := range strings.Lines(text) {
		line = strings.TrimSuffix(line, "\n")
		switch {
		case !strings.HasPrefix(line, "\t"):
			call = line
		case !strings.HasPrefix(line, "\t\t"):
			faults = strings.Split(line[1:], ", ")
		default:
			for _, f := range faults {
				key := call + "\t" + f
				if all[key] == nil {
					all[key] = map[string]bool{}
				}
				all[key][line[2:]] = true
			}
		}
	}
	return all
}

// classes are what differs from file to file in a path, and what stands for it.
var classes = []struct {
	from *regexp.Regexp
	to   string
}{
	{regexp.MustCompile(`sha256:[0-9a-f]{64}`), "DIGEST"},
	{regexp.MustCompile(`objects/[0-9a-f]{2}/[0-9a-f]{126}`), "objects/XX/OBJECT"},
	{regexp.MustCompile(`objects/[0-9a-f]{2}$`), "objects/XX"},
	{regexp.MustCompile(`[0-9a-f]{128}`), "ID"},
	{regexp.MustCompile(`[0-9a-f]{12}\b`), "ID"},
	{regexp.MustCompile(`/#\d+ \(deleted\)`), "/(no name yet)"},
	{regexp.MustCompile(`\.(tmp|symlink)-(object-)?[A-Z0-9]+`), ".$1-…"},
	{regexp.MustCompile(`/(etc|etc\.new|var)/.*`), "/$1/…"},
	{regexp.MustCompile(`entries(\.[a-z]+)?/.*\.conf`), "entries$1/ENTRY"},
}

// class leaves out of a path what differs from file to file.
func class(path string) string {
	for _, c := range classes {
		path = c.from.ReplaceAllString(path, c.to)
	}
	return path
}

// first is what an error begins with, the words that say what was being done.
func first(text string) string {
	text, _, _ = strings.Cut(text, "\n")
	text, _, _ = strings.Cut(text, ": ")
	return class(text)
}
