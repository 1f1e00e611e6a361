package deploy_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/bootc-go/bootc/internal/machine/deploy"
)

func TestTrial(t *testing.T) {
	s, root := newState(t)
	if got, err := s.Trial(); got != nil || err != nil {
		t.Fatalf("Trial() = %v, %v on a new machine, want nil", got, err)
	}
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	want := deploy.Trial{Version: 1, ID: id, Manifest: digest(1), Refills: 2}
	for i := range 20 {
		want.Add(fmt.Sprint(i), now)
		want.Add(fmt.Sprint(i), now)
	}
	if n := len(want.Boots); n != 16 || want.Last("19").ID != "18" || want.Last("").ID != "19" || want.Boot("3") != nil {
		t.Errorf("%d boots are kept: %v", n, want.Boots)
	}
	b := want.Boot("19")
	b.Judged = true
	b.Failures = []deploy.Failure{{Kind: deploy.CheckFailed, Text: "10-x: exit status 1", Output: "a\xff\n" + strings.Repeat("line\n", 1000)}}
	b.Journal = strings.Repeat("y", 5000)
	if err := s.SetTrial(want); err != nil {
		t.Fatal(err)
	}
	got, err := s.Trial()
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(&want, got); diff != "" {
		t.Errorf("Trial() differs (-want +got):\n%s", diff)
	}
	out := got.Boot("19").Failures[0].Output
	if len(out) > 2048 || len(out) < 2000 || !strings.HasPrefix(out, "line\n") || len(got.Boot("19").Journal) != 4096 {
		t.Errorf("%d bytes of output and %d of the journal are kept: %q…", len(out), len(got.Boot("19").Journal), out[:10])
	}
	if st, err := root.Stat("state/bootc/trial.json"); err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("trial.json has mode %v, %v, want 0600", st.Mode(), err)
	}
	for range 2 {
		if err := s.ClearTrial(); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := s.Trial(); got != nil || err != nil {
		t.Errorf("Trial() = %v, %v after ClearTrial, want nil", got, err)
	}
}
