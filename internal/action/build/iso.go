package build

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/bootc-go/bootc"
	"github.com/bootc-go/bootc/internal/format/bls"
	"github.com/bootc-go/bootc/internal/format/cmdline"
	"github.com/bootc-go/bootc/internal/format/cpio"
	"github.com/bootc-go/bootc/internal/format/ext4"
	"github.com/bootc-go/bootc/internal/format/fat"
	"github.com/bootc-go/bootc/internal/format/iso9660"
	"github.com/bootc-go/bootc/internal/format/tree"
	"github.com/bootc-go/bootc/internal/machine/boot"
	"github.com/bootc-go/bootc/internal/machine/storage"
)

// A medium is what a disk has that is booted and never written: an ISO, or what a
// machine gets over the network. See docs/formats/iso9660.md and docs/formats/pxe.md.
type medium struct {
	tables *iso9660.Volume
	// kernel and initrds boot it with the command line options; not set if a unified
	// kernel image does, which has its own. The first initrd is the image's, a second
	// one has the credentials.
	kernel  *boot.File
	initrds []*boot.File
	entry   bls.Entry // with their paths
	options string
	bios    *biosLoader // nil: the BIOS does not boot it, and noBIOS says why
	noBIOS  string
	archive *cpio.Archive // of the root; nil if no type needs one
}

// The files of an ISO.
const (
	espFile  = "EFI.IMG"
	rootFile = "ROOT.IMG"
)

// espSpare is left free on the EFI system partition, in bytes: its label needs a place.
const espSpare = 64 << 10

// layOutMedium computes a medium, as large as its contents, and refuses what cannot be
// on one.
func (p *Plan) layOutMedium(ctx context.Context, s *source) (*disk, error) {
	d := &disk{time: s.time, arch: s.arch, medium: &medium{}}
	random := p.random("medium")
	if _, err := io.ReadFull(random, d.id[:]); err != nil {
		return nil, err
	}
	t, err := p.tree(s, nil)
	if err != nil {
		return nil, err
	}
	marker, err := p.Medium().Bytes()
	if err != nil {
		return nil, err
	}
	mark(t, marker, s.time)
	rootOptions, err := optionsOfRoot(s, random)
	if err != nil {
		return nil, err
	}
	rootSize, err := ext4.Size(t, rootOptions)
	if err != nil {
		return nil, fmt.Errorf("root file system: %w", err)
	}
	espOptions, err := optionsOfESP(s, random)
	if err != nil {
		return nil, err
	}
	files, err := d.medium.espFiles(s, rootOptions.UUID)
	if err != nil {
		return nil, err
	}
	espSize, err := fat.Size(files, espOptions, espSpare)
	if err != nil {
		return nil, fmt.Errorf("EFI system partition: %w", err)
	}
	size, parts, err := storage.LayoutMedium(uint64(espSize), uint64(rootSize), s.arch)
	if err != nil {
		return nil, err
	}
	if err := d.divide(size, parts, random); err != nil {
		return nil, err
	}
	if err := d.makeFileSystems(t, rootOptions, files, espOptions); err != nil {
		return nil, err
	}
	if err := p.layOutPXE(d); err != nil {
		return nil, err
	}
	return d, p.layOutISO(ctx, s, d)
}

// layOutISO lays out what an ISO has beside its partitions.
func (p *Plan) layOutISO(ctx context.Context, s *source, d *disk) (err error) {
	m := d.medium
	if p.makes("iso") && d.arch == "amd64" {
		if m.bios, m.noBIOS, err = makeBIOS(ctx, s, m); err != nil {
			return err
		}
	}
	if m.bios != nil {
		d.table.BootCode = m.bios.code
	}
	m.tables, err = p.tables(d)
	return err
}

// mark makes the marker.
func mark(t *tree.Tree, data []byte, now int64) {
	t.Lookup(path.Dir(bootc.MediumMarker)).SetChild(path.Base(bootc.MediumMarker), &tree.Node{
		Mode: tree.TypeRegular | 0o644, Mtime: tree.Time{Sec: now}, Content: data, Size: uint64(len(data)),
	})
}

// espFiles are the files on the EFI system partition of a medium: those of a disk, but
// the entry names the root by its UUID. An optical drive has no partitions that could
// be found by their type.
func (m *medium) espFiles(s *source, uuid [16]byte) ([]fat.File, error) {
	entries, err := s.m.Loader.Entries()
	if err != nil {
		return nil, err
	}
	if len(entries) != 1 {
		return nil, fmt.Errorf("internal error: %d boot entries", len(entries))
	}
	e := entries[0]
	if e.Get("efi") != "" {
		return espFiles(s.esp), nil
	}
	m.options = mediumOptions(e.Get("options"), uuid)
	e.Set("options", m.options)
	m.entry = e.Entry
	var text *fat.File
	files, found := espFiles(s.esp), map[string]*boot.File{}
	for k, f := range files {
		found["/"+f.Name] = &boot.File{Open: f.Open, Size: f.Size}
		if path.Base(f.Name) == e.Name.String() {
			text = &files[k]
		}
	}
	m.kernel = found[e.Get("linux")]
	for _, name := range e.All("initrd") {
		m.initrds = append(m.initrds, found[name])
	}
	if m.kernel == nil || len(m.initrds) == 0 || slices.Contains(m.initrds, nil) || text == nil {
		return nil, errors.New("internal error: no kernel, initrd or text of the boot entry")
	}
	data := e.Bytes()
	text.Size = int64(len(data))
	text.Open = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(data)), nil }
	return files, nil
}

