package crash

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"

	"github.com/bootc-go/bootc/test/vm"
)

// NextVerbs are those that are run from states that a campaign has judged.
func NextVerbs() []string { return []string{"upgrade", "rollback", "gc"} }

// nextOutcome is what a verb makes of an outcome, in a boot that is found good
// before; false where it refuses.
func nextOutcome(verb, outcome string) (string, bool) {
	entries, staged, isStaged := strings.Cut(outcome, ", ")
	var versions []string
	for _, v := range strings.Fields(entries) {
		// The one that boots is blessed. It may have both names of a torn rename.
		if plain, _, _ := strings.Cut(v, "+"); len(versions) == 0 {
			versions = append(versions, plain)
		} else if plain != versions[0] {
			versions = append(versions, v)
		}
	}
	switch verb {
	case "upgrade":
		return nextVersion() + "+3 " + versions[0], true
	case "rollback":
		if len(versions) > 1 {
			return strings.Join(append([]string{versions[1], versions[0]}, versions[2:]...), " "), true
		}
		return versions[0], isStaged
	}
	entries = strings.Join(versions, " ")
	if isStaged {
		entries += ", " + staged
	}
	return entries, true
}

// Choose picks n states from which a verb can go on: from each window and outcome
// as many as from another, as far as there are.
func Choose(all []Judged, verb string, n int, seed uint64) []Judged {
	type group struct {
		window  int
		outcome string
	}
	groups := map[group][]Judged{}
	var order []group
	for _, j := range all {
		// Where a deployment has no tries left, it depends on what is known of its last
		// boot whether it is given some.
		_, ok := nextOutcome(verb, j.Outcome)
		if !ok || j.Outcome == nothing || verb != RealBoot && strings.Contains(j.Outcome, "+0") {
			continue
		}
		g := group{j.State.Window, j.Outcome}
		if groups[g] == nil {
			order = append(order, g)
		}
		groups[g] = append(groups[g], j)
	}
	r := rand.New(rand.NewPCG(seed, 7))
	for _, g := range order {
		r.Shuffle(len(groups[g]), func(a, b int) { groups[g][a], groups[g][b] = groups[g][b], groups[g][a] })
	}
	var chosen []Judged
	for k := 0; len(chosen) < n; k++ {
		before := len(chosen)
		for _, g := range order {
			if k < len(groups[g]) && len(chosen) < n {
				chosen = append(chosen, groups[g][k])
			}
		}
		if len(chosen) == before {
			break
		}
	}
	return chosen
}

// nextVerbs boots the states in guests, for real: the kernel replays the journal and
// mounts, the initramfs program makes the root, what ends an interrupted verb and what
// finds the boot good is run. Then a guest runs a verb, and what that leaves is judged.
func (m Machines) nextVerbs(ctx context.Context, lab *vm.Lab, r *Recorded, verbs map[string][]Judged) ([]RealRow, error) {
	var jobs []job
	for _, verb := range NextVerbs() {
		for i, j := range verbs[verb] {
			jobs = append(jobs, job{verb, j, i%2 == 1})
		}
	}
	return m.share(jobs, "next ", func(number int, work func(do func(job) ([]string, error)) error) error {
		name := fmt.Sprint("next-", number)
		g, err := r.startGuest(ctx, lab, name, vm.Disk{})
		if err != nil {
			return err
		}
		defer g.stop()
		v, err := r.openDrive(g.disk, m.Seed)
		if err != nil {
			return err
		}
		defer v.close()
		n := &next{v, g}
		return work(func(j job) ([]string, error) { return n.run(ctx, j) })
	})
}

// next is a guest that gets one state after the other on the same disk.
type next struct {
	*drive
	g *guest
}

// run has the guest go on from a state and says what is wrong afterwards.
func (n *next) run(ctx context.Context, j job) ([]string, error) {
	before, err := n.hand(j.state.State)
	if err != nil {
		return nil, err
	}
	args := "next " + j.what + " no"
	if j.fsck {
		args = "next " + j.what + " yes"
	}
	failed := n.g.script(ctx, args)
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	if err := n.take(); err != nil {
		return nil, err
	}
	if failed != nil {
		return []string{failed.Error()}, nil
	}
	v := n.look(nil)
	why := v.Wrong
	if want, _ := nextOutcome(j.what, j.state.Outcome); v.Outcome != want {
		why = append(why, fmt.Sprintf("the outcome is %q, not %q", v.Outcome, want))
	}
	return append(why, kept(before, v)...), nil
}
