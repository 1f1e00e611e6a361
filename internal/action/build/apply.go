package build

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/bootc-go/bootc"
	"github.com/bootc-go/bootc/internal/content/images"
	"github.com/bootc-go/bootc/internal/format/ext4"
	"github.com/bootc-go/bootc/internal/format/fat"
	"github.com/bootc-go/bootc/internal/format/gpt"
	"github.com/bootc-go/bootc/internal/format/tree"
	"github.com/bootc-go/bootc/internal/machine"
	"github.com/bootc-go/bootc/internal/machine/boot"
	"github.com/bootc-go/bootc/internal/machine/storage"
)

// Apply builds. It returns the deployment and the files.
func (p *Plan) Apply(ctx context.Context, progress bootc.Progress) (id bootc.ID, files []string, err error) {
	repo, closeStore, err := openStore(p.Options.Store)
	if err != nil {
		return "", nil, fmt.Errorf("opening the store %s: %w", p.Options.Store, err)
	}
	defer func() { err = errors.Join(err, closeStore()) }()
	sysroot, remove, err := scratch()
	if err != nil {
		return "", nil, err
	}
	defer func() { err = errors.Join(err, remove()) }()
	esp := &boot.Described{}
	m, err := machine.Describe(sysroot, repo, esp)
	if err != nil {
		return "", nil, err
	}
	if id, err = p.install.Fill(ctx, m, progress); err != nil {
		return "", nil, err
	}
	src, err := p.source(m, esp, id)
	if err != nil {
		return "", nil, err
	}
	disks, err := p.layOutAll(ctx, src, progress)
	if err != nil {
		return "", nil, err
	}
	out, err := p.write(ctx, disks, progress)
	if err == nil {
		err = out.finish()
	}
	if err != nil {
		out.abandon()
		return "", nil, err
	}
	for _, o := range out {
		if !o.inside {
			files = append(files, o.path)
		}
	}
	p.tidy(ctx, repo, progress)
	return id, files, nil
}

// layOutAll computes what is to be written, a disk and a medium, before any of it is,
// and tells what may surprise.
func (p *Plan) layOutAll(ctx context.Context, s *source, progress bootc.Progress) (disks []*disk, err error) {
	if p.makesDisks() {
		if err := p.takeDivision(s, progress); err != nil {
			return nil, err
		}
		d, err := p.layOut(s)
		if err != nil {
			return nil, err
		}
		if err := p.tellGrowth(s.boots, s.arch, s.m.Repo.ReadFile, progress); err != nil {
			return nil, err
		}
		disks = append(disks, d)
	}
	if p.makesMedia() {
		d, err := p.layOutMedium(ctx, s)
		if err != nil {
			return nil, err
		}
		p.tellMedium(d, progress)
		disks = append(disks, d)
	}
	return disks, nil
}

// write writes the disks, each in all its formats at once. The files have no names of
// their own yet.
func (p *Plan) write(ctx context.Context, disks []*disk, progress bootc.Progress) (all outputs, err error) {
	for _, d := range disks {
		out, err := p.open(d)
		if err != nil {
			return all, err
		}
		all = append(all, out...)
		m := &meter{ctx: ctx, w: out, progress: progress, size: d.size, what: "disk"}
		if d.medium != nil {
			m.what = "medium"
		}
		if err := d.write(m); err != nil {
			return all, err
		}
		if err := out.complete(); err != nil {
			return all, err
		}
	}
	return all, nil
}

// A source is the machine that is put onto disks and media.
type source struct {
	m     *machine.Machine
	esp   *boot.Described
	id    bootc.ID
	boots *tree.Tree // the tree that boots
	arch  string
	time  int64 // of what the image does not date
}

func (p *Plan) source(m *machine.Machine, esp *boot.Described, id bootc.ID) (*source, error) {
	boots, err := m.Repo.ReadImage(id)
	if err != nil {
		return nil, err
	}
	img, err := m.Repo.Head(p.Manifest)
	if err != nil {
		return nil, err
	}
	return &source{m: m, esp: esp, id: id, boots: boots, arch: img.Config.Architecture, time: p.time(img)}, nil
}

