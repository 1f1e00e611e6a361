package crash

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
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
		if _, ok := nextOutcome(verb, j.Outcome); !ok || j.Outcome == nothing || strings.Contains(j.Outcome, "+0") {
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

// A NextRow counts what came of a verb.
type NextRow struct {
	Verb      string
	Runs, Bad int
}

// RunNext boots the states in a guest, for real: the kernel replays the journal and
// mounts, the initramfs program makes the root, what ends an interrupted verb is
// run. Then it runs a verb, and judges what that leaves. report gets each bad state.
func RunNext(ctx context.Context, lab *vm.Lab, r *Recorded, verbs map[string][]Judged, seed uint64, report func(Finding)) ([]NextRow, error) {
	g, err := r.startGuest(ctx, lab, "next", vm.Disk{})
	if err != nil {
		return nil, err
	}
	defer g.stop()
	n := &next{r: r, g: g, seed: seed}
	return n.all(ctx, verbs, report)
}

// all runs all verbs from their states.
func (n *next) all(ctx context.Context, verbs map[string][]Judged, report func(Finding)) (rows []NextRow, err error) {
	if n.f, err = os.OpenFile(n.g.disk, os.O_RDWR, 0); err != nil {
		return nil, err
	}
	defer n.f.Close()
	n.d, n.cache = NewDisk(n.r.Timeline.Store, n.r.Timeline.Sectors), newCache()
	if err := n.take(); err != nil {
		return nil, err
	}
	for _, verb := range NextVerbs() {
		row := NextRow{Verb: verb}
		for i, j := range verbs[verb] {
			why, err := n.run(ctx, verb, j, i%2 == 1)
			if err != nil {
				return rows, fmt.Errorf("%s from state %s: %w", verb, j.State, err)
			}
			row.Runs++
			if len(why) > 0 {
				row.Bad++
				report(Finding{j.State, "next " + verb, why})
			}
		}
		if row.Runs > 0 {
			rows = append(rows, row)
		}
	}
	return rows, nil
}

// next is a guest that gets one state after the other on the same disk.
type next struct {
	r     *Recorded
	g     *guest
	seed  uint64
	f     *os.File
	d     *Disk // what the file has
	cache *cache
}

// run has the guest go on from a state and says what is wrong afterwards.
func (n *next) run(ctx context.Context, verb string, j Judged, fsck bool) ([]string, error) {
	if err := n.hand(j.State); err != nil {
		return nil, err
	}
	n.d.hold()
	before := look(n.d, n.r.Images, n.cache, repairExt4)
	n.d.release()
	args := "next " + verb + " no"
	if fsck {
		args = "next " + verb + " yes"
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
	n.d.hold()
	defer n.d.release()
	v := look(n.d, n.r.Images, n.cache, nil)
	why := v.Wrong
	if want, _ := nextOutcome(verb, j.Outcome); v.Outcome != want {
		why = append(why, fmt.Sprintf("the outcome is %q, not %q", v.Outcome, want))
	}
	if v.Var != before.Var {
		why = append(why, "/var has changed")
	}
	for _, d := range v.Deployments {
		for _, was := range before.Deployments {
			if d.ID == was.ID && !d.Staged && !was.Staged && d.Etc != was.Etc {
				why = append(why, "/etc of version "+d.Version+" has changed")
			}
		}
	}
	return why, nil
}

// hand writes a state to the disk, as far as it differs from what is there.
func (n *next) hand(s State) error {
	state, err := n.r.Timeline.Disk(s, n.seed)
	if err != nil {
		return err
	}
	var run []byte
	for at := int64(0); at <= int64(len(state.at)); at++ {
		if at < int64(len(state.at)) && state.at[at] != n.d.at[at] {
			run = append(run, state.store.Sector(state.at[at])...)
			continue
		}
		if len(run) > 0 {
			if _, err := n.f.WriteAt(run, at*sectorSize-int64(len(run))); err != nil {
				return err
			}
			run = run[:0]
		}
	}
	n.d = state
	return nil
}

// take reads what the guest has made of the disk.
func (n *next) take() error {
	v := &Volume{n.d, 0, int64(len(n.d.at))}
	return v.readBack(n.f)
}
