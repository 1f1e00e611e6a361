package boot_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/bootc-go/bootc/internal/format/bls"
	"github.com/bootc-go/bootc/internal/format/osrelease"
	"github.com/bootc-go/bootc/internal/machine/boot"
	"github.com/bootc-go/bootc/internal/machine/boot/boottest"
)

// A trialOf is a machine with v1 and an update on trial.
func trialOf(t *testing.T, s system) *computer {
	t.Helper()
	c := &computer{fat: boottest.New(200)}
	for _, err := range []error{c.install(v1), c.stage(s), c.finalize()} {
		if err != nil {
			t.Fatal(err)
		}
	}
	return c
}

func (c *computer) want(t *testing.T, want ...string) {
	t.Helper()
	if got := list(t, c.loader().Entries); !cmp.Equal(got, want) {
		t.Fatalf("entries %q, want %q", got, want)
	}
}

func (c *computer) wantBoot(t *testing.T, s system) {
	t.Helper()
	if id, err := c.boot(); err != nil || id != s.id {
		t.Fatalf("the loader boots %s, %v, want %s", id.Short(), err, s.id.Short())
	}
}

// TestTries gives an update three tries, and then the system before it.
func TestTries(t *testing.T) {
	c := trialOf(t, v6)
	c.want(t, "bootc_debian-13-1+3.conf 999999999999", "bootc_debian-13-0.conf 111111111111")
	for range boot.Tries {
		c.wantBoot(t, v6)
	}
	c.want(t, "bootc_debian-13-0.conf 111111111111", "bootc_debian-13-1+0-3.conf 999999999999")
	c.wantBoot(t, v1)
	c.wantBoot(t, v1)
	if err := c.rollback(v6.id); err != nil {
		t.Fatal(err)
	}
	c.want(t, "bootc_debian-13-1+3.conf 999999999999", "bootc_debian-13-0.conf 111111111111")
}

// TestBless makes a good boot the last that counts.
func TestBless(t *testing.T) {
	c := trialOf(t, v6)
	c.wantBoot(t, v6)
	if err := c.loader().Bless(v1.id); err != nil {
		t.Fatal(err)
	}
	c.want(t, "bootc_debian-13-1+2-1.conf 999999999999", "bootc_debian-13-0.conf 111111111111")
	for range 2 {
		if err := c.loader().Bless(v6.id); err != nil {
			t.Fatal(err)
		}
		c.want(t, "bootc_debian-13-1.conf 999999999999", "bootc_debian-13-0.conf 111111111111")
	}
	c.wantBoot(t, v6)
	if err := c.loader().Refill(v6.id); err != nil {
		t.Fatal(err)
	}
	c.want(t, "bootc_debian-13-1.conf 999999999999", "bootc_debian-13-0.conf 111111111111")
}

// TestRefill gives tries back in the boot that may have been the last.
func TestRefill(t *testing.T) {
	c := trialOf(t, v6)
	for range boot.Tries {
		c.wantBoot(t, v6)
	}
	if err := c.loader().Refill(v6.id); err != nil {
		t.Fatal(err)
	}
	c.want(t, "bootc_debian-13-1+2-1.conf 999999999999", "bootc_debian-13-0.conf 111111111111")
}

// TestNeverTwoDead upgrades from systems on trial, without any good boot, until
// nothing is left but what was good.
func TestNeverTwoDead(t *testing.T) {
	c := trialOf(t, v6)
	next := version(11, "g")
	next.trial = true
	runs := v6
	for _, s := range []system{v9, next} {
		c.wantBoot(t, runs)
		for _, err := range []error{c.stage(s), c.finalize()} {
			if err != nil {
				t.Fatal(err)
			}
		}
		runs = s
	}
	c.want(t, "bootc_debian-13-1+3.conf bbbbbbbbbbbb", "bootc_debian-13-0+2-1.conf aaaaaaaaaaaa", "bootc_debian-13_2-0.conf 111111111111")
	for _, s := range []system{next, next, next, v9, v9, v1, v1} {
		c.wantBoot(t, s)
	}
	// What is good needs no other good one.
	for _, err := range []error{c.stage(v3), c.finalize()} {
		if err != nil {
			t.Fatal(err)
		}
	}
	c.want(t, "bootc_debian-13-1.conf 333333333333", "bootc_debian-13_2-0.conf 111111111111")
}

// TestThirdTry upgrades in the last try of a system, which counts as given up
// until it is blessed.
func TestThirdTry(t *testing.T) {
	c := trialOf(t, v6)
	for range boot.Tries {
		c.wantBoot(t, v6)
	}
	if err := c.loader().StageEntries(boot.OnTrial(entryOf(t, c, v9)), v6.id); err != nil {
		t.Fatal(err)
	}
	if err := c.loader().SwitchEntries(); err != nil {
		t.Fatal(err)
	}
	c.want(t, "bootc_debian-13-1+3.conf aaaaaaaaaaaa", "bootc_debian-13_2-0.conf 111111111111", "bootc_debian-13-0+0-3.conf 999999999999")
}

