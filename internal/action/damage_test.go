package action_test

import (
	"flag"
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/bootc-go/bootc"
	"github.com/bootc-go/bootc/internal/action/fsck"
	"github.com/bootc-go/bootc/internal/action/upgrade"
)

var (
	damages    = flag.Int("damages", 38, "how many machines TestDamageCampaign damages")
	damageSeed = flag.Uint64("damage-seed", 1, "with which numbers TestDamageCampaign begins")
)

// A kind is a kind of file of a machine.
type kind struct {
	name string
	// globs find the files of this kind below the machine's directory.
	globs []string
	// gives up: the beginnings of what a view may have lost after a repair, which
	// says so.
	givesUp []string
}

func kinds(sealed bool) []kind {
	const deployment = "sysroot/state/deploy/*/"
	all := []kind{
		{"object", []string{"sysroot/composefs/objects/*/*"}, nil},
		{"image link", []string{"sysroot/composefs/images/????????*"}, nil},
		{"stream link", []string{"sysroot/composefs/streams/oci-*"}, nil},
		{"tag", []string{"sysroot/composefs/streams/refs/oci/*"}, nil},
		{"meta.json", []string{"sysroot/composefs/meta.json"}, nil},
		{"origin", []string{deployment + "*.origin"}, nil},
		{"second copy", []string{deployment + "*.json"}, nil},
		{"staged.json", []string{"sysroot/state/bootc/staged.json"}, []string{"staged", "next"}},
		{"history.json", []string{"sysroot/state/bootc/history.json"}, []string{"history"}},
		{"trial.json", []string{"sysroot/state/bootc/trial.json"}, []string{"trial"}},
		{"deployment", []string{deployment + "etc", deployment + "var", "sysroot/state/deploy/*"}, []string{"etc", "origin", "staged", "next"}},
		{"/var", []string{"sysroot/state/os/default/var"}, []string{"var"}},
		{"entry", []string{"esp/loader/entries/*"}, nil},
		{"staged entry", []string{"esp/loader/entries.staged/*.conf"}, nil},
		{"boot loader", []string{"esp/EFI/systemd/*", "esp/EFI/BOOT/*"}, nil},
		{"loader.conf", []string{"esp/loader/loader.conf", "esp/loader/entries.srel"}, []string{"conf"}},
	}
	if sealed {
		return append(all, kind{"UKI", []string{"esp/EFI/Linux/bootc/*"}, nil})
	}
	return append(all, kind{"kernel", []string{"esp/EFI/Linux/*/vmlinuz"}, nil}, kind{"initrd", []string{"esp/EFI/Linux/*/initrd"}, nil})
}

// A tally counts what became of the damages of one kind.
type tally struct{ damaged, found, harmless, told, healed, offline int }

// A damaging is one damage to one machine.
type damaging struct {
	*lab
	k      kind
	before map[string]string
	ids    []bootc.ID
	what   string
	rnd    *rand.Rand
	tally  *tally
}

// TestDamageCampaign damages machines, one file of one kind at a time, and has fsck
// find and heal it. What fsck does not find must make no difference to anything; what
// it has healed, to nothing but what it has said is lost. Then the machine is updated,
// or rolled back. -damages 5000 is a longer campaign; make damage prints its table.
func TestDamageCampaign(t *testing.T) {
	labs := []*lab{newDamaged(t, false), newDamaged(t, true)}
	rnd := rand.New(rand.NewPCG(*damageSeed, 8))
	tallies := map[string]*tally{}
	var order []string
	for n := range *damages {
		from := labs[n%2]
		all := kinds(n%2 == 1)
		k := all[(n/2)%len(all)]
		if tallies[k.name] == nil {
			tallies[k.name] = &tally{}
			order = append(order, k.name)
		}
		t.Run(fmt.Sprintf("%d %s", n, k.name), func(t *testing.T) {
			c := from.copy()
			defer os.RemoveAll(c.dir)
			c.T = t
			defer c.shut()
			m := *from.m
			c.m = &m
			d := &damaging{lab: c, k: k, rnd: rnd, tally: tallies[k.name]}
			d.run()
		})
	}
	if testing.Verbose() {
		fmt.Println(tallyTable(order, tallies))
	}
}

