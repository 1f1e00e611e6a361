package boot_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/bootc-go/bootc/internal/format/osrelease"
	"github.com/bootc-go/bootc/internal/machine/boot"
)

// TestCredentials updates a machine with credentials: the entries of kernels name the
// archive, until its owner makes it empty. It is not collected.
func TestCredentials(t *testing.T) {
	root, l := machineOfOurs(t)
	update := func(s system, stays system) string {
		t.Helper()
		a, err := l.WriteKernel(ctx, s.id, content(s.linux()), content(s.initrd()))
		if err != nil {
			t.Fatal(err)
		}
		e := boot.NewEntry(s.id, osrelease.Release{ID: "fedora"}, a, "composefs="+string(s.id))
		if err := l.StageEntries(e, stays.id); err != nil {
			t.Fatal(err)
		}
		if err := l.SwitchEntries(); err != nil {
			t.Fatal(err)
		}
		if err := l.Collect(); err != nil {
			t.Fatal(err)
		}
		return strings.Join(e.All("initrd")[1:], " ")
	}
	if got := update(v2, v3); got != "" {
		t.Errorf("another initrd without credentials: %s", got)
	}
	files := []boot.Named{{Name: "a.cred", File: content([]byte("A"))}, {Name: boot.CredentialsArchive, File: content([]byte("archive"))}}
	for range 2 { // again is no error
		if err := l.InstallCredentials(ctx, files); err != nil {
			t.Fatal(err)
		}
	}
	if got := update(v4, v2); got != "/loader/credentials/bootc.initrd" {
		t.Errorf("another initrd is %q", got)
	}
	want := texts("a.cred", "A", "bootc.initrd", "archive")
	if diff := cmp.Diff(want, tree(t, root, "loader/credentials")); diff != "" {
		t.Errorf("credentials (-want +got):\n%s", diff)
	}
	write(t, root, "loader/credentials/bootc.initrd", "")
	if got := update(v1, v4); got != "" { // v4's entry still names it
		t.Errorf("another initrd that is empty: %s", got)
	}
	if err := l.MakeFirst(v4.id); err != nil {
		t.Error(err)
	}
}
