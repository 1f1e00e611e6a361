package crash_test

import (
	"context"
	"flag"
	"fmt"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/bootc-go/bootc/test/crash"
	"github.com/bootc-go/bootc/test/vm"
)

var (
	enabled = flag.Bool("vm", false, "judge what a virtual machine has recorded (needs root and the packages of hack/setup)")
	flushes = flag.Bool("flushes", false, "let TestFlushRemoved run")
	length  = flag.Duration("time", 2*time.Minute, "how long TestCampaign judges")
	boots   = flag.Int("boots", 4, "how many states TestCampaign really boots")
	next    = flag.Int("next", 8, "from how many states TestCampaign runs each of the next verbs")
	seed    = flag.Uint64("seed", 1, "of the states that are drawn at random")
)

// lab is nil until a recording is asked for.
var lab *vm.Lab

// TestMain closes the laboratory after all tests.
func TestMain(m *testing.M) {
	code := m.Run()
	if lab != nil {
		if err := lab.Close(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	os.Exit(code)
}

type recording struct {
	*crash.Recorded
	expected *crash.Expected
}

var recorded = sync.OnceValues(func() (r recording, err error) {
	lab, err = vm.Open(context.Background(), vm.Options{Name: "crash", Log: func(line string) { fmt.Println(line) }})
	if err != nil {
		return r, err
	}
	if r.Recorded, err = crash.Record(context.Background(), lab, crash.ShortStory()); err != nil {
		return r, err
	}
	r.expected, err = r.Timeline.Expect(r.Images)
	return r, err
})

// record returns the recording that all tests share.
func record(t *testing.T) recording {
	t.Helper()
	if !*enabled {
		t.Skip("virtual machines are booted with -vm")
	}
	r, err := recorded()
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// TestCampaign cuts the power everywhere, and has real machines go on from a few of
// the states.
func TestCampaign(t *testing.T) {
	r := record(t)
	report, err := crash.Run(t.Context(), r.Timeline, r.expected, crash.Options{Seed: *seed, Time: *length, Systematic: 8, Foreign: 400, Keep: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("seed %d\n%s", *seed, report)
	told := func(f crash.Finding) { t.Errorf("%s: %s: %q", f.State, f.Verb, f.Why) }
	for _, f := range report.Bad {
		told(f)
	}
	if t.Failed() {
		return
	}
	rows, err := crash.Machines{
		Boots: *boots, Next: *next, Seed: *seed, Report: told,
		Progress: func(what string, done, all int) { t.Logf("%s: %d of %d", what, done, all) },
	}.Run(t.Context(), lab, r.Recorded, report.Good)
	if err != nil {
		t.Fatal(err)
	}
	runs := 0
	for _, row := range rows {
		t.Logf("%s: from %d states, bad: %d", row.What, row.Runs, row.Bad)
		runs += row.Runs
	}
	if want := *boots + *next*len(crash.NextVerbs()); runs != want {
		t.Errorf("real machines went on from %d states, want %d", runs, want)
	}
}
