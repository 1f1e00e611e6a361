package boot_test

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"math/rand/v2"
	"path"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/bootc-go/bootc"
	"github.com/bootc-go/bootc/internal/format/bls"
	"github.com/bootc-go/bootc/internal/format/osrelease"
	"github.com/bootc-go/bootc/internal/machine/boot"
	"github.com/bootc-go/bootc/internal/machine/boot/boottest"
)

// A computer is a partition and what the rest of the machine remembers on its
// root file system.
type computer struct {
	fat    *boottest.FAT
	staged bootc.ID // staged.json
}

func (c *computer) loader() *boot.SystemdBoot { return boot.On(c.fat) }

// recover does what every verb begins with.
func (c *computer) recover() error {
	l := c.loader()
	entries, err := l.Entries()
	if err != nil {
		return err
	}
	if c.staged != "" && first(entries) == c.staged {
		c.staged = ""
	}
	if err := l.Recover(c.staged); err != nil {
		return err
	}
	return l.Collect()
}

func first(entries []boot.Entry) bootc.ID {
	for _, e := range entries {
		if e.ID != "" {
			return e.ID
		}
	}
	return ""
}

// A system is a version of an operating system.
type system struct {
	id     bootc.ID
	kernel string // its content and that of the initrd
	uki    bool
	trial  bool
}

func version(n int, kernel string) system {
	return system{id: bootc.ID(strings.Repeat(fmt.Sprintf("%x", n%16), 128)), kernel: kernel}
}

func (s system) linux() []byte  { return bytes.Repeat([]byte(s.kernel+" linux "), 80) }
func (s system) initrd() []byte { return bytes.Repeat([]byte(s.kernel+" initrd "), 150) }

func content(data []byte) boot.File {
	return boot.File{
		Open: func() (io.ReadCloser, error) { return readerAt{bytes.NewReader(data)}, nil },
		Size: int64(len(data)),
	}
}

type readerAt struct{ *bytes.Reader }

func (readerAt) Close() error { return nil }

func (c *computer) write(s system) (bls.Entry, error) {
	release := osrelease.Release{ID: "debian", VersionID: "13", PrettyName: "Debian"}
	var a boot.Artefacts
	var err error
	if s.uki {
		a, err = c.loader().WriteUKI(context.Background(), s.id, content(makeUKI(s)), boot.Named{Name: "x.addon.efi", File: content([]byte("addon"))})
	} else {
		a, err = c.loader().WriteKernel(context.Background(), s.id, content(s.linux()), content(s.initrd()))
	}
	e := boot.NewEntry(s.id, release, a, "rw composefs="+string(s.id))
	if s.trial {
		e = boot.OnTrial(e)
	}
	return e, err
}

// The verbs, in the order of steps that the machine has.

func (c *computer) install(s system) error {
	if err := c.loader().Install(context.Background(), content([]byte("systemd-boot")), []string{"EFI/BOOT/BOOTX64.EFI"}); err != nil {
		return err
	}
	e, err := c.write(s)
	if err != nil {
		return err
	}
	return c.loader().WriteFirst(e)
}

func (c *computer) stage(s system) error {
	if err := c.recover(); err != nil {
		return err
	}
	entries, err := c.loader().Entries()
	if err != nil {
		return err
	}
	e, err := c.write(s)
	if err != nil {
		return err
	}
	c.staged = ""
	if err := c.loader().DropStaged(); err != nil {
		return err
	}
	if err := c.loader().StageEntries(e, first(entries)); err != nil {
		return err
	}
	c.staged = s.id
	return nil
}

func (c *computer) finalize() error {
	if err := c.loader().SwitchEntries(); err != nil {
		return err
	}
	c.staged = ""
	return c.recover()
}

func (c *computer) drop() error {
	c.staged = ""
	if err := c.loader().DropStaged(); err != nil {
		return err
	}
	return c.recover()
}

