package fsck

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/bootc-go/bootc"
	"github.com/bootc-go/bootc/internal/format/bls"
	"github.com/bootc-go/bootc/internal/machine/boot"
)

// A planned entry is one that our set of entries is to have.
type planned struct {
	d *deployment
	e bls.Entry
	// whole: what it names is on the partition and right. write: it has to be written.
	whole, write bool
	first        bool // it was the first choice, as far as its name tells
	said         string
}

// ready reports whether the entry can be written: what it names is there, or it is
// there already.
func (p *planned) ready() bool { return p.whole || p.d.entry != nil }

// repairEntries makes the boot entries again that are damaged or lost, and the files
// that they name. What is whole already is in every set that is written.
func (r *repair) repairEntries(ctx context.Context) error {
	set, changed := r.planEntries()
	if !changed {
		return nil
	}
	if slices.ContainsFunc(set, func(p *planned) bool { return p.whole }) {
		if err := r.rewrite(set); err != nil {
			return err
		}
	}
	for _, p := range set {
		if !p.write {
			continue
		}
		if err := r.writeArtefacts(ctx, p, set); err != nil {
			r.do("the files of "+p.d.String(), "", err)
			continue
		}
		if err := r.rewrite(set); err != nil {
			return err
		}
		r.do("the files of "+p.d.String(), "written again to the boot partition", nil)
	}
	return r.m.Loader.Collect() // what is damaged, and no entry names any more
}

// rewrite writes those entries of a set that there are.
func (r *repair) rewrite(set []*planned) error {
	var all []bls.Entry
	for _, p := range set {
		if p.ready() {
			all = append(all, p.e)
		}
	}
	if err := r.m.Loader.Rewrite(all); err != nil {
		return fmt.Errorf("writing the boot entries: %w", err)
	}
	for _, p := range set {
		if p.said != "" && p.ready() {
			r.do(onESP("loader/entries"), p.said, nil)
			p.said = ""
		}
	}
	return nil
}

// planEntries works out our set of entries, in its order, and whether it has to be
// written.
func (r *repair) planEntries() (set []*planned, changed bool) {
	s := r.s
	var ours []boot.Entry
	for _, d := range s.all {
		if d.entry != nil {
			ours = append(ours, *d.entry)
		}
	}
	keys, _ := boot.Placed(ours)
	changed = len(s.broken) > 0 || !keys
	for _, e := range boot.InPlaces(ours) {
		p := &planned{d: s.find(e.ID), e: e.Entry, first: keys && len(set) == 0 || !keys && boot.FirstByName(e.Name)}
		if fault := len(s.artefactFaults(p.d, &e)) > 0 || s.m.Loader.MissingCredentials(&e); fault && p.d.system != nil {
			changed = true
			r.fillIn(p)
		} else {
			p.whole = !fault
		}
		set = append(set, p)
	}
	left := slices.Clone(s.broken)
	for _, d := range s.all {
		if !s.lost(d) {
			continue
		}
		p, err := r.remake(d, &left)
		if err != nil {
			r.do("the boot entry of "+d.String(), "", err)
			continue
		}
		changed = true
		set = append(set, p)
	}
	if changed && !keys || len(s.broken) > 0 {
		if !slices.ContainsFunc(set, func(p *planned) bool { return p.first }) { // the entry that was first is gone
			for _, p := range set {
				p.first = p.d.slot == bootc.Booted
			}
		}
		ahead(set, func(p *planned) bool { return p.first })
	}
	return set, changed
}

// fillIn makes an entry name the files of its deployment that are on the partition; if
// there are none, they have to be written.
func (r *repair) fillIn(p *planned) {
	a, ok := r.s.matching(p.d)
	if !ok {
		p.write = true
		return
	}
	r.name(p, a)
}

