package build

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
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
	boots, err := m.Repo.ReadImage(id)
	if err != nil {
		return "", nil, err
	}
	d, err := p.layOut(m, esp, id, boots)
	if err != nil {
		return "", nil, err
	}
	if err := p.tellGrowth(boots, d.arch, repo.ReadFile, progress); err != nil {
		return "", nil, err
	}
	out, err := p.open(d)
	if err != nil {
		return "", nil, err
	}
	if err := d.write(&meter{ctx: ctx, w: out, progress: progress, size: d.size}); err != nil {
		out.abandon()
		return "", nil, err
	}
	if err := out.finish(); err != nil {
		out.abandon()
		return "", nil, err
	}
	for _, o := range out {
		files = append(files, o.path)
	}
	return id, files, nil
}

// openStore opens the repository in which images are kept between builds. It is
// made if it is not there.
func openStore(dir string) (*images.Repository, func() error, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, nil, err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, nil, err
	}
	repo, err := images.Init(root, images.InitOptions{Unverified: true})
	if err != nil {
		return nil, nil, errors.Join(err, root.Close())
	}
	return repo, func() error { return errors.Join(repo.Close(), root.Close()) }, nil
}

// A disk is all that will be written, laid out.
type disk struct {
	size  int64
	id    [16]byte
	time  int64
	arch  string
	table *gpt.Table
	esp   *fat.Image
	root  *ext4.Image
	parts map[string]storage.Partition // by name
}

// layOut computes the disk, and refuses what does not fit. boots is the tree that
// boots.
func (p *Plan) layOut(m *machine.Machine, esp *boot.Described, id bootc.ID, boots *tree.Tree) (*disk, error) {
	img, err := m.Repo.Head(p.Manifest)
	if err != nil {
		return nil, err
	}
	d := &disk{time: p.time(img), arch: img.Config.Architecture}
	random := p.random()
	if _, err := io.ReadFull(random, d.id[:]); err != nil {
		return nil, err
	}
	t, err := root(m, p.Manifest, id, boots, tree.Time{Sec: d.time})
	if err != nil {
		return nil, err
	}
	if err := p.customize(t, boots, m, id, d.time); err != nil {
		return nil, err
	}
	size, parts, err := p.divide(contentSize(t), d.arch)
	if err != nil {
		return nil, err
	}
	d.size = int64(size)
	plan := &storage.Plan{Size: size, SectorSize: sectorSize, Partitions: parts}
	if d.table, err = plan.Table(random); err != nil {
		return nil, err
	}
	d.parts = map[string]storage.Partition{}
	for _, part := range parts {
		d.parts[part.Filesystem] = part
	}
	if d.esp, err = layOutESP(esp, d.parts["vfat"], d.time, random); err != nil {
		return nil, fmt.Errorf("EFI system partition: %w", err)
	}
	if d.root, err = layOutRoot(t, m.Repo, d.parts["ext4"], d.time, random); err != nil {
		return nil, fmt.Errorf("root file system: %w", err)
	}
	return d, nil
}

const sectorSize = 512

func layOutESP(esp *boot.Described, part storage.Partition, t int64, random io.Reader) (*fat.Image, error) {
	var files []fat.File
	esp.Walk(func(name string, f *boot.File) {
		if f == nil {
			files = append(files, fat.File{Name: name + "/"})
			return
		}
		files = append(files, fat.File{Name: name, Size: f.Size, Open: f.Open})
	})
	var serial [4]byte
	if _, err := io.ReadFull(random, serial[:]); err != nil {
		return nil, err
	}
	return fat.New(files, fat.Options{
		Size: int64(part.Size), Label: part.Name, Time: time.Unix(t, 0).UTC(), HiddenSectors: uint32(part.Start / sectorSize),
		ID: uint32(serial[0]) | uint32(serial[1])<<8 | uint32(serial[2])<<16 | uint32(serial[3])<<24,
	})
}

func layOutRoot(t *tree.Tree, repo *images.Repository, part storage.Partition, now int64, random io.Reader) (*ext4.Image, error) {
	o := ext4.Options{Size: int64(part.Size), Label: part.Name, Time: now}
	for _, id := range [][]byte{o.UUID[:], o.HashSeed[:]} {
		if _, err := io.ReadFull(random, id); err != nil {
			return nil, err
		}
	}
	o.UUID = gpt.NewGUID(o.UUID)
	o.Seal = func(path string) bool {
		return strings.HasPrefix(path, "/composefs/objects/") || path == "/composefs/meta.json"
	}
	o.Open = func(n *tree.Node, sealed bool) (io.ReadCloser, error) {
		if sealed { // and so compared with its digest there
			return repo.OpenObject(n.Object)
		}
		return repo.OpenFile(n)
	}
	return ext4.New(t, o)
}

// write writes the disk, front to back.
func (d *disk) write(w io.WriterAt) error {
	if err := d.table.WriteStart(w); err != nil {
		return err
	}
	if err := d.esp.Write(io.NewOffsetWriter(w, int64(d.parts["vfat"].Start))); err != nil {
		return fmt.Errorf("EFI system partition: %w", err)
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

// random is where identifiers come from: always the same for the same image and
// seed.
func (p *Plan) random() io.Reader {
	return rand.NewChaCha8(sha256.Sum256([]byte("bootc disk image\x00" + string(p.Manifest) + "\x00" + p.Options.Seed)))
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
			Task: "building", ID: "building", Description: "Writing the disk", Bytes: uint64(end), Total: uint64(m.size), Done: done,
		})
	}
	return m.w.WriteAt(b, at)
}
