package boot

import (
	"fmt"
	"strings"

	"github.com/bootc-go/bootc"
	"github.com/bootc-go/bootc/internal/format/bls"
	"github.com/bootc-go/bootc/internal/format/osrelease"
	"github.com/bootc-go/bootc/internal/linux/dir"
)

// NewEntry makes the primary entry of a deployment. options is the whole
// command line, "" for a unified kernel image.
func NewEntry(id bootc.ID, r osrelease.Release, a Artefacts, options string) bls.Entry {
	os, version := r.ID, r.VersionID
	if os == "" {
		os = "bootc"
	}
	if version == "" {
		version = r.Version
	}
	if version == "" {
		version = string(id)
	}
	title := r.PrettyName
	if title == "" {
		title = string(id)
	}
	var e bls.Entry
	if a.UKI != "" {
		title += " " + version
	}
	e.Set("title", title)
	e.Set("version", version)
	if a.UKI != "" {
		e.Set("efi", a.UKI)
	} else {
		e.Set("linux", a.Linux)
		e.Set("initrd", a.Initrd)
		e.Set("options", options)
	}
	e.Set("sort-key", "bootc-"+os+"-0")
	rename(&e, os, 1)
	return e
}

// rename gives an entry the name of its place: 1 is primary, 0 secondary.
// Counters stay.
func rename(e *bls.Entry, os string, priority int) {
	clean := strings.Map(func(r rune) rune {
		if r == '/' || r == 0 || r == '+' || r < ' ' {
			return '_'
		}
		return r
	}, e.Get("version"))
	e.Name.Base = fmt.Sprintf("bootc_%s-%s-%d", strings.ReplaceAll(os, "-", "_"), clean, priority)
}

// osOf finds the operating system in an entry's sort-key, "bootc-<os>-<n>". It
// also understands "bootc-bootc-<n>", which upstream writes after a rollback.
func osOf(e bls.Entry) string {
	key := strings.TrimPrefix(e.Get("sort-key"), "bootc-")
	if i := strings.LastIndexByte(key, '-'); i > 0 {
		return key[:i]
	}
	return "bootc"
}

// order makes an entry primary (0), secondary (1) or a later one.
func order(e bls.Entry, place int) bls.Entry {
	os := osOf(e)
	e.Set("sort-key", fmt.Sprintf("bootc-%s-%d", os, place))
	rename(&e, os, 1-place)
	return e
}

// StageEntries makes the set of entries that the next switch brings: first,
// then the entry of the deployment that stays, and foreign ones.
func (l *SystemdBoot) StageEntries(first bls.Entry, stays bootc.ID) error {
	if err := l.DropStaged(); err != nil {
		return err
	}
	now, err := l.Entries()
	if err != nil {
		return err
	}
	set := []bls.Entry{first}
	for _, e := range now {
		switch e.ID {
		case "":
			set = append(set, e.Entry)
		case stays:
			set = append(set, order(e.Entry, 1))
		}
	}
	return l.write(stagedDir, unique(set))
}

// unique gives entries with the same name different ones.
func unique(set []bls.Entry) []bls.Entry {
	seen := map[string]bool{}
	for i := range set {
		base := set[i].Name.Base
		for n := 2; seen[strings.ToLower(set[i].Name.Base)]; n++ {
			set[i].Name.Base = fmt.Sprintf("%s-%d", base, n)
		}
		seen[strings.ToLower(set[i].Name.Base)] = true
	}
	return set
}

// WriteFirst writes the only entry of a new machine.
func (l *SystemdBoot) WriteFirst(e bls.Entry) error { return l.write(entriesDir, []bls.Entry{e}) }

// SwitchEntries makes the staged entries the loader's, in one step. On return
// it is on disk.
func (l *SystemdBoot) SwitchEntries() error {
	loader, err := l.esp.OpenRoot("loader")
	if err != nil {
		return err
	}
	defer loader.Close()
	if err := dir.SyncFS(l.esp); err != nil {
		return err
	}
	if err := dir.Exchange(loader, "entries", "entries.staged"); err != nil {
		return err
	}
	if err := dir.SyncFS(l.esp); err != nil {
		return err
	}
	return l.DropStaged()
}

// DropStaged removes the staged entries. Artefacts stay until [Collect].
func (l *SystemdBoot) DropStaged() error { return l.removeSet("entries.staged") }

// MakeFirst makes the entries of a deployment the first to boot and the
// others follow in their order.
func (l *SystemdBoot) MakeFirst(id bootc.ID) error {
	if err := l.DropStaged(); err != nil {
		return err
	}
	now, err := l.Entries()
	if err != nil {
		return err
	}
	var set []bls.Entry
	found := false
	place := 1
	for _, e := range now {
		switch {
		case e.ID == "":
			set = append(set, e.Entry)
		case e.ID == id && !found:
			found = true
			set = append(set, order(e.Entry, 0))
		default:
			set = append(set, order(e.Entry, place))
			place++
		}
	}
	if !found {
		return fmt.Errorf("deployment %s has no boot entry", id.Short())
	}
	if err := l.write(stagedDir, unique(set)); err != nil {
		return err
	}
	return l.SwitchEntries()
}
