package crash_test

import (
	"testing"
	"time"

	"github.com/bootc-go/bootc/test/crash"
)

// TestPlantedBugs: the campaign finds what it is there to find.
func TestPlantedBugs(t *testing.T) {
	r := record(t)
	for _, b := range crash.Bugs() {
		t.Run(string(b), func(t *testing.T) {
			planted, err := r.Timeline.Plant(b, r.Images)
			if err != nil {
				t.Fatal(err)
			}
			report, err := crash.Run(t.Context(), planted, r.expected, crash.Options{
				Seed: *seed, Time: 30 * time.Second, Systematic: 40, Verbs: []string{b.Verb()}, Stop: true,
			})
			if err != nil {
				t.Fatal(err)
			}
			if len(report.Bad) == 0 {
				t.Fatalf("nothing was found:\n%s", report)
			}
			t.Logf("%s: %q", report.Bad[0].State, report.Bad[0].Why)
		})
	}
}

// TestFlushRemoved removes the flushes of a finalize and of an upgrade, one after
// the other. Some of them are there for other disks or for what is removed; but
// not all. It takes minutes.
func TestFlushRemoved(t *testing.T) {
	if !*flushes {
		t.Skip("flushes are removed one by one with -flushes")
	}
	r := record(t)
	for _, verb := range []string{"upgrade", "finalize"} {
		window := 0
		for r.Timeline.Windows[window].Verb != verb {
			window++
		}
		places, found := 0, 0
		for {
			planted, epoch, ok := r.Timeline.WithoutFlush(window, places)
			if !ok {
				break
			}
			places++
			report, err := crash.Run(t.Context(), planted, r.expected, crash.Options{
				Seed: *seed, Draws: 200, Systematic: 100, Window: window + 1, Epoch: &epoch, Stop: true,
			})
			if err != nil {
				t.Fatal(err)
			}
			if len(report.Bad) > 0 {
				found++
				t.Logf("%s without flush %d: %s: %q", verb, places, report.Bad[0].State, report.Bad[0].Why)
			}
		}
		t.Logf("%s: %d of %d flushes are missed", verb, found, places)
		if found == 0 {
			t.Errorf("%s: no flush of %d is missed", verb, places)
		}
	}
}
