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
