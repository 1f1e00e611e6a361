package crash

import "testing"

// TestNextOutcome: what verbs make of an outcome.
func TestNextOutcome(t *testing.T) {
	for _, tt := range []struct {
		verb, outcome, want string
		ok                  bool
	}{
		{"upgrade", "1", nextVersion() + "+3 1", true},
		{"upgrade", "2 1, 3 staged", nextVersion() + "+3 2", true},
		{"upgrade", "2+3 2+2-1 1", nextVersion() + "+3 2", true},
		{"rollback", "2 1, 3 staged", "1 2", true},
		{"rollback", "1, 2 staged", "1", true},
		{"rollback", "1", "1", false},
		{"gc", "2 1, 3 staged", "2 1, 3 staged", true},
		{"gc", "2+2-1 1", "2 1", true},
	} {
		if got, ok := nextOutcome(tt.verb, tt.outcome); got != tt.want || ok != tt.ok {
			t.Errorf("%s from %q: %q, %v, want %q, %v", tt.verb, tt.outcome, got, ok, tt.want, tt.ok)
		}
	}
}