func (d *damaging) run() {
	d.openDamaged()
	ids, err := d.m.State.IDs()
	must(d, err)
	d.ids = ids
	d.before = d.view(ids)
	if !d.damage() {
		return
	}
	d.tally.damaged++
	d.openDamaged()
	w := d.checkMachine()
	text := told(w)
	if text == "" {
		d.tally.harmless++
		if diff := d.differs(); len(diff) > 0 {
			d.Fatalf("missed: %s changes %q", d.what, diff)
		}
		d.goOn()
		return
	}
	d.tally.found++
	d.repair(text)
	d.goOn()
}

// differs lists what of the view is not as it was before the damage.
func (d *damaging) differs() []string {
	now := d.view(d.ids)
	var all []string
	for _, k := range slices.Sorted(maps.Keys(d.before)) {
		if now[k] != d.before[k] {
			all = append(all, k+": "+d.before[k]+" → "+now[k])
		}
	}
	for k := range now {
		if _, ok := d.before[k]; !ok {
			all = append(all, k+": "+now[k])
		}
	}
	return all
}

// repair heals the machine, first without the registry.
func (d *damaging) repair(text string) {
	off := d.store + ".off"
	must(d, os.Rename(d.store, off))
	must(d, os.Mkdir(d.store, 0o755))
	r, err := fsck.RepairMachine(d.Context(), d.m, d.registry(), nil)
	must(d, os.RemoveAll(d.store))
	must(d, os.Rename(off, d.store))
	healed := err == nil && r.After != nil && r.After.OK()
	if !healed {
		d.openDamaged()
		if r, err = fsck.RepairMachine(d.Context(), d.m, d.registry(), nil); err != nil || !r.After.OK() {
			d.Fatalf("not healed: %s: %v\nfound: %s\ndone: %q\nleft: %s", d.what, err, text, r.Done, told(r.After))
		}
	}
	d.openDamaged()
	if w := d.checkMachine(); !w.OK() {
		d.Fatalf("damaged after it was healed: %s: %s", d.what, told(w))
	}
	dropped := "" // with the staged update its deployment is given up
	if before := d.before["staged"]; d.staged() == nil && slices.Contains(d.k.givesUp, "staged") {
		dropped = before[:8] + ":"
	}
	diff := slices.DeleteFunc(d.differs(), func(key string) bool {
		if dropped != "" && strings.Contains(key, dropped) {
			return true
		}
		return slices.ContainsFunc(d.k.givesUp, func(p string) bool { return strings.HasPrefix(key, p) })
	})
	switch {
	case len(diff) > 0 && len(r.Done) == 0 && onlyNotes(r.After): // for the owner to decide
		d.tally.told++
		return
	case len(diff) > 0:
		d.Fatalf("healed into something else: %s\nfound: %s\ndone: %q\ndiffers: %q", d.what, text, r.Done, diff)
	}
	d.tally.healed++
	if healed {
		d.tally.offline++
	}
}

func onlyNotes(w *fsck.Whole) bool { return w.OK() && len(w.Findings) > 0 }

// goOn runs a verb of the machine's life: the staged update is applied, or another one
// is staged, or it is rolled back.
func (d *damaging) goOn() {
	d.openDamaged()
	booted := d.m.Booted.ID
	switch d.rnd.IntN(3) {
	case 0:
		st := d.staged()
		must(d, d.shutdown())
		d.boot()
		if want := d.m.Booted.ID; st != nil && want != st.ID || st == nil && want != booted {
			d.Errorf("after %s the next boot is of %s", d.what, want.Short())
		}
	case 1:
		d.rollback()
		d.boot()
		if d.m.Booted.ID == booted {
			d.Errorf("after %s there is nothing to roll back to", d.what)
		}
	default:
		_, err := d.m.Restore(d.Context())
		must(d, err)
		v2().with(spec{"usr/bin/tool": "next"}).save(d.lab, "next")
		r := d.stage(upgrade.Options{Target: new(d.ref("next"))})
		must(d, d.shutdown())
		d.boot()
		if d.m.Booted.ID != r.ID {
			d.Errorf("after %s an upgrade to %s boots %s", d.what, r.ID.Short(), d.m.Booted.ID.Short())
		}
	}
}