func (c *computer) rollback(id bootc.ID) error {
	c.staged = ""
	if err := c.loader().DropStaged(); err != nil {
		return err
	}
	if err := c.loader().MakeFirst(id); err != nil {
		return err
	}
	return c.recover()
}

// bless does what follows a good boot.
func (c *computer) bless(id bootc.ID) error {
	if err := c.recover(); err != nil {
		return err
	}
	return c.loader().Bless(id)
}

// boot takes a try of the first entry, as the loader does, and returns its
// deployment. It is not flushed.
func (c *computer) boot() (bootc.ID, error) {
	entries, err := c.loader().Entries()
	if err != nil || len(entries) == 0 {
		return "", err
	}
	e := entries[0]
	if n := e.Name; n.Counted {
		n.Left, n.Done = max(0, n.Left-1), n.Done+1
		err = c.fat.Rename("loader/entries/"+e.Name.String(), "loader/entries/"+n.String())
	}
	return e.ID, err
}

// see is what the firmware would see: the entries, byte for byte, and the
// content of all that they name.
func see(t *testing.T, f *boottest.FAT, dir string) (map[string]string, error) {
	t.Helper()
	all := map[string]string{}
	files, err := f.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	for _, file := range files {
		data, err := readAll(f, path.Join(dir, file.Name()))
		if err != nil {
			return nil, err
		}
		all[file.Name()] = data
		if !strings.HasSuffix(file.Name(), ".conf") {
			continue
		}
		e, err := bls.Parse(file.Name(), []byte(data))
		if err != nil {
			return nil, err
		}
		for _, key := range []string{"linux", "initrd", "efi"} {
			if name := strings.TrimPrefix(e.Get(key), "/"); name != "" {
				if all[name], err = readAll(f, name); err != nil {
					return nil, err
				}
				if x := name + ".extra.d/x.addon.efi"; key == "efi" {
					if all[x], err = readAll(f, x); err != nil {
						return nil, err
					}
				}
			}
		}
	}
	return all, nil
}

func readAll(f *boottest.FAT, name string) (string, error) {
	r, err := f.Open(name)
	if err != nil {
		return "", err
	}
	defer r.Close()
	data, err := io.ReadAll(r)
	return string(data), err
}

// A moment is a state of the machine at which the power may go.
type moment struct {
	fat    *boottest.Snapshot
	staged bootc.ID
}

// watch runs a verb and returns the moments at which a cut differs from others.
func (c *computer) watch(verb func() error) ([]moment, error) {
	var all []moment
	c.fat.BeforeFlush = func() { all = append(all, moment{c.fat.Snapshot(), c.staged}) }
	defer func() { c.fat.BeforeFlush = nil }()
	err := verb()
	return append(all, moment{c.fat.Snapshot(), c.staged}), err
}

// choices lists ways in which the sectors of a moment reach the disk: all of
// them if there are few, else the corners and some at random.
func choices(states []int, rnd *rand.Rand, random int) [][]int {
	total := 1
	for _, n := range states {
		if total *= n; total > 100 {
			break
		}
	}
	if total <= 100 && random > 0 {
		all := [][]int{make([]int, len(states))}
		for i, n := range states {
			for _, c := range slices.Clone(all) {
				for k := 1; k < n; k++ {
					d := slices.Clone(c)
					d[i] = k
					all = append(all, d)
				}
			}
		}
		return all
	}
	old, done := make([]int, len(states)), make([]int, len(states))
	for i, n := range states {
		done[i] = n - 1
	}
	all := [][]int{old, done}
	if random > 10 {
		for i, n := range states {
			a, b := slices.Clone(old), slices.Clone(done)
			a[i], b[i] = n-1, 0
			all = append(all, a, b)
		}
	}
	for range random {
		c := make([]int, len(states))
		bias := rnd.IntN(4)
		for i, n := range states {
			if c[i] = rnd.IntN(n); bias == 0 && rnd.IntN(8) > 0 {
				c[i] = n - 1
			}
		}
		all = append(all, c)
	}
	return all
}

