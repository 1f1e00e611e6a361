package machine

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/bootc-go/bootc"
	"github.com/bootc-go/bootc/internal/content/images"
	"github.com/bootc-go/bootc/internal/format/cmdline"
	"github.com/bootc-go/bootc/internal/format/tree"
	"github.com/bootc-go/bootc/internal/format/uki"
	"github.com/bootc-go/bootc/internal/machine/boot"
	"github.com/bootc-go/bootc/internal/machine/bootable"
)

// Artefacts are the files of a deployment on the EFI system partition, with
// the deployment that they were written for.
type Artefacts struct {
	boot.Artefacts
	ID bootc.ID
}

// WriteArtefacts writes kernel and initrd, or the unified kernel image, of an
// image. Nothing names them yet.
func (m *Machine) WriteArtefacts(ctx context.Context, id bootc.ID, s *bootable.System) (Artefacts, error) {
	a := Artefacts{ID: id}
	var err error
	if s.UKI != nil {
		a.Artefacts, err = m.Loader.WriteUKI(ctx, id, m.file(s.UKI))
	} else {
		a.Artefacts, err = m.Loader.WriteKernel(ctx, id, m.file(s.Kernel), m.file(s.Initrd))
	}
	return a, err
}

// CheckKernel says why the firmware of an architecture, as Go names it, would not start
// the kernel of an image. A boot loader that is to start such a kernel goes back to the
// firmware, and what happens then is the firmware's to decide.
func (m *Machine) CheckKernel(s *bootable.System, arch string) error {
	n, name := s.Kernel, "/usr/lib/modules/"+s.Version+"/vmlinuz"
	if s.UKI != nil {
		n, name = s.UKI, "/boot/EFI/Linux/"+s.Version+".efi"
	}
	f, err := m.Repo.OpenFile(n)
	if err != nil {
		return err
	}
	defer f.Close()
	if at, ok := f.(io.ReaderAt); ok {
		err = uki.CheckProgram(at, int64(n.Size), arch)
	} else {
		err = fmt.Errorf("it has %d bytes", n.Size)
	}
	if err != nil {
		return fmt.Errorf("the kernel of the image, %s, is not a program that the firmware starts: %w", name, err)
	}
	return nil
}

func (m *Machine) file(n *tree.Node) boot.File {
	return boot.File{Open: func() (io.ReadCloser, error) { return m.Repo.OpenFile(n) }, Size: int64(n.Size)}
}

// StageEntries stages the boot entries of a new deployment, with the booted
// one as the second. The new one is on trial if it can judge its boots.
func (m *Machine) StageEntries(a Artefacts, s *bootable.System, options string) error {
	if s.UKI != nil && boot.KnowsUKI(m.Booted.Loader) {
		a.UKIKey = "uki"
	}
	e := boot.NewEntry(a.ID, s.Release, a.Artefacts, options)
	if s.Judges {
		e = boot.OnTrial(e)
	}
	return m.Loader.StageEntries(e, m.Booted.ID)
}

// WriteFirstEntry writes the boot entry of a machine that is being installed.
func (m *Machine) WriteFirstEntry(a Artefacts, s *bootable.System, options string) error {
	return m.Loader.WriteFirst(boot.NewEntry(a.ID, s.Release, a.Artefacts, options))
}

// InstallLoader copies systemd-boot from an image.
func (m *Machine) InstallLoader(ctx context.Context, img *images.Image) error {
	source, targets, err := boot.Binaries(img.Config.Architecture)
	if err != nil {
		return err
	}
	image := img.Tree
	n := image.Lookup(source + ".signed")
	if n == nil {
		n = image.Lookup(source)
	}
	if n == nil || !n.IsRegular() {
		return fmt.Errorf("the image has no boot loader: no file %s", source)
	}
	return m.Loader.Install(ctx, m.file(n), targets)
}

// UKICmdline reads the command line of a unified kernel image. Where the kernel
// does not verify it, WriteArtefacts does, before an entry names it.
func (m *Machine) UKICmdline(s *bootable.System) (string, error) {
	f, err := m.Repo.OpenFile(s.UKI)
	if err != nil {
		return "", err
	}
	defer f.Close()
	at, ok := f.(io.ReaderAt)
	if !ok {
		return "", errors.New("the unified kernel image is too small to be one")
	}
	u, err := uki.Open(at)
	if err != nil {
		return "", err
	}
	return u.Cmdline()
}

// UKI reads which deployment a unified kernel image boots.
func (m *Machine) UKI(s *bootable.System) (cmdline.Image, error) {
	line, err := m.UKICmdline(s)
	if err != nil {
		return cmdline.Image{}, err
	}
	named, err := cmdline.Composefs(line)
	if err != nil {
		return cmdline.Image{}, fmt.Errorf("command line of the unified kernel image: %w", err)
	}
	return named, nil
}

// ComposeUKI composes an image with a unified kernel image, in the way that
// gives the deployment which that one names. It refuses one that names another
// deployment, and one that does not insist on fs-verity unless insecure allows
// it.
func (m *Machine) ComposeUKI(ctx context.Context, img *images.Image, s *bootable.System, insecure bool) (bootc.ID, error) {
	named, err := m.UKI(s)
	if err != nil {
		return "", err
	}
	id, err := m.Repo.ComposeAs(ctx, img, named.ID)
	switch {
	case err != nil:
		return "", fmt.Errorf("composing the image: %w", err)
	case named.ID != id:
		return id, fmt.Errorf("the UKI has the wrong composefs= parameter (is '%s', should be '%s')", named.ID, id)
	case named.Insecure && !insecure:
		return id, errors.New("the command line of the UKI does not insist on fs-verity (composefs=?…), which this machine does")
	}
	return id, nil
}
