package crash

import (
	"fmt"
	"slices"
	"strings"
)

// A Verdict is what a state of the disk comes to.
type Verdict struct {
	// Outcome is that of the view: see [View].
	Outcome string
	// Torn: ext4 itself is what cannot be read. See errTorn.
	Torn bool
	// Given: the initramfs program had to hand over to another entry.
	Given bool
	// Bad is why the state must not be; empty if it may.
	Bad []string
}

// A judge knows how a window began and what it comes to.
type judge struct {
	window   Window
	old, new *View
	// between are outcomes on the way: a verb that drops what is staged before it
	// switches has one.
	between []string
}

// judge compares a view with what there was before and is afterwards. after is
// true for a state in which the verb may have returned: then the old one must not
// come back.
func (j *judge) judge(v *View, after bool) Verdict {
	verdict := Verdict{Outcome: v.Outcome, Given: v.Given}
	if v.Torn {
		verdict.Torn = true
		return verdict
	}
	if v.Outcome == nothing {
		if j.old.Outcome != nothing || after {
			verdict.Bad = append(slices.Clone(v.Wrong), "nothing boots")
		}
		return verdict
	}
	verdict.Bad = slices.Clone(v.Wrong)
	allowed := []string{j.new.Outcome}
	if !after {
		allowed = append(append(allowed, j.old.Outcome), j.between...)
	}
	if !slices.Contains(allowed, v.Outcome) {
		verdict.Bad = append(verdict.Bad, fmt.Sprintf("the outcome is %q, not one of %q", v.Outcome, allowed))
		return verdict
	}
	if v.Var != j.new.Var && v.Var != j.old.Var {
		verdict.Bad = append(verdict.Bad, "/var has changed")
	}
	for _, d := range v.Deployments {
		if !d.Staged && !slices.Contains(j.etc(v.Outcome, d.ID), d.Etc) {
			verdict.Bad = append(verdict.Bad, fmt.Sprintf("/etc of version %s is neither what it was nor what it becomes", d.Version))
		}
	}
	if v.Given {
		verdict.Bad = append(verdict.Bad, "the first entry cannot be booted, another one is")
	}
	return verdict
}

// etc lists what the /etc of a deployment may be. That of one which boots next as
// the new one has to be the new one. One that is staged again although it has an entry
// gets its new /etc before the entries are switched.
func (j *judge) etc(outcome, id string) []digest {
	var all []digest
	again := slices.ContainsFunc(j.old.Deployments, func(d Deployment) bool { return d.ID == id && d.Staged })
	views := []*View{j.old, j.new}
	if again && outcome == j.new.Outcome {
		views = views[1:]
	}
	for _, view := range views {
		if view.Outcome != outcome && !again && j.old.Outcome != j.new.Outcome && (outcome == j.old.Outcome || outcome == j.new.Outcome) {
			continue
		}
		for _, d := range view.Deployments {
			if d.ID == id && !d.Staged {
				all = append(all, d.Etc)
			}
		}
	}
	return all
}

// Expected is what a recording itself says that each window begins with and comes
// to.
type Expected struct {
	images []Image
	judges []*judge
}

// Expect looks at the disk as it is before and after each window, and checks that
// what happened is what was meant to.
func (t *Timeline) Expect(images []Image) (*Expected, error) {
	d, c := NewDisk(t.Store, t.Sectors), newCache()
	done := 0
	settle := func(to int) *View {
		t.apply(d, done, to)
		done = to
		d.hold()
		defer d.release()
		return look(d, images, c, nil)
	}
	var all []*judge
	for _, w := range t.Windows {
		j := &judge{window: w, old: settle(w.Begin), new: settle(w.End)}
		switch {
		case drops(w.Verb):
			before, _, _ := strings.Cut(j.old.Outcome, ",")
			j.between = []string{before}
		case w.Verb == markLoader && j.old.Outcome != j.new.Outcome:
			j.between = torn(j.old.Outcome, j.new.Outcome)
		}
		if j.old.Outcome != nothing && len(j.old.Wrong) > 0 {
			return nil, fmt.Errorf("before %s: %q", w.Verb, j.old.Wrong)
		}
		if len(j.new.Wrong) > 0 {
			return nil, fmt.Errorf("after %s: %q", w.Verb, j.new.Wrong)
		}
		if changed := j.old.Outcome != j.new.Outcome; changed && stays(w.Verb) || !changed && switches(w.Verb) {
			return nil, fmt.Errorf("%s led from %q to %q", w.Verb, j.old.Outcome, j.new.Outcome)
		}
		all = append(all, j)
	}
	return &Expected{images, all}, nil
}

// torn lists what the loader's renaming of an entry may also leave: both of its names,
// of which the loader takes the old one first, or none.
func torn(old, renamed string) []string {
	first, rest, _ := strings.Cut(old, " ")
	return []string{first + " " + renamed, rest}
}

// switches reports whether a verb changes what boots or is staged.
func switches(verb string) bool {
	return slices.Contains([]string{"install", "upgrade", "switch", "finalize", "rollback", "bless"}, verb)
}

// stays reports whether a verb changes nothing of that. The loader takes a try, and
// what begins a boot may give it back.
func stays(verb string) bool { return !switches(verb) && verb != markLoader && verb != "begin" }

// drops reports whether a verb may forget what is staged before it is done.
func drops(verb string) bool {
	return slices.Contains([]string{"upgrade", "switch", "rollback"}, verb)
}
