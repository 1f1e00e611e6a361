package crash

import (
	"bytes"
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// story makes a timeline: a text is a mark, a number a write of that content to
// the sector with that number and the next one, 0 a flush.
func story(t *testing.T, steps ...any) *Timeline {
	t.Helper()
	all := &Timeline{Store: NewStore(), Sectors: 100}
	for _, s := range steps {
		switch s := s.(type) {
		case string:
			all.write(markSector, fmt.Appendf(nil, "%s%-500s", markPrefix, s))
		case int:
			if s == 0 {
				all.Events = append(all.Events, Event{Flush: true})
				continue
			}
			all.write(int64(s), bytes.Repeat([]byte{byte(s)}, 2*sectorSize))
		}
	}
	must(t, all.findWindows())
	return all
}

// TestEpochs: a window begins in the epoch of its first mark, and ends with its
// last, whatever is written before the next flush.
func TestEpochs(t *testing.T) {
	all := story(t, 1, 0, "begin a", 2, 3, 0, 4, 0, 5, "end a", 6, 0, 7, "begin b", 0, "end b")
	var got []string
	for _, w := range all.Windows {
		for _, e := range all.epochs(w) {
			text := w.Verb
			for _, write := range all.writes(e) {
				text += fmt.Sprint(" ", write.First)
			}
			got = append(got, fmt.Sprint(text, " ", e.To > w.End))
		}
	}
	want := []string{"a 2 3 false", "a 4 false", "a 5 true", "b 7 false", "b true"}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("epochs (-want +got):\n%s", d)
	}
	for _, steps := range [][]any{{1, 0}, {"end a"}, {"begin a", "end b"}} {
		broken := &Timeline{}
		for _, s := range steps {
			if text, ok := s.(string); ok {
				broken.Events = append(broken.Events, Event{Mark: text})
			}
		}
		if err := broken.findWindows(); err == nil {
			t.Errorf("marks %v are taken", steps)
		}
	}
}

// TestChoices: what a choice leaves of three writes, and that a state can be made
// again from its name.
func TestChoices(t *testing.T) {
	all := story(t, "begin a", 10, 20, 30, 0, "end a")
	e := all.epochs(all.Windows[0])[0]
	written := func(c Choice, seed uint64) []int64 {
		d := NewDisk(all.Store, all.Sectors)
		must(t, all.cut(d, e, c, seed))
		var got []int64
		for s, id := range d.at {
			if id != 0 {
				got = append(got, int64(s))
			}
		}
		return got
	}
	for c, want := range map[Choice][]int64{
		"none": nil, "all": {10, 11, 20, 21, 30, 31}, "first-1": {10, 11}, "last-1": {30, 31},
		"only-1": {20, 21}, "without-1": {10, 11, 30, 31},
		"set-5": {10, 11, 30, 31}, "set-0": nil,
	} {
		if got := written(c, 1); !slices.Equal(got, want) {
			t.Errorf("%s: sectors %v, want %v", c, got, want)
		}
	}
	if got := len(systematic(3, 8)); got != 8 {
		t.Errorf("%d states of three writes, want all 8 subsets", got)
	}
	seen, torn := map[string]bool{}, 0
	for k := range 300 {
		c := Choice(fmt.Sprint("random-", k))
		got := written(c, 1)
		if !slices.Equal(got, written(c, 1)) {
			t.Fatalf("%s gives two states", c)
		}
		seen[fmt.Sprint(got)] = true
		if len(got)%2 == 1 {
			torn++
		}
	}
	if len(seen) < 20 || torn == 0 {
		t.Errorf("%d different states at random, %d with a torn write", len(seen), torn)
	}
	s, err := all.ParseState(State{0, e, "random-3"}.String())
	if must(t, err); s != (State{0, e, "random-3"}) {
		t.Errorf("the state is read as %+v", s)
	}
	for _, text := range []string{"0/0", "1/0/all", "0/99/all", "x/0/all"} {
		if _, err := all.ParseState(text); err == nil {
			t.Errorf("state %q is taken", text)
		}
	}
	if _, err := Choice("some-1").parts(3, 1, 0); err == nil {
		t.Error("a choice that is none is taken")
	}
}

// TestTakeBack: a disk is what it was.
func TestTakeBack(t *testing.T) {
	all := story(t, "begin a", 10, 20, "end a")
	d := NewDisk(all.Store, all.Sectors)
	all.apply(d, 0, 2)
	before := slices.Clone(d.at)
	d.hold()
	all.apply(d, 2, len(all.Events))
	(&Volume{d, 0, all.Sectors}).write(0, bytes.Repeat([]byte{9}, sectorSize))
	if slices.Equal(before, d.at) {
		t.Fatal("nothing was written")
	}
	if d.release(); !slices.Equal(before, d.at) {
		t.Error("not all is taken back")
	}
}
