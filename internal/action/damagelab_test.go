package action_test

import (
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/bootc-go/bootc"
	"github.com/bootc-go/bootc/internal/action/assess"
	"github.com/bootc-go/bootc/internal/action/fsck"
	"github.com/bootc-go/bootc/internal/content/images"
	"github.com/bootc-go/bootc/internal/content/images/imagestest"
	"github.com/bootc-go/bootc/internal/content/registry"
	"github.com/bootc-go/bootc/internal/linux/dir"
	"github.com/bootc-go/bootc/internal/machine"
	"github.com/bootc-go/bootc/internal/machine/boot"
	"github.com/bootc-go/bootc/internal/machine/deploy"
)

// newDamaged makes a machine that has all that can be damaged: what is booted is on
// trial, there is one to go back to, and an update is staged; one image was rejected.
// sealed images have unified kernel images.
func newDamaged(t *testing.T, sealed bool) *lab {
	own := spec{
		loaderBinary(): imagestest.Program(runtime.GOARCH,
			[2]string{".text", imagestest.Big("loader", 6000)}, [2]string{".sdmagic", "#### LoaderInfo: systemd-boot 257.9 ####"}),
		"usr/lib/systemd/system/bootc-bless-boot.service": "[Service]\n",
	}
	three := v2().with(spec{"usr/bin/tool": imagestest.Big("tool 3", 700), "usr/lib/modules/6.2/initramfs.img": imagestest.Big("initrd 3", 8000)})
	save := func(l *lab, s spec, tag string) {
		if s = s.with(own); sealed {
			s = s.sealedAs(l, tag)
		}
		s.save(l, tag)
	}
	kargs := []string{"local=1"}
	if sealed {
		kargs = nil
	}
	l := newLabWith(t, "v1", kargs, func(l *lab) { save(l, v1(), "v1") })
	save(l, v2(), "v2")
	l.stage(l.to("v2"))
	must(t, l.shutdown())
	l.boot()
	now := time.Unix(1767322800, 0).UTC()
	_, err := assess.Begin(l.m, assess.Boot{ID: "b1", Now: now, Before: func(time.Time) []deploy.Failure { return nil }})
	must(t, err)
	must(t, l.m.State.Reject(deploy.Rejection{
		Manifest: bootc.Digest("sha256:" + strings.Repeat("0123456789abcdef", 4)),
		Reason:   deploy.Failed, Time: now, Detail: "3 boots came to nothing",
	}))
	l.write("kept", "owner")
	save(l, three, "v3")
	l.stage(l.to("v3"))
	return l
}

// sealedAs gives an image a unified kernel image, which names the deployment that the
// image becomes.
func (s spec) sealedAs(l *lab, tag string) spec {
	l.Helper()
	uki := func(id string) spec {
		return s.with(spec{"boot/EFI/Linux/lab.efi": imagestest.Program(runtime.GOARCH,
			[2]string{".linux", imagestest.Big("kernel "+tag, 5000)}, [2]string{".initrd", imagestest.Big("initrd "+tag, 9000)},
			[2]string{".cmdline", "rw composefs=?" + id + "\x00"})})
	}
	uki(strings.Repeat("0", 128)).save(l, "unsealed")
	scratch, err := os.OpenRoot(l.TempDir())
	must(l, err)
	defer scratch.Close()
	repo, err := images.Init(scratch, images.InitOptions{Insecure: true})
	must(l, err)
	defer repo.Close()
	src, err := registry.Open(l.Context(), l.ref("unsealed"), l.registry())
	must(l, err)
	defer src.Close()
	img, err := repo.Pull(l.Context(), src, nil)
	must(l, err)
	id, err := repo.ID(img)
	must(l, err)
	return uki(string(id))
}

// openDamaged opens the machine as fsck does, whatever is damaged. It runs on.
func (l *lab) openDamaged() {
	l.Helper()
	booted := *l.m.Booted
	etc := l.etc()
	l.shut()
	sysroot := l.root("sysroot")
	repo, err := images.OpenDamaged(l.root("sysroot/composefs"))
	must(l, err)
	l.close = append(l.close, repo.Close)
	l.vol = &volume{Volume: boot.Mounted(l.root("esp"))}
	l.m = &machine.Machine{Sysroot: sysroot, Repo: repo, State: deploy.New(sysroot), Loader: boot.On(l.vol), Run: l.root("run"), Booted: &booted}
	if l.m.Etc, err = dir.Open(etc); err != nil { // it is damaged itself
		l.m.Etc, err = dir.Open(l.TempDir())
		must(l, err)
	}
	l.close = append(l.close, l.m.Etc.Close)
}

func (l *lab) checkMachine() *fsck.Whole {
	l.Helper()
	w, err := fsck.CheckMachine(l.Context(), l.m)
	must(l, err)
	return w
}

// told is all that a check has found, a line each.
func told(w *fsck.Whole) string {
	var all []string
	for _, p := range w.Store.Repo.Problems {
		all = append(all, p.String())
	}
	for _, i := range w.Store.Damaged {
		all = append(all, "damaged: "+i.Name)
	}
	for _, f := range w.Findings {
		all = append(all, f.String())
	}
	return strings.Join(all, "\n")
}

// TestFsckSound finds nothing, and repairs nothing, on a machine that is sound.
func TestFsckSound(t *testing.T) {
	for _, sealed := range []bool{false, true} {
		l := newDamaged(t, sealed)
		before := l.snapshot()
		l.openDamaged()
		if text := told(l.checkMachine()); text != "" {
			t.Errorf("on a sound machine (sealed: %t):\n%s", sealed, text)
		}
		r, err := fsck.RepairMachine(t.Context(), l.m, l.registry(), nil)
		must(t, err)
		if len(r.Done) > 0 {
			t.Errorf("repaired on a sound machine: %q", r.Done)
		}
		l.wantSame(before)
	}
}