// mediumOptions is the command line of a medium: that of a disk, but the root is what
// has the UUID, and nothing checks or writes it.
func mediumOptions(line string, uuid [16]byte) string {
	for _, key := range []string{"root", "rw", "ro", "fsck.mode"} {
		line = cmdline.RemoveKey(line, cmdline.Param{Key: key})
	}
	root := fmt.Sprintf("root=UUID=%x-%x-%x-%x-%x ro fsck.mode=skip", uuid[:4], uuid[4:6], uuid[6:8], uuid[8:10], uuid[10:])
	return cmdline.Extend(root, line)
}

// tables lays out the ISO 9660 file system, in which the partitions are files.
func (p *Plan) tables(d *disk) (*iso9660.Volume, error) {
	esp, root := d.parts["vfat"], d.parts["ext4"]
	files := []iso9660.File{
		{Name: espFile, At: int64(esp.Start), Size: int64(esp.Size)},
		{Name: rootFile, At: int64(root.Start), Size: int64(root.Size)},
	}
	boots := []iso9660.Boot{{Platform: iso9660.EFI, File: espFile}}
	if l := d.medium.bios; l != nil {
		files = append(files, iso9660.File{Name: biosFile, At: biosAt, Size: int64(len(l.core))})
		// The BIOS expects to find itself first.
		boots = append([]iso9660.Boot{{Platform: iso9660.BIOS, File: biosFile, Load: biosLoad}}, boots...)
	}
	return iso9660.New(files, iso9660.Options{
		Label: volumeLabel(p.Options.Name), Size: d.size, Time: time.Unix(d.time, 0), Boot: boots,
	})
}

// writeBeside writes what an ISO has before its partitions.
func (m *medium) writeBeside(w io.WriterAt) error {
	if err := m.tables.Write(w); err != nil {
		return err
	}
	if m.bios == nil {
		return nil
	}
	_, err := w.WriteAt(m.bios.core, biosAt)
	return err
}

// volumeLabel makes a label of a name.
func volumeLabel(name string) string {
	label := strings.Map(func(r rune) rune {
		switch {
		case r >= 'A' && r <= 'Z', r >= '0' && r <= '9':
			return r
		case r >= 'a' && r <= 'z':
			return r - 'a' + 'A'
		}
		return '_'
	}, name)
	return label[:min(len(label), 32)]
}

// tellMedium tells what the owner may not expect of a medium.
func (p *Plan) tellMedium(d *disk, progress bootc.Progress) {
	if !p.makes("iso") {
		return
	}
	if d.medium.kernel == nil {
		progress.Send(bootc.Notice{Text: "notice: the command line of the unified kernel image is fixed, so the ISO boots where that finds its root: from a stick, not from an optical drive"})
	}
	if why := d.medium.noBIOS; why != "" {
		progress.Send(bootc.Notice{Text: fmt.Sprintf("notice: the ISO boots by UEFI only, not by BIOS (%s)", why)})
	}
}

// makes reports whether a type was asked for.
func (p *Plan) makes(name string) bool {
	for _, f := range p.formats {
		if f.name == name {
			return true
		}
	}
	return false
}

// makesMedia and makesDisks report whether some type is one of a medium, or a disk.
func (p *Plan) makesMedia() bool { return p.makesKind(true) }
func (p *Plan) makesDisks() bool { return p.makesKind(false) }

func (p *Plan) makesKind(medium bool) bool {
	for _, f := range p.formats {
		if f.medium == medium {
			return true
		}
	}
	return false
}

// checkMedia refuses sizes and partitions where only media are made, and directories
// that cannot be replaced.
func (p *Plan) checkMedia() error {
	for _, f := range p.formats {
		if f.folder == nil {
			continue
		}
		if err := f.folder.check(p.file(f.ending)); err != nil {
			return err
		}
	}
	if p.makesDisks() {
		return nil
	}
	o := &p.Options
	for _, s := range []struct {
		key string
		set bool
	}{
		{"--size", o.Size > 0},
		{"--root-size", o.Install.Storage.RootSize > 0},
		{o.Customize.DiskSize.Key, o.Customize.DiskSize.Bytes > 0},
		{o.Customize.RootSize.Key, o.Customize.RootSize.Bytes > 0},
	} {
		if s.set {
			return fmt.Errorf("%s: is for disks; the types iso and pxe are as large as what is in them", s.key)
		}
	}
	if more := o.Customize.Partitions; len(more) > 0 {
		return fmt.Errorf("%s: is for disks; the types iso and pxe have no partition beside the root", more[0].Key)
	}
	return nil
}