// tree makes the tree of the physical root, without what is in the volumes, which get
// their own. It is a new one with each call.
func (p *Plan) tree(s *source, volumes []*volume) (*tree.Tree, error) {
	t, err := root(s.m, p.Manifest, s.id, s.boots, tree.Time{Sec: s.time})
	if err != nil {
		return nil, err
	}
	return t, p.customize(t, s, volumes)
}

// A disk is all that will be written, laid out.
type disk struct {
	size    int64
	id      [16]byte
	time    int64
	arch    string
	table   *gpt.Table
	esp     *fat.Image
	root    *ext4.Image
	parts   map[string]storage.Partition // those that a machine needs, by file system
	volumes []*volume                    // the others, between the ESP and the root
	medium  *medium                      // nil: a disk that is written when it boots
}

// layOut computes the disk, and refuses what does not fit.
func (p *Plan) layOut(s *source) (*disk, error) {
	d := &disk{time: s.time, arch: s.arch}
	random := p.random("disk image")
	if _, err := io.ReadFull(random, d.id[:]); err != nil {
		return nil, err
	}
	d.volumes = p.volumes()
	if err := identify(d.volumes, random); err != nil {
		return nil, err
	}
	t, err := p.tree(s, d.volumes)
	if err != nil {
		return nil, err
	}
	files := espFiles(s.esp)
	size, parts, err := p.divide(needs{root: contentSize(t), arch: d.arch, volumes: d.volumes, esp: files})
	if err != nil {
		return nil, err
	}
	if err := d.divide(size, parts, random); err != nil {
		return nil, err
	}
	if err := d.layOutVolumes(s.m.Repo, random); err != nil {
		return nil, err
	}
	espOptions, err := optionsOfESP(s, random)
	if err != nil {
		return nil, err
	}
	rootOptions, err := optionsOfRoot(s, random)
	if err != nil {
		return nil, err
	}
	return d, d.makeFileSystems(t, rootOptions, files, espOptions)
}

const sectorSize = 512

// divide gives the disk its partitions.
func (d *disk) divide(size uint64, parts []storage.Partition, random io.Reader) (err error) {
	d.size = int64(size)
	plan := &storage.Plan{Size: size, SectorSize: sectorSize, Partitions: parts}
	if d.table, err = plan.Table(random); err != nil {
		return err
	}
	d.parts = map[string]storage.Partition{}
	volumes := d.volumes // in the order of their partitions
	for _, part := range parts {
		if part.Mount == "" {
			d.parts[part.Filesystem] = part
			continue
		}
		volumes[0].part = part
		volumes = volumes[1:]
	}
	return nil
}

// makeFileSystems lays out the file systems of the partitions that a machine needs.
func (d *disk) makeFileSystems(t *tree.Tree, root ext4.Options, files []fat.File, esp fat.Options) (err error) {
	part := d.parts["vfat"]
	esp.Size, esp.Label, esp.HiddenSectors = int64(part.Size), part.Name, uint32(part.Start/sectorSize)
	if d.esp, err = fat.New(files, esp); err != nil {
		return fmt.Errorf("EFI system partition: %w", err)
	}
	part = d.parts["ext4"]
	root.Size, root.Label = int64(part.Size), part.Name
	if d.root, err = ext4.New(t, root); err != nil {
		return fmt.Errorf("root file system of %d MiB, for about %d MiB of files: %w", part.Size>>20, contentSize(t)>>20, err)
	}
	return nil
}

func espFiles(esp *boot.Described) (files []fat.File) {
	esp.Walk(func(name string, f *boot.File) {
		if f == nil {
			files = append(files, fat.File{Name: name + "/"})
			return
		}
		files = append(files, fat.File{Name: name, Size: f.Size, Open: f.Open})
	})
	return files
}

