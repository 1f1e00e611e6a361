package crash_test

import (
	"context"
	"flag"
	"fmt"
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
	seed    = flag.Uint64("seed", 1, "of the states that are drawn at random")
)

type recording struct {
	*crash.Recorded
	expected *crash.Expected
}

var recorded = sync.OnceValues(func() (r recording, err error) {
	lab, err := vm.Open(context.Background(), vm.Options{Name: "crash", Log: func(line string) { fmt.Println(line) }})
	if err != nil {
		return r, err
	}
	defer lab.Close()
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

// TestCampaign cuts the power everywhere.
func TestCampaign(t *testing.T) {
	r := record(t)
	report, err := crash.Run(t.Context(), r.Timeline, r.expected, crash.Options{Seed: *seed, Time: *length, Systematic: 8, Foreign: 400})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("seed %d\n%s", *seed, report)
	for _, f := range report.Bad {
		t.Errorf("%s: %s: %q", f.State, f.Verb, f.Why)
	}
}
