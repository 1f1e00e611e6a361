package machine

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/bootc-go/bootc"
)

// TestMedium: a file in /run says that the system runs from a medium, whatever
// is in it.
func TestMedium(t *testing.T) {
	run := t.TempDir()
	for _, want := range []bool{false, true} {
		m := &Machine{}
		if err := m.openRun(run); err != nil {
			t.Fatal(err)
		}
		if m.Medium != want {
			t.Errorf("Medium = %t, want %t", m.Medium, want)
		}
		if err := m.Close(); err != nil {
			t.Error(err)
		}
		name := filepath.Join(run, bootc.MediumFile)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(`{"damaged`), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}
