package deploy_test

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/bootc-go/bootc"
	"github.com/bootc-go/bootc/internal/machine/deploy"
)

var id = bootc.ID(strings.Repeat("ab", 64))

func newState(t *testing.T) (*deploy.State, *os.Root) {
	t.Helper()
	root, err := os.OpenRoot(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { root.Close() })
	s := deploy.New(root)
	if err := s.Init(); err != nil {
		t.Fatal(err)
	}
	return s, root
}

func TestStaged(t *testing.T) {
	s, root := newState(t)
	if st, err := s.Staged(); st != nil || err != nil {
		t.Fatalf("Staged() = %v, %v on a new machine, want nil", st, err)
	}
	want := deploy.Staged{Version: 1, ID: id, Locked: true, Manifest: digest(1), Conflicts: []string{"etc/a b"}}
	if err := s.SetStaged(want); err != nil {
		t.Fatal(err)
	}
	got, err := s.Staged()
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(&want, got); diff != "" {
		t.Errorf("Staged() differs (-want +got):\n%s", diff)
	}
	if err := s.ClearStaged(); err != nil {
		t.Fatal(err)
	}
	if st, err := s.Staged(); st != nil || err != nil {
		t.Errorf("Staged() = %v, %v after ClearStaged, want nil", st, err)
	}
	if err := root.WriteFile("state/bootc/staged.json", []byte(`{"version":2,"id":"x"}`), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Staged(); err == nil || !strings.Contains(err.Error(), "version 2 is newer") {
		t.Errorf("Staged() with version 2: %v, want an error about the version", err)
	}
}

func TestMirror(t *testing.T) {
	_, run := newState(t)
	if err := deploy.Mirror(run, &deploy.Staged{ID: id, Locked: true}); err != nil {
		t.Fatal(err)
	}
	got, err := run.ReadFile("composefs/staged-deployment")
	if err != nil {
		t.Fatal(err)
	}
	want := fmt.Sprintf(`{"depl_id":"%s","finalization_locked":true}`, id)
	if string(got) != want {
		t.Errorf("mirror = %q, want %q", got, want)
	}
	for range 2 {
		if err := deploy.Mirror(run, nil); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := run.Stat("composefs/staged-deployment"); err == nil {
		t.Error("mirror is there after Mirror(nil)")
	}
}

func digest(i int) bootc.Digest { return bootc.Digest(fmt.Sprintf("sha256:%064x", i)) }