// A story brings a machine into a state, and then does the verb that is cut.
type story struct {
	name string
	prep func(*computer) error
	verb func(*computer) error
	// switches is true if the verb may change what boots.
	switches bool
}

var (
	v1 = version(1, "a")
	v2 = version(2, "a") // the same kernel
	v3 = version(3, "b")
	v4 = version(4, "c")
	v5 = system{version(5, "d").id, "d", true, false}
	v6 = system{version(9, "e").id, "e", false, true}
	v9 = system{version(10, "f").id, "f", true, true}
)

func stories() []story {
	install := func(c *computer) error { return c.install(v1) }
	then := func(steps ...func(*computer) error) func(*computer) error {
		return func(c *computer) error {
			for _, s := range steps {
				if err := s(c); err != nil {
					return err
				}
			}
			return nil
		}
	}
	stage := func(s system) func(*computer) error { return func(c *computer) error { return c.stage(s) } }
	rollback := func(s system) func(*computer) error { return func(c *computer) error { return c.rollback(s.id) } }
	finalize, drop := (*computer).finalize, (*computer).drop
	upgrade := func(s system) func(*computer) error { return then(stage(s), finalize) }
	dropFor := func(id bootc.ID) func(*computer) error {
		return func(c *computer) error { return c.loader().Drop(id) }
	}
	boot := func(c *computer) error {
		_, err := c.boot()
		return errors.Join(err, c.fat.Flush())
	}
	bless := func(s system) func(*computer) error { return func(c *computer) error { return c.bless(s.id) } }
	refill := func(s system) func(*computer) error {
		return func(c *computer) error { return c.loader().Refill(s.id) }
	}
	return []story{
		{"stage with a new kernel", install, stage(v3), false},
		{"stage with the same kernel", install, stage(v2), false},
		{"stage over a staged one", then(install, stage(v3)), stage(v4), false},
		{"stage a UKI", then(install, upgrade(v3)), stage(v5), false},
		{"finalize", then(install, stage(v3)), finalize, true},
		{"finalize, an old deployment goes", then(install, upgrade(v3), stage(v4)), finalize, true},
		{"finalize to a UKI", then(install, upgrade(v3), stage(v5)), finalize, true},
		{"finalize from a UKI", then(install, upgrade(v5), stage(v4)), finalize, true},
		{"drop", then(install, stage(v3)), drop, false},
		{"roll back", then(install, upgrade(v3)), rollback(v1), true},
		{"roll back with an update staged", then(install, upgrade(v3), stage(v4)), rollback(v1), true},
		{"let the rollback give way", then(install, upgrade(v3)), dropFor(v1.id), true},
		{"let the rollback give way with an update staged", then(install, upgrade(v3), stage(v4)), dropFor(v1.id), true},
		{"roll forward again", then(install, upgrade(v3), rollback(v1)), rollback(v3), true},
		{"finalize on trial", then(install, stage(v6)), finalize, true},
		{"bless", then(install, upgrade(v6), boot), bless(v6), true},
		{"bless with an update staged", then(install, upgrade(v6), boot, stage(v4)), bless(v6), true},
		{"bless a UKI", then(install, upgrade(v9), boot), bless(v9), true},
		{"refill", then(install, upgrade(v6), boot, boot), refill(v6), true},
		{"finalize from a trial to a trial", then(install, upgrade(v6), boot, stage(v9)), finalize, true},
		{"go to what was given up", then(install, upgrade(v6), boot, boot, boot), rollback(v6), true},
	}
}

var cuts = flag.Int("cuts", 3, "how many random states of the disk are tried at each flush")