// name makes an entry name files. Further initrds stay as long as they are there.
func (r *repair) name(p *planned, a boot.Artefacts) {
	p.whole, p.write = true, false
	was := boot.Entry{Entry: p.e}
	if a.UKI != "" {
		key := "efi"
		if first(&was, "uki") != "" || first(&was, "efi") == "" && boot.KnowsUKI(r.m.Booted.Loader) {
			key = "uki"
		}
		p.e.Set(key, a.UKI)
		return
	}
	p.e.Set("efi", "")
	p.e.Set("uki", "")
	p.e.Set("linux", a.Linux)
	further, files := was.All("initrd"), was.FilesOf("initrd")
	missing := r.s.missingInitrds(&was)
	p.e.Set("initrd", a.Initrd)
	for i, v := range further {
		if i > 0 && !slices.Contains(missing, files[i]) && !boot.IsCredentials(files[i]) {
			p.e.Add("initrd", v)
		}
	}
	if c := r.m.Loader.Credentials(); c != "" {
		p.e.Add("initrd", c)
	} else if r.m.Loader.MissingCredentials(&was) {
		p.said = "the credentials are lost; " + p.d.String() + " boots without them"
	}
}

// remake makes the entry of a deployment that has lost it. The counter is that of the
// broken entry in its place.
func (r *repair) remake(d *deployment, left *[]brokenEntry) (*planned, error) {
	if d.system == nil {
		return nil, fmt.Errorf("its image cannot be read: %w", d.systemErr)
	}
	e := boot.NewEntry(d.id, d.system.Release, boot.Artefacts{Linux: "-"}, "")
	was := pair(e.Name, left)
	p := &planned{d: d, first: was != nil && boot.FirstByName(was.name)}
	options := ""
	if d.system.UKI == nil {
		var from string
		var err error
		if options, from, err = r.options(d, was); err != nil {
			return nil, err
		}
		p.said = fmt.Sprintf("the entry of %s was made again; its kernel arguments are %s", d, from)
	} else {
		p.said = fmt.Sprintf("the entry of %s was made again", d)
	}
	a, ok := r.s.matching(d)
	p.e = boot.NewEntry(d.id, d.system.Release, a, options)
	p.whole, p.write = ok, !ok
	if ok {
		r.name(p, a)
	}
	if was != nil {
		p.e.Name.Counted, p.e.Name.Left, p.e.Name.Done = was.name.Counted, was.name.Left, was.name.Done
	} else if t, err := r.m.State.Trial(); err == nil && t != nil && t.ID == d.id {
		p.e = boot.OnTrial(p.e)
	}
	return p, nil
}

// pair finds the broken entry that was the one of a deployment, by the name that it
// would get, and takes it from the list.
func pair(name bls.Name, left *[]brokenEntry) *brokenEntry {
	stem := strings.TrimSuffix(name.Base, "-1")
	i := slices.IndexFunc(*left, func(b brokenEntry) bool { return strings.HasPrefix(b.name.Base, stem) })
	if i < 0 && len(*left) == 1 {
		i = 0
	}
	if i < 0 {
		return nil
	}
	b := (*left)[i]
	*left = slices.Delete(*left, i, i+1)
	return &b
}

// writeArtefacts writes the files of a deployment to the partition. If there is no
// room, the entry of a deployment that does not boot gives way, as long as it is not
// the booted one: with it go its damaged files.
func (r *repair) writeArtefacts(ctx context.Context, p *planned, set []*planned) error {
	a, err := r.m.WriteArtefacts(ctx, p.d.id, p.d.system)
	var room *boot.RoomError
	if errors.As(err, &room) && p.d.entry != nil && p.d.slot != bootc.Booted &&
		slices.ContainsFunc(set, func(o *planned) bool { return o != p && o.whole }) {
		if dropErr := r.m.Loader.Drop(p.d.id); dropErr != nil {
			return errors.Join(err, dropErr)
		}
		a, err = r.m.WriteArtefacts(ctx, p.d.id, p.d.system)
	}
	if err != nil {
		return err
	}
	r.name(p, a.Artefacts)
	return nil
}
