// Campaign cuts the power of a computer on which all verbs have been run, in as
// many ways as there is time for, and prints what came of it: "make crash".
//
// docs/crash-campaign.md explains what it does.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/bootc-go/bootc/test/crash"
	"github.com/bootc-go/bootc/test/vm"
)

type options struct {
	crash.Options
	state, dump, verbs string
	next, real         int
	short              bool
}

func main() {
	var o options
	flag.DurationVar(&o.Time, "time", 10*time.Minute, "how long states are judged")
	flag.Uint64Var(&o.Seed, "seed", 1, "of the states that are drawn at random")
	flag.IntVar(&o.Systematic, "systematic", 64, "how many states of an epoch are not drawn at random; of a short one up to four times as many")
	flag.IntVar(&o.PerEpoch, "epoch", 1000, "how many distinct states of an epoch suffice; 0: go on")
	flag.IntVar(&o.Foreign, "foreign", 500, "let e2fsck and fsck.fat repair one state in `N`, too")
	flag.StringVar(&o.verbs, "verbs", "", "look at these verbs only, as upgrade,finalize")
	flag.StringVar(&o.state, "state", "", "judge this `STATE` only, as a report names it")
	flag.StringVar(&o.dump, "dump", "", "write the disk of a state, or of each bad one, to `FILE`")
	flag.BoolVar(&o.short, "short", false, "record a short story")
	flag.IntVar(&o.next, "next", 300, "run the next verb from `N` of the states, each of "+strings.Join(crash.NextVerbs(), ", "))
	flag.IntVar(&o.real, "real", 60, "really boot `N` of the states")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, unix.SIGTERM)
	bad, err := run(ctx, o)
	stop()
	if err != nil {
		fmt.Fprintf(os.Stderr, "error: %v\n", err)
	}
	if err != nil || bad > 0 {
		os.Exit(1)
	}
}

// run returns how many bad states were found.
func run(ctx context.Context, o options) (int, error) {
	lab, err := vm.Open(ctx, vm.Options{Name: "crash", Log: func(line string) { fmt.Println(line) }})
	if err != nil {
		return 0, err
	}
	defer lab.Close()
	story := crash.LongStory()
	if o.short {
		story = crash.ShortStory()
	}
	r, err := crash.Record(ctx, lab, story)
	if err != nil {
		return 0, err
	}
	t := r.Timeline
	expected, err := t.Expect(r.Images)
	if err != nil {
		return 0, fmt.Errorf("the recording is not what it should be: %w", err)
	}
	fmt.Print(t.Describe(expected))
	if o.state != "" {
		return one(t, expected, o)
	}
	if o.verbs != "" {
		o.Verbs = strings.Split(o.verbs, ",")
	}
	o.Keep = o.next > 0 || o.real > 0
	fmt.Printf("judging states for %v\n", o.Time)
	report, err := crash.Run(ctx, t, expected, o.Options)
	if err != nil {
		return 0, err
	}
	fmt.Printf("seed %d\n%s", o.Seed, report)
	for i, f := range report.Bad {
		name := o.dump
		if name == "" {
			name = filepath.Join(lab.Out, "bad")
		}
		name = fmt.Sprintf("%s-%d.raw", strings.TrimSuffix(name, ".raw"), i+1)
		tell(f, o.Seed)
		fmt.Printf("  disk: %s\n", name)
		err = errors.Join(err, dump(t, f.State, o.Seed, name))
	}
	bad := report.Total().Bad
	if err != nil || bad > 0 {
		return bad, err
	}
	real, err := machines(ctx, lab, r, report.Good, o)
	total := report.Total()
	boots, verbs := 0, 0
	for _, row := range real {
		if row.Boots {
			boots += row.Runs
		} else {
			verbs += row.Runs
		}
		bad += row.Bad
	}
	fmt.Printf("%d states, %d distinct; boots simulated: %d, boots real: %d, next verbs: %d; bad: %d\n",
		total.States, total.Distinct, total.States+report.Foreign, boots, verbs, bad)
	return bad, err
}

// machines has real machines go on from some of the states.
func machines(ctx context.Context, lab *vm.Lab, r *crash.Recorded, good []crash.Judged, o options) ([]crash.RealRow, error) {
	begin := time.Now()
	since := func() time.Duration { return time.Since(begin).Round(time.Second) }
	rows, err := crash.Machines{
		Boots: o.real, Next: o.next, Seed: o.Seed,
		Report:   func(f crash.Finding) { tell(f, o.Seed) },
		Progress: func(what string, done, all int) { fmt.Printf("%s: %d of %d, after %v\n", what, done, all, since()) },
	}.Run(ctx, lab, r, good)
	for _, row := range rows {
		fmt.Printf("%s: from %d states, bad: %d\n", row.What, row.Runs, row.Bad)
	}
	return rows, err
}

func tell(f crash.Finding, seed uint64) {
	fmt.Printf("bad: %s: state %s: %s\n  again: bin/crash -seed %d -state %s\n", f.Verb, f.State, strings.Join(f.Why, "; "), seed, f.State)
}

// one judges one state.
func one(t *crash.Timeline, expected *crash.Expected, o options) (int, error) {
	s, err := t.ParseState(o.state)
	if err != nil {
		return 0, err
	}
	verdict, err := crash.Judge(t, expected, s, o.Seed)
	if err != nil {
		return 0, err
	}
	fmt.Printf("%s: %q\n", t.Windows[s.Window].Verb, verdict.Outcome)
	for _, why := range verdict.Bad {
		fmt.Printf("bad: %s\n", why)
	}
	if o.dump != "" {
		err = dump(t, s, o.Seed, o.dump)
	}
	return len(verdict.Bad), err
}

func dump(t *crash.Timeline, s crash.State, seed uint64, name string) error {
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	d, err := t.Disk(s, seed)
	if err == nil {
		err = f.Truncate(d.Size())
	}
	if err == nil {
		err = d.WriteTo(f, 0, d.Size()/512)
	}
	return errors.Join(err, f.Close())
}
