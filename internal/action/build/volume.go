package build

import (
	"cmp"
	"fmt"
	"io"
	"strings"
	"time"
	"unicode/utf16"

	"github.com/bootc-go/bootc/internal/content/images"
	"github.com/bootc-go/bootc/internal/format/blueprint"
	"github.com/bootc-go/bootc/internal/format/ext4"
	"github.com/bootc-go/bootc/internal/format/fat"
	"github.com/bootc-go/bootc/internal/format/swap"
	"github.com/bootc-go/bootc/internal/format/tree"
	"github.com/bootc-go/bootc/internal/machine/custom"
	"github.com/bootc-go/bootc/internal/machine/storage"
)

// A volume is a partition beside the root: a file system that is mounted below /var,
// or swap space.
type volume struct {
	want  blueprint.Partition
	id    [16]byte
	tree  *tree.Tree // what is in it; nil: swap space, or not known yet
	part  storage.Partition
	write func(io.WriterAt) error
}

// volumes are those that are wanted, in their order on the disk.
func (p *Plan) volumes() []*volume {
	var all []*volume
	for _, want := range p.Options.Customize.Partitions {
		all = append(all, &volume{want: want})
	}
	return all
}

// extra is the partition of a volume. It is larger than it was wanted where what goes
// into it needs that.
func (v *volume) extra() storage.Extra {
	e := storage.Extra{Name: v.name(), Mount: v.want.Mount, Size: v.want.Size, Filesystem: v.want.Filesystem}
	if e.Filesystem == "swap" {
		e.Mount = "swap"
	}
	if v.tree != nil && v.tree.Root.Len() > 0 {
		const tables = 32 << 20 // and the journal
		e.Size = max(e.Size, uint64(contentSize(v.tree))*5/4+tables)
	}
	return e
}

// name is what the partition is called: as the file system, or after its place.
func (v *volume) name() string {
	const most = 36 // UTF-16 units
	name := cmp.Or(v.want.Label, strings.ReplaceAll(strings.Trim(v.want.Mount, "/"), "/", "-"), "swap")
	for len(utf16.Encode([]rune(name))) > most {
		runes := []rune(name)
		name = string(runes[:len(runes)-1])
	}
	return name
}

// uuid is the name under which the machine finds it.
func (v *volume) uuid() string {
	if v.want.Filesystem == "vfat" {
		return fmt.Sprintf("%02X%02X-%02X%02X", v.id[3], v.id[2], v.id[1], v.id[0])
	}
	return fmt.Sprintf("%x-%x-%x-%x-%x", v.id[:4], v.id[4:6], v.id[6:8], v.id[8:10], v.id[10:])
}

// identify gives the volumes their identifiers.
func identify(all []*volume, random io.Reader) error {
	for _, v := range all {
		if _, err := io.ReadFull(random, v.id[:]); err != nil {
			return err
		}
		v.id[6], v.id[8] = v.id[6]&0x0f|0x40, v.id[8]&0x3f|0x80 // version 4
	}
	return nil
}

// takeOut takes what is in the volumes out of a system, which mounts them.
func takeOut(all []*volume, s custom.System) error {
	var mounts []custom.Mount
	for _, v := range all {
		mounts = append(mounts, custom.Mount{Partition: v.want, UUID: v.uuid()})
	}
	trees, err := custom.TakeOut(mounts, s)
	for k, t := range trees {
		all[k].tree = t
	}
	return err
}

// layOut computes what is written to the partition.
func (v *volume) layOut(repo *images.Repository, now int64, random io.Reader) error {
	part := v.part
	switch v.want.Filesystem {
	case "swap":
		v.write = func(w io.WriterAt) error { return swap.Write(w, int64(part.Size), v.id, v.want.Label) }
		return swap.Check(int64(part.Size), v.want.Label)
	case "vfat":
		files, err := fatFiles(v.tree, repo)
		if err != nil {
			return err
		}
		image, err := fat.New(files, fat.Options{
			Size: int64(part.Size), Label: v.want.Label, Time: time.Unix(now, 0).UTC(), HiddenSectors: uint32(part.Start / sectorSize),
			ID: uint32(v.id[0]) | uint32(v.id[1])<<8 | uint32(v.id[2])<<16 | uint32(v.id[3])<<24,
		})
		if err != nil {
			return err
		}
		v.write = image.Write
		return nil
	}
	o := ext4.Options{Size: int64(part.Size), Label: v.want.Label, Time: now, UUID: v.id}
	if _, err := io.ReadFull(random, o.HashSeed[:]); err != nil {
		return err
	}
	o.Open = func(n *tree.Node, _ bool) (io.ReadCloser, error) { return repo.OpenFile(n) }
	image, err := ext4.New(v.tree, o)
	if err != nil {
		return err
	}
	v.write = image.Write
	return nil
}

// fatFiles are the files of a tree for a FAT, which keeps neither owners nor
// permissions, and cannot have anything but files and directories.
func fatFiles(t *tree.Tree, repo *images.Repository) (files []fat.File, err error) {
	err = t.Walk(func(path string, n *tree.Node) error {
		name := strings.TrimPrefix(path, "/")
		switch {
		case name == "":
		case n.IsDir():
			files = append(files, fat.File{Name: name + "/"})
		case n.IsRegular():
			files = append(files, fat.File{Name: name, Size: int64(n.Size), Open: func() (io.ReadCloser, error) { return repo.OpenFile(n) }})
		default:
			return fmt.Errorf("%s is neither a file nor a directory, which a FAT cannot hold", path)
		}
		return nil
	})
	return files, err
}

// layOutVolumes computes what is in the volumes, which have their partitions.
func (d *disk) layOutVolumes(repo *images.Repository, random io.Reader) error {
	for _, v := range d.volumes {
		if err := v.layOut(repo, d.time, random); err != nil {
			return fmt.Errorf("%s: %w", v.want.Key, err)
		}
	}
	return nil
}