// optionsOfESP are those that do not depend on the partition.
func optionsOfESP(s *source, random io.Reader) (fat.Options, error) {
	var serial [4]byte
	_, err := io.ReadFull(random, serial[:])
	return fat.Options{
		Time: time.Unix(s.time, 0).UTC(),
		ID:   uint32(serial[0]) | uint32(serial[1])<<8 | uint32(serial[2])<<16 | uint32(serial[3])<<24,
	}, err
}

// optionsOfRoot are those that do not depend on the partition.
func optionsOfRoot(s *source, random io.Reader) (ext4.Options, error) {
	o := ext4.Options{Time: s.time}
	for _, id := range [][]byte{o.UUID[:], o.HashSeed[:]} {
		if _, err := io.ReadFull(random, id); err != nil {
			return o, err
		}
	}
	o.UUID = gpt.NewGUID(o.UUID)
	o.Seal = func(path string) bool {
		return strings.HasPrefix(path, "/composefs/objects/") || path == "/composefs/meta.json"
	}
	repo := s.m.Repo
	o.Open = func(n *tree.Node, sealed bool) (io.ReadCloser, error) {
		if sealed { // and so compared with its digest there
			return repo.OpenObject(n.Object)
		}
		return repo.OpenFile(n)
	}
	return o, nil
}

// write writes the disk, front to back.
func (d *disk) write(w io.WriterAt) error {
	if err := d.table.WriteStart(w); err != nil {
		return err
	}
	if d.medium != nil {
		if err := d.medium.writeBeside(w); err != nil {
			return err
		}
	}
	if err := d.esp.Write(io.NewOffsetWriter(w, int64(d.parts["vfat"].Start))); err != nil {
		return fmt.Errorf("EFI system partition: %w", err)
	}
	for _, v := range d.volumes {
		if err := v.write(io.NewOffsetWriter(w, int64(v.part.Start))); err != nil {
			return fmt.Errorf("%s: %w", v.want.Key, err)
		}
	}
	if err := d.root.Write(io.NewOffsetWriter(w, int64(d.parts["ext4"].Start))); err != nil {
		return fmt.Errorf("root file system: %w", err)
	}
	return d.table.WriteEnd(w)
}

// time is what dates what the image does not date.
func (p *Plan) time(img *images.Image) int64 {
	switch {
	case p.Options.Time != nil:
		return *p.Options.Time
	case img.Config.Created != nil:
		return img.Config.Created.Unix()
	}
	return 0
}

// random is where the identifiers of something come from: always the same for the
// same image and seed.
func (p *Plan) random(what string) io.Reader {
	return rand.NewChaCha8(sha256.Sum256([]byte("bootc " + what + "\x00" + string(p.Manifest) + "\x00" + p.Options.Seed)))
}

// contentSize is how many bytes the files of a tree have, roughly.
func contentSize(t *tree.Tree) (size int64) {
	_ = t.Walk(func(_ string, n *tree.Node) error {
		const block = ext4.BlockSize
		size += int64(n.Size+block-1)/block*block + block
		return nil
	})
	return size
}

// A meter tells how far the writing of a disk is, and ends it with its context.
type meter struct {
	ctx      context.Context
	w        io.WriterAt
	progress bootc.Progress
	size     int64
	what     string // is written
	told     int64
}

func (m *meter) WriteAt(b []byte, at int64) (int, error) {
	if err := m.ctx.Err(); err != nil {
		return 0, context.Cause(m.ctx)
	}
	end := at + int64(len(b))
	if done := end == m.size; done || at-m.told >= m.size/200 {
		m.told = at
		m.progress.Send(bootc.Bytes{
			Task: "building", ID: m.what, Description: "Writing the " + m.what, Bytes: uint64(end), Total: uint64(m.size), Done: done,
		})
	}
	return m.w.WriteAt(b, at)
}
