package fsck

import (
	"fmt"
	"slices"
	"strings"

	"github.com/bootc-go/bootc/internal/format/cmdline"
	"github.com/bootc-go/bootc/internal/machine/boot"
)

// checkEntries checks the boot entries and what they name.
func (s *survey) checkEntries() {
	for _, b := range s.broken {
		s.found(Finding{Where: onESP("loader/entries/" + b.name.String()), What: b.why, Means: "it boots nothing, or the wrong deployment", Repair: "makes the entries again"})
	}
	for _, d := range s.all {
		switch {
		case d.entry != nil:
			s.checkEntry(d, d.entry, "loader/entries")
		case s.lost(d):
			f := Finding{Where: onESP("loader/entries"), What: fmt.Sprintf("%s has no boot entry", d), Means: wouldNotBoot(d)}
			if d.system != nil {
				f.Repair = "makes it again"
			}
			s.found(f)
		}
	}
	var ours []boot.Entry
	for _, e := range s.set.Entries {
		if e.Ours() {
			ours = append(ours, e)
		}
	}
	if keys, names := boot.Placed(ours); !keys {
		s.found(Finding{Where: onESP("loader/entries"), What: "the sort-keys are not those of one order", Means: "which deployment boots is a matter of chance", Repair: "puts the entries in order"})
	} else if !names {
		s.note(onESP("loader/entries"), "the names of the entries do not say their order; the sort-keys, which count, do")
	}
	s.checkStagedEntries()
	for _, name := range s.m.Loader.Aside() {
		s.note(onESP(name), "a power cut has left it; nothing looks at it")
	}
	if unused, err := s.m.Loader.Unused(); err == nil {
		for _, name := range unused {
			s.note(onESP(name), "no boot entry names it; the next verb removes it")
		}
	}
}

// checkEntry checks one entry of a deployment.
func (s *survey) checkEntry(d *deployment, e *boot.Entry, dir string) {
	where := onESP(dir + "/" + e.Name.String())
	bad := s.artefactFaults(d, e)
	for _, f := range bad {
		if f.Where == "" {
			f.Where = where
		}
		f.Means = wouldNotBoot(d)
		s.found(f)
	}
	if s.m.Loader.MissingCredentials(e) {
		s.found(Finding{Where: where, What: "it names the archive of credentials, which is missing", Means: wouldNotBoot(d), Repair: "leaves it out; the credentials have to be brought again"})
	}
	if d.record != nil && e.Options() != "" && d.record.Options != "" && e.Options() != d.record.Options {
		s.note(where, "its kernel arguments are not those that bootc has written, by hand or by damage:%s", difference(d.record.Options, e.Options()))
	}
}

// difference lists the arguments that were taken away and added.
func difference(was, is string) string {
	var all strings.Builder
	list := func(sign string, of, but string) {
		seen := map[string]bool{}
		for _, p := range cmdline.Split(but) {
			seen[p.Text] = true
		}
		for _, p := range cmdline.Split(of) {
			if !seen[p.Text] {
				fmt.Fprintf(&all, " %s%q", sign, p.Text)
			}
		}
	}
	list("-", was, is)
	list("+", is, was)
	if all.Len() == 0 {
		return " their order"
	}
	return all.String()
}

// checkStagedEntries checks the entries that the next switch brings.
func (s *survey) checkStagedEntries() {
	if s.staged == nil {
		return
	}
	f := Finding{Where: onESP("loader/entries.staged"), Means: "the staged update could not be applied", Repair: "stages the entries again"}
	d := s.find(s.staged.ID)
	switch {
	case d == nil:
		return // staged.json is wrong
	case s.nextErr != nil:
		f.What = s.nextErr.Error()
	case d.next == nil:
		f.What = fmt.Sprintf("it has no entry of %s", d)
	default:
		s.checkEntry(d, d.next, "loader/entries.staged")
		if f.What = s.stagedFault(d); f.What == "" {
			return
		}
	}
	s.found(f)
}

// stagedFault says what is wrong with the staged entries as a set: the first is the
// update's, the booted deployment follows.
func (s *survey) stagedFault(d *deployment) string {
	var ours []boot.Entry
	for _, e := range boot.InPlaces(s.next) {
		if e.Ours() {
			ours = append(ours, e)
		}
	}
	if len(ours) == 0 || ours[0].ID != d.id {
		return "the update is not the first"
	}
	if s.m.Booted != nil && (len(ours) < 2 || ours[1].ID != s.m.Booted.ID) {
		return "the booted deployment does not follow the update"
	}
	if keys, _ := boot.Placed(ours); !keys {
		return "the sort-keys are not those of one order"
	}
	good := func(e boot.Entry) bool { return e.Ours() && !e.Name.Counted }
	if slices.ContainsFunc(s.set.Entries, good) && !slices.ContainsFunc(ours, good) {
		return "the good deployment is not among them, which could be gone back to"
	}
	for _, e := range ours[1:] {
		o := s.find(e.ID)
		if o == nil || o.entry == nil {
			return "an entry is of no deployment"
		}
		if strings.Join(e.Files(), " ") != strings.Join(o.entry.Files(), " ") {
			return fmt.Sprintf("the entry of %s names other files than the loader's", o)
		}
		if e.Options() != o.entry.Options() {
			s.note(onESP("loader/entries.staged/"+e.Name.String()), "its kernel arguments are not those of the loader's entry:%s", difference(o.entry.Options(), e.Options()))
		}
	}
	return ""
}