// TestPowerCut cuts the power at every flush of every verb, and again in the
// recovery, with the unflushed sectors in any of their states. The loader must
// find the old set of entries or the new one, with all that it names; a staged
// update must stay; recovery must end in a clean state; and the machine must
// go on to update itself.
func TestPowerCut(t *testing.T) {
	for _, s := range stories() {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			c := &computer{fat: boottest.New(170)}
			if err := s.prep(c); err != nil {
				t.Fatal(err)
			}
			o := oracle{t: t, switches: s.switches, rnd: rand.New(rand.NewPCG(1, 2))}
			o.old = o.mustSee(c, "loader/entries")
			moments, err := c.watch(func() error { return s.verb(c) })
			if err != nil {
				t.Fatal(err)
			}
			o.new = o.mustSee(c, "loader/entries")
			if s.switches == cmp.Equal(o.old, o.new) {
				t.Fatalf("the verb has switched: %v, want %v", !s.switches, s.switches)
			}
			for i, m := range moments {
				for _, choice := range choices(m.fat.States(), o.rnd, *cuts) {
					o.where = fmt.Sprintf("cut at flush %d of %d, sectors %v", i+1, len(moments), choice)
					o.check(&computer{fat: m.fat.Cut(choice), staged: m.staged}, true)
					if t.Failed() {
						return
					}
				}
			}
			t.Logf("%d cuts, %d of them in recovery; %d directories set aside, %d left alone, %d chains broken", o.cuts, o.inRecovery, o.aside, o.left, o.damage)
		})
	}
}

type oracle struct {
	t        *testing.T
	old, new map[string]string
	switches bool
	where    string
	rnd      *rand.Rand

	cuts, inRecovery, aside, left, damage int
}

func (o *oracle) mustSee(c *computer, dir string) map[string]string {
	o.t.Helper()
	all, err := see(o.t, c.fat, dir)
	if err != nil {
		o.t.Fatal(err)
	}
	return all
}

// check judges the machine that is found after a cut.
func (o *oracle) check(c *computer, cutAgain bool) {
	o.cuts++
	if !cutAgain {
		o.inRecovery++
	}
	if !o.bootable(c, "after the cut") {
		return
	}
	moments, err := c.watch(c.recover)
	if err != nil {
		o.t.Errorf("%s: recovering: %v", o.where, err)
		return
	}
	o.damage += c.fat.Damage
	if !o.bootable(c, "after recovery") || !o.clean(c) {
		return
	}
	if o.cuts%6 == 0 && !o.stillWorks(c) {
		return
	}
	if !cutAgain {
		return
	}
	where := o.where
	for i, m := range moments {
		for _, choice := range choices(m.fat.States(), o.rnd, 0) {
			o.where = fmt.Sprintf("%s; again at flush %d of recovery, sectors %v", where, i+1, choice)
			o.check(&computer{fat: m.fat.Cut(choice), staged: m.staged}, false)
		}
		n := m.fat.States()
		choice := make([]int, len(n))
		for k := range choice {
			choice[k] = o.rnd.IntN(n[k])
		}
		o.where = fmt.Sprintf("%s; again at flush %d of recovery, sectors %v", where, i+1, choice)
		o.check(&computer{fat: m.fat.Cut(choice), staged: m.staged}, false)
	}
}

// bootable compares what the firmware sees with the old and the new set.
func (o *oracle) bootable(c *computer, when string) bool {
	got, err := see(o.t, c.fat, "loader/entries")
	if err != nil {
		o.t.Errorf("%s, %s: %v", o.where, when, err)
		return false
	}
	if !maps.Equal(got, o.old) && !(o.switches && maps.Equal(got, o.new)) {
		o.t.Errorf("%s, %s: neither the old nor the new entries (-old +got):\n%s", o.where, when, cmp.Diff(o.old, got))
		return false
	}
	entries, err := c.loader().Entries()
	if err != nil {
		o.t.Errorf("%s, %s: %v", o.where, when, err)
		return false
	}
	if c.staged == "" || c.staged == first(entries) {
		return true
	}
	staged, err := c.loader().StagedEntries()
	if err == nil && first(staged) != c.staged {
		err = fmt.Errorf("staged entries begin with %q", first(staged).Short())
	}
	if err == nil {
		_, err = see(o.t, c.fat, "loader/entries.staged")
	}
	if err != nil {
		o.t.Errorf("%s, %s: the staged update is lost: %v", o.where, when, err)
	}
	return err == nil
}

