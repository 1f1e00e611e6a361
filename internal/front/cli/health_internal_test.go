package cli

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/bootc-go/bootc/internal/machine/deploy"
)

// TestEvidence: the unit that gives a boot up is none that the boot waited for.
func TestEvidence(t *testing.T) {
	dir := t.TempDir()
	jobs := "#!/bin/sh\nprintf '1 bootc-boot-failed.service start running\\n2 hang.service start running\\n3 multi-user.target start waiting\\n'\n"
	if err := os.WriteFile(filepath.Join(dir, "systemctl"), []byte(jobs), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
	const want = "the boot was not complete in time; units that were being started: hang.service"
	if got := evidence(t.Context(), false); got.Kind != deploy.Deadline || got.Text != want {
		t.Errorf("%s: %q, want %q", got.Kind, got.Text, want)
	}
}
