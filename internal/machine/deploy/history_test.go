package deploy_test

import (
	"testing"
	"time"

	"github.com/bootc-go/bootc/internal/machine/deploy"
)

func TestRejected(t *testing.T) {
	s, _ := newState(t)
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for i := range 40 {
		if err := s.Reject(deploy.Rejection{Manifest: digest(i), Reason: "rolled back", Time: now}); err != nil {
			t.Fatal(err)
		}
	}
	if r, err := s.Rejected(digest(0)); r != nil || err != nil {
		t.Errorf("Rejected(oldest of 40) = %v, %v; want nil", r, err)
	}
	r, err := s.Rejected(digest(39))
	if err != nil || r == nil || !r.Time.Equal(now) {
		t.Fatalf("Rejected(newest) = %v, %v", r, err)
	}
	if err := s.Accept(digest(39)); err != nil {
		t.Fatal(err)
	}
	if r, _ := s.Rejected(digest(39)); r != nil {
		t.Errorf("Rejected = %v after Accept, want nil", r)
	}
}

// TestEvidence keeps the evidence of the newest images, and does not show it to
// everybody.
func TestEvidence(t *testing.T) {
	s, root := newState(t)
	for i := range 10 {
		r := deploy.Rejection{Manifest: digest(i), Reason: deploy.Failed, Detail: "x", Boots: []deploy.Boot{{ID: "b"}}}
		if err := s.Reject(r); err != nil {
			t.Fatal(err)
		}
	}
	all, err := s.Rejections()
	if err != nil || len(all) != 10 {
		t.Fatalf("Rejections() = %d, %v, want 10", len(all), err)
	}
	for i, r := range all {
		if (len(r.Boots) > 0) != (i >= 2) || r.Detail != "x" {
			t.Errorf("image %d: %d boots, detail %q", i, len(r.Boots), r.Detail)
		}
	}
	st, err := root.Stat("state/bootc/history.json")
	if err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("history.json has mode %v, %v, want 0600", st.Mode(), err)
	}
}