// clean looks for leftovers. What may be a second name of something else, or
// leads nowhere, may stay.
func (o *oracle) clean(c *computer) bool {
	names := func(dir string) []string {
		files, _ := c.fat.ReadDir(dir)
		var all []string
		for _, f := range files {
			all = append(all, f.Name())
		}
		return all
	}
	for _, name := range names("loader") {
		switch {
		case strings.HasPrefix(name, "entries.torn-"):
			o.aside++
		case strings.HasPrefix(name, "entries.next"), strings.HasPrefix(name, "entries.staged") && c.staged == "":
			if _, err := c.fat.ReadDir("loader/" + name); err != nil {
				o.left++
				continue
			}
			o.t.Errorf("%s: leftover %s", o.where, name)
			return false
		}
	}
	var named strings.Builder
	for _, dir := range []string{"loader/entries", "loader/entries.staged"} {
		for _, name := range names(dir) {
			data, _ := readAll(c.fat, path.Join(dir, name))
			named.WriteString(data)
		}
	}
	for _, dir := range []string{"EFI/Linux", "EFI/Linux/bootc"} {
		for _, name := range names(dir) {
			if name == "bootc" || strings.Contains(named.String(), strings.TrimSuffix(name, ".extra.d")) {
				continue
			}
			files, err := c.fat.ReadDir(path.Join(dir, name))
			if err == nil && !slices.ContainsFunc(files, func(f fs.DirEntry) bool { return f.Name()[0] < ' ' }) {
				o.t.Errorf("%s: leftover %s/%s %v", o.where, dir, name, files)
				return false
			}
			o.left++
		}
	}
	return true
}

// stillWorks lets the machine live on, on a copy.
func (o *oracle) stillWorks(c *computer) bool {
	s := c.fat.Snapshot()
	done := s.States()
	for i := range done {
		done[i]--
	}
	c = &computer{fat: s.Cut(done), staged: c.staged}
	was, err := c.loader().Entries()
	if err != nil {
		o.t.Errorf("%s: %v", o.where, err)
		return false
	}
	last := first(was)
	next := []system{version(6, "x"), version(7, "y"), version(8, "y")}
	for _, n := range next {
		if err := c.stage(n); err != nil {
			o.t.Errorf("%s: staging afterwards: %v", o.where, err)
			return false
		}
		if err := c.finalize(); err != nil {
			o.t.Errorf("%s: finalizing afterwards: %v", o.where, err)
			return false
		}
		now, err := see(o.t, c.fat, "loader/entries")
		if err != nil {
			o.t.Errorf("%s: after an upgrade: %v", o.where, err)
			return false
		}
		entries, _ := c.loader().Entries()
		if len(now) < 4 || first(entries) != n.id || entries[len(entries)-1].ID != last {
			o.t.Errorf("%s: after an upgrade to %s from %s: %v", o.where, n.id.Short(), last.Short(), slices.Sorted(maps.Keys(now)))
			return false
		}
		for name, data := range now {
			s := n
			if i := slices.IndexFunc(append(next, v1, v2, v3, v4, v5, v6, v9), func(s system) bool { return strings.HasPrefix(data, s.kernel+" ") }); i >= 0 {
				s = append(next, v1, v2, v3, v4, v5, v6, v9)[i]
			}
			if path.Base(name) == "vmlinuz" && data != string(s.linux()) || path.Base(name) == "initrd" && data != string(s.initrd()) {
				o.t.Errorf("%s: after an upgrade: %s is damaged", o.where, name)
				return false
			}
		}
		last = n.id
	}
	if err := c.rollback(next[1].id); err != nil {
		o.t.Errorf("%s: rolling back afterwards: %v", o.where, err)
		return false
	}
	entries, err := c.loader().Entries()
	if err != nil || first(entries) != next[1].id {
		o.t.Errorf("%s: rolling back afterwards: %s is first, %v", o.where, first(entries).Short(), err)
		return false
	}
	return true
}
