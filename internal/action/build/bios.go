package build

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"

	"github.com/bootc-go/bootc/internal/format/iso9660"
	"github.com/bootc-go/bootc/internal/format/tree"
	"github.com/bootc-go/bootc/internal/linux/tool"
)

// A biosLoader is what the BIOS boots of an ISO: GRUB, which reads kernel and initrd
// from the EFI system partition.
type biosLoader struct {
	core []byte // of El Torito
	code []byte // of the MBR, for sticks; nil: none
}

const (
	biosFile = "BIOS.IMG"
	// Where it stands: between the tables and the first partition.
	biosAt  = 64 << 10
	biosMax = 1<<20 - biosAt
	// biosLoad is what the BIOS reads of it, in bytes; the rest it reads itself.
	biosLoad = 2048

	grubDir    = "/usr/lib/grub/i386-pc"
	grubFormat = "i386-pc-eltorito"
	hybridCode = "boot_hybrid.img"
)

// grubModules are what the configuration needs, and what finds the medium.
func grubModules() []string {
	return []string{"biosdisk", "boot", "fat", "iso9660", "linux", "loopback", "part_gpt", "search"}
}

// makeBIOS makes the loader with the modules of GRUB that the image has. Where there
// can be none, why says so.
func makeBIOS(ctx context.Context, s *source, m *medium) (l *biosLoader, why string, err error) {
	dir := s.boots.Lookup(grubDir)
	switch _, missing := tool.Find(tool.GrubMkimage); {
	case m.kernel == nil:
		return nil, "GRUB cannot start the unified kernel image there", nil
	case dir == nil || !dir.IsDir():
		return nil, "the image has no GRUB for it, " + grubDir, nil
	case errors.Is(missing, tool.ErrMissing):
		return nil, missing.Error(), nil
	}
	if err := checkScripted(m.options); err != nil {
		return nil, err.Error(), nil
	}
	work, remove, err := scratch()
	if err != nil {
		return nil, "", err
	}
	defer func() { err = errors.Join(err, remove()) }()
	if err := copyModules(s, dir, work); err != nil {
		return nil, "", err
	}
	if err := work.WriteFile("grub.cfg", []byte(biosConfig(s, m)), 0o600); err != nil {
		return nil, "", err
	}
	args := []string{
		"--directory", work.Name(), "--format", grubFormat, "--prefix", "/", "--config", filepath.Join(work.Name(), "grub.cfg"),
		"--output", filepath.Join(work.Name(), "core"),
	}
	if err := tool.Run(ctx, tool.GrubMkimage, append(args, grubModules()...)...); err != nil {
		return nil, "", fmt.Errorf("making the loader for the BIOS: %w", err)
	}
	l = &biosLoader{}
	if l.core, err = work.ReadFile("core"); err != nil {
		return nil, "", err
	}
	if len(l.core) > biosMax {
		return nil, "", fmt.Errorf("the loader for the BIOS has %d bytes, at most %d are possible", len(l.core), biosMax)
	}
	if code, err := work.ReadFile(hybridCode); err == nil {
		l.code = code[:min(len(code), 440)]
	}
	return l, "", l.tell()
}

// copyModules copies what the image has of GRUB.
func copyModules(s *source, dir *tree.Node, to *os.Root) error {
	for name, n := range dir.Entries() {
		if !n.IsRegular() {
			continue
		}
		data, err := s.m.Repo.ReadFile(n)
		if err != nil {
			return fmt.Errorf("reading %s of the image: %w", path.Join(grubDir, name), err)
		}
		if err := to.WriteFile(name, data, 0o600); err != nil {
			return err
		}
	}
	return nil
}

// biosConfig is read by the simplest parser of GRUB. The medium is found by the UUID
// that GRUB makes of its time, as a disc and as a stick.
func biosConfig(s *source, m *medium) string {
	uuid := time.Unix(s.time, 0).UTC().Format("2006-01-02-15-04-05-") + "00"
	return fmt.Sprintf("search --no-floppy --set=iso --fs-uuid %s\nloopback esp ($iso)/efi.img\nset root=esp\nlinux %s %s\ninitrd %s\nboot\n",
		uuid, m.entry.Get("linux"), m.options, strings.Join(m.entry.All("initrd"), " "))
}

// tell tells the loader where it stands: the BIOS reads only its begin.
func (l *biosLoader) tell() error {
	const listAt, sectorAt = 2548, 432
	if len(l.core) < listAt+8 {
		return fmt.Errorf("the loader for the BIOS has %d bytes, too few for one", len(l.core))
	}
	// The first sector behind the part for discs has the list of those that follow.
	binary.LittleEndian.PutUint64(l.core[listAt:], biosAt/sectorSize+5)
	if len(l.code) >= sectorAt+8 {
		binary.LittleEndian.PutUint64(l.code[sectorAt:], biosAt/sectorSize+4)
	}
	iso9660.TellPlace(l.core, biosAt)
	return nil
}
