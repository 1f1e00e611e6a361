package action_test

import (
	"errors"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/bootc-go/bootc/internal/action/upgrade"
)

// policy adds an SELinux policy to an image.
func (s spec) policy(contexts string) spec {
	return s.with(spec{
		"etc/selinux/config":                           "SELINUXTYPE=lab\n",
		"etc/selinux/lab/contexts/files/file_contexts": contexts,
	})
}

// label is the SELinux label of a file on the machine.
func (l *lab) label(name string) string {
	l.Helper()
	buf := make([]byte, 100)
	n, err := unix.Lgetxattr(filepath.Join(l.dir, name), "security.selinux", buf)
	if errors.Is(err, unix.ENODATA) {
		return ""
	}
	must(l, err)
	return string(buf[:n])
}

func (l *lab) wantLabels(want map[string]string) {
	l.Helper()
	for name, label := range want {
		if got := l.label(name); got != label {
			l.Errorf("%s has the label %q, want %q", name, got, label)
		}
	}
}

// TestLabels takes a machine whose images have SELinux policies through an
// upgrade. /etc and /var get the labels that the images give them, and a file
// that the owner has not touched follows the image.
func TestLabels(t *testing.T) {
	l := newLabOf(t, "v1", func(l *lab) {
		v1().policy("/etc(/.*)? etc_t\n/etc/kept kept_t\n/var(/.*)? var_t\n").save(l, "v1")
	})
	etc := func(name string) string { p, _ := filepath.Rel(l.dir, filepath.Join(l.etc(), name)); return p }
	l.wantLabels(map[string]string{
		etc(""): "etc_t", etc("taken"): "etc_t", etc("kept"): "kept_t",
		"sysroot/state/os/default/var": "var_t", "sysroot/state/os/default/var/lib/data": "var_t",
	})
	l.write("kept", "owner")
	v2().policy("/etc(/.*)? new_t\n/etc/kept kept_t\n").save(l, "v1")
	l.stage(upgrade.Options{})
	must(t, l.shutdown())
	l.boot()
	l.wantEtc(map[string]string{"kept": "owner", "taken": "image 2", "new": "image 2", "gone": ""})
	l.wantLabels(map[string]string{etc(""): "new_t", etc("taken"): "new_t", etc("new"): "new_t", etc("kept"): "kept_t"})
}
