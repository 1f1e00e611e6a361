package crash

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestLoaderTakes: what systemd-boot boots of an outcome, and what it leaves.
func TestLoaderTakes(t *testing.T) {
	for _, tt := range []struct {
		outcome, version string
		after            []string
	}{
		{"2 1, 3 staged", "2", []string{"2 1, 3 staged"}},
		{"2+3 1", "2", []string{"2+2-1 1"}},
		{"2+1-2 1, 3 staged", "2", []string{"1 2+0-3, 3 staged"}},
		{"1 2+0-3", "1", []string{"1 2+0-3"}},
		{"2+3 2+2-1 1", "2", []string{"2+3 2+2-1 1", "2+2-1 2+2-1 1"}},
	} {
		version, after := loaderTakes(tt.outcome)
		if diff := cmp.Diff(tt.after, after); version != tt.version || diff != "" {
			t.Errorf("%s: %s %v, want %s %v", tt.outcome, version, after, tt.version, tt.after)
		}
	}
}
