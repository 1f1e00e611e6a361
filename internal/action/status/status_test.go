package status_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/bootc-go/bootc"
	"github.com/bootc-go/bootc/internal/action/status"
	"github.com/bootc-go/bootc/internal/machine"
	"github.com/bootc-go/bootc/internal/machine/deploy"
)

const origin = `[origin]
container-image-reference = ostree-unverified-image:docker://registry.example/os:stable

[boot]
boot_type = bls
digest = 00

[image]
manifest_digest = sha256:`

func open(t *testing.T, dir string) *os.Root {
	t.Helper()
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { root.Close() })
	return root
}

// TestMedium: a system that runs from a medium has one deployment, and says that
// it cannot be changed.
func TestMedium(t *testing.T) {
	id := bootc.ID(strings.Repeat("5a", 64))
	physical := t.TempDir()
	state := filepath.Join(physical, "state/deploy", string(id))
	if err := os.MkdirAll(state, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(state, string(id)+".origin"), []byte(origin+strings.Repeat("0", 64)+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	sysroot := open(t, physical)
	for _, medium := range []bool{true, false} {
		m := &machine.Machine{
			Sysroot: sysroot, State: deploy.New(sysroot), Run: open(t, t.TempDir()),
			Booted: &machine.Booted{ID: id, Verity: true}, Medium: medium,
		}
		h, err := status.Of(m)
		if err != nil {
			t.Fatal(err)
		}
		if h.Status.ReadOnly != medium {
			t.Errorf("medium %t: readOnly is %t", medium, h.Status.ReadOnly)
		}
		if h.Status.Booted == nil || h.Status.Booted.Composefs.Verity != id || h.Status.Rollback != nil {
			t.Errorf("medium %t: booted %+v, rollback %+v", medium, h.Status.Booted, h.Status.Rollback)
		}
		if told := strings.Contains(strings.Join(h.Status.Notices, "\n"), "a medium that is not written"); told != medium {
			t.Errorf("medium %t: notices %q", medium, h.Status.Notices)
		}
	}
}