// TestLastTry goes back by hand in the last try of a system. That it is found
// good after that does not undo it.
func TestLastTry(t *testing.T) {
	c := trialOf(t, v6)
	for range boot.Tries {
		c.wantBoot(t, v6)
	}
	for _, err := range []error{c.rollback(v1.id), c.loader().Bless(v6.id)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	c.want(t, "bootc_debian-13-1.conf 111111111111", "bootc_debian-13-0.conf 999999999999")
}

// TestBackToGood goes back to the good system by an upgrade to it: it is not
// put on trial, or there would be no good one.
func TestBackToGood(t *testing.T) {
	c := trialOf(t, v6)
	c.wantBoot(t, v6)
	if err := c.loader().StageEntries(boot.OnTrial(entryOf(t, c, v1)), v6.id); err != nil {
		t.Fatal(err)
	}
	if err := c.loader().SwitchEntries(); err != nil {
		t.Fatal(err)
	}
	c.want(t, "bootc_debian-13-1.conf 111111111111", "bootc_debian-13-0+2-1.conf 999999999999")
}

func TestKnowsUKI(t *testing.T) {
	for loader, want := range map[string]bool{
		"systemd-boot 257.9-1~deb13u1": false, "systemd-boot 258~rc1": true, "systemd-boot 258.1-1": true, "systemd-boot 1000": true, "": false, "GRUB 2.12": false,
	} {
		if got := boot.KnowsUKI(loader); got != want {
			t.Errorf("KnowsUKI(%q) = %v, want %v", loader, got, want)
		}
	}
	e := boot.NewEntry(v5.id, osrelease.Release{}, boot.Artefacts{UKI: "/a.efi", UKIKey: "uki"}, "")
	if e.Get("uki") != "/a.efi" || e.Get("efi") != "" {
		t.Errorf("entry:\n%s", e.Bytes())
	}
}

// TestRetry stages what has failed, or was left, once more: it has all its tries.
func TestRetry(t *testing.T) {
	for done := 1; done <= boot.Tries; done++ {
		c := trialOf(t, v6)
		for range done {
			c.wantBoot(t, v6)
		}
		if err := c.loader().StageEntries(boot.OnTrial(entryOf(t, c, v6)), v1.id); err != nil {
			t.Fatal(err)
		}
		if err := c.loader().SwitchEntries(); err != nil {
			t.Fatal(err)
		}
		c.want(t, "bootc_debian-13-1+3.conf 999999999999", "bootc_debian-13-0.conf 111111111111")
	}
}

// TestLoaderRename cuts the power while the loader takes a try. One of the two
// systems boots whole, and the machine goes on.
func TestLoaderRename(t *testing.T) {
	c := trialOf(t, v6)
	c.wantBoot(t, v6)
	moment := c.fat.Snapshot()
	seen := map[string]bool{}
	for _, choice := range choices(moment.States(), rand.New(rand.NewPCG(1, 2)), 3) {
		o := &oracle{t: t, switches: true, where: fmt.Sprintf("sectors %v", choice)}
		c := &computer{fat: moment.Cut(choice)}
		seen[strings.Join(list(t, c.loader().Entries), " ")] = true
		names, err := c.fat.ReadDir("loader/entries")
		if err != nil {
			t.Fatal(err)
		}
		seen[fmt.Sprintf("%d names", len(names))] = true
		all := o.mustSee(c, "loader/entries")
		if all["bootc_debian-13-0.conf"] == "" {
			t.Fatalf("%s: the good system is gone", o.where)
		}
		for range 4 { // whatever became of the counter, it comes to an end
			id, err := c.boot()
			if err != nil {
				t.Fatal(err)
			}
			if id == v1.id {
				break
			}
		}
		if err := c.fat.Flush(); err != nil {
			t.Fatal(err)
		}
		if err := c.recover(); err != nil {
			t.Fatalf("%s: %v", o.where, err)
		}
		o.stillWorks(c)
	}
	for _, want := range []string{
		"1 names", "2 names", "3 names",
		"bootc_debian-13-0.conf 111111111111",
		"bootc_debian-13-1+3.conf 999999999999 bootc_debian-13-0.conf 111111111111",
		"bootc_debian-13-1+2-1.conf 999999999999 bootc_debian-13-0.conf 111111111111",
	} {
		if !seen[want] {
			t.Errorf("no cut has left %q: %v", want, seen)
		}
	}
}

// TestDoubles blesses an entry of which a torn rename has left both names.
func TestDoubles(t *testing.T) {
	root, l := machineOfOurs(t)
	for name, text := range tree(t, root, "loader/entries") {
		if strings.HasPrefix(name, "bootc_fedora") {
			write(t, root, "loader/entries/bootc_fedora-1-1+3.conf", text)
			write(t, root, "loader/entries/bootc_fedora-1-1+2-1.conf", text)
			if err := root.Remove("loader/entries/" + name); err != nil {
				t.Fatal(err)
			}
		}
	}
	if got := list(t, l.Entries)[0]; got != "bootc_fedora-1-1+2-1.conf 333333333333" {
		t.Errorf("first is %s", got)
	}
	foreign := tree(t, root, "loader/entries")["memtest+2.conf"]
	if err := l.Bless(v3.id); err != nil {
		t.Fatal(err)
	}
	after := tree(t, root, "loader/entries")
	names := make([]string, 0, len(after))
	for name := range after {
		names = append(names, name)
	}
	slices.Sort(names)
	if want := []string{"bootc_debian-1-0.conf", "bootc_fedora-1-1.conf", "memtest+2.conf", "zz-rescue.conf"}; !cmp.Equal(names, want) {
		t.Errorf("after blessing %q, want %q", names, want)
	}
	if after["memtest+2.conf"] != foreign {
		t.Error("the counter of an entry of others was changed")
	}
}

// entryOf writes the kernel of a system and makes its entry, without a counter.
func entryOf(t *testing.T, c *computer, s system) bls.Entry {
	t.Helper()
	s.trial = false
	e, err := c.write(s)
	if err != nil {
		t.Fatal(err)
	}
	return e
}