// damage spoils one file of the kind. false: there is none.
func (d *damaging) damage() bool {
	var all []string
	for _, g := range d.k.globs {
		found, err := filepath.Glob(filepath.Join(d.dir, g))
		must(d, err)
		all = append(all, found...)
	}
	if len(all) == 0 {
		return false
	}
	name := all[d.rnd.IntN(len(all))]
	st, err := os.Lstat(name)
	must(d, err)
	rel, _ := filepath.Rel(d.dir, name)
	var how string
	switch {
	case st.Mode().Type() == fs.ModeSymlink:
		how = d.spoilLink(name, all)
	case st.IsDir():
		how = d.spoilDir(name)
	default:
		how = d.spoilFile(name)
	}
	d.what = fmt.Sprintf("%s: %s", rel, how)
	return true
}

func (d *damaging) spoilLink(name string, others []string) string {
	must(d, os.Remove(name))
	switch d.rnd.IntN(4) {
	case 0:
		return "removed"
	case 1:
		must(d, os.WriteFile(name, []byte("not a link"), 0o644))
		return "a file"
	case 2:
		other := others[d.rnd.IntN(len(others))]
		if text, err := os.Readlink(other); err == nil && other != name {
			must(d, os.Symlink(text, name))
			return "the link of " + filepath.Base(other)
		}
	}
	must(d, os.Symlink("../nowhere", name))
	return "leads nowhere"
}

func (d *damaging) spoilDir(name string) string {
	must(d, os.RemoveAll(name))
	switch d.rnd.IntN(3) {
	case 0:
		must(d, os.WriteFile(name, []byte("not a directory"), 0o644))
		return "a file"
	case 1:
		if filepath.Base(name) == "etc" {
			must(d, os.Mkdir(name, 0o755))
			return "emptied"
		}
	}
	return "removed"
}

func (d *damaging) spoilFile(name string) string {
	data, err := os.ReadFile(name)
	must(d, err)
	how := ""
	switch d.rnd.IntN(7) {
	case 0:
		must(d, os.Remove(name))
		return "removed"
	case 1:
		data, how = nil, "emptied"
	case 2:
		n := d.rnd.IntN(max(1, len(data)))
		data, how = data[:n], fmt.Sprintf("cut at %d", n)
	case 3:
		how = "other bytes from a place on"
		for i := d.rnd.IntN(max(1, len(data))); i < len(data); i++ {
			data[i] = byte(d.rnd.IntN(256))
		}
	case 4:
		other := d.anotherFile(name)
		data, err = os.ReadFile(other)
		must(d, err)
		how = "the content of " + other
	default:
		n := 1 + d.rnd.IntN(4)
		how = "bytes"
		for range n {
			if len(data) > 0 {
				i := d.rnd.IntN(len(data))
				data[i] ^= byte(1 + d.rnd.IntN(255))
				how += fmt.Sprintf(" %d=%q", i, data[i])
			}
		}
	}
	must(d, os.Remove(name))
	must(d, os.WriteFile(name, data, 0o644))
	return how
}

// anotherFile picks a file of the same directory, or of any.
func (d *damaging) anotherFile(name string) string {
	var all []string
	top := filepath.Dir(name)
	if d.rnd.IntN(2) == 0 {
		top = d.dir
	}
	must(d, filepath.WalkDir(top, func(p string, e fs.DirEntry, err error) error {
		if err == nil && e.Type().IsRegular() && p != name {
			all = append(all, p)
		}
		return err
	}))
	if len(all) == 0 {
		return name
	}
	return all[d.rnd.IntN(len(all))]
}

func tallyTable(order []string, all map[string]*tally) string {
	text := fmt.Sprintf("\n%-14s %8s %8s %8s %8s %8s %8s\n", "kind", "damaged", "found", "harmless", "told", "healed", "offline")
	sum := &tally{}
	row := func(name string, t *tally) {
		text += fmt.Sprintf("%-14s %8d %8d %8d %8d %8d %8d\n", name, t.damaged, t.found, t.harmless, t.told, t.healed, t.offline)
	}
	for _, name := range order {
		t := all[name]
		row(name, t)
		sum.damaged += t.damaged
		sum.found += t.found
		sum.harmless += t.harmless
		sum.told += t.told
		sum.healed += t.healed
		sum.offline += t.offline
	}
	row("all", sum)
	return text
}
