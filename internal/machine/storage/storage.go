// Package storage divides a disk for an installation and makes the file
// systems: a GUID partition table with a BIOS boot partition (amd64), an EFI
// system partition and a root of the Discoverable Partitions Specification.
//
// [Layout] computes; [New] looks at a disk and plans; [Plan.Make] erases it.
// What goes into the file systems is the concern of others.
//
// Invariants:
//   - New only reads; nothing is written before Make;
//   - a disk that is in use is refused, wiped or not; one that has partitions,
//     file systems or other known data is refused unless Options.Wipe is set.
//     Make checks both again, with the disk locked;
//   - after a failed Make the disk may be half made; it can be made again.
//
// Source: UAPI Group, Discoverable Partitions Specification.
package storage

import (
	"crypto/rand"
	"fmt"
	"io"
	"strings"

	"github.com/bootc-go/bootc/internal/format/gpt"
)

// A Plan says how a disk will be divided. It prints itself.
type Plan struct {
	Device     string // as it was named
	Size       uint64 // of the disk, in bytes
	SectorSize int
	Partitions []Partition
	Found      []string // what is on the disk now, and will be lost

	wipe bool
}

// New looks at a disk and plans its layout. It refuses what is not a whole
// disk, is in use, has data on it (unless it may be wiped) or is too small.
func New(device string, o Options) (*Plan, error) {
	d, err := look(device)
	if err != nil {
		return nil, err
	}
	if !o.Wipe {
		if err := d.refuseData(device); err != nil {
			return nil, err
		}
	}
	parts, err := Layout(d.size, o)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", device, err)
	}
	return &Plan{
		Device: device, Size: d.size, SectorSize: d.dev.SectorSize(),
		Partitions: parts, Found: d.found, wipe: o.Wipe,
	}, nil
}

// Root is the partition for the root file system, which is the last one.
func (p *Plan) Root() Partition { return p.Partitions[len(p.Partitions)-1] }

// String describes the plan as a short table.
func (p *Plan) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "Disk %s: %s\n", p.Device, formatSize(p.Size))
	if len(p.Found) > 0 {
		fmt.Fprintf(&b, "Will be lost: %s\n", strings.Join(p.Found, ", "))
	}
	b.WriteString(describe(p.Partitions))
	return b.String()
}

// Describe describes a disk that is no device in the same way.
func Describe(size uint64, parts []Partition) string {
	return fmt.Sprintf("Disk: %s\n%s", formatSize(size), describe(parts))
}

// Table makes the partition table of the plan. The GUIDs of the disk and its
// partitions are made of what random gives; nil stands for the system's.
func (p *Plan) Table(random io.Reader) (*gpt.Table, error) {
	if random == nil {
		random = rand.Reader
	}
	guid := func() (gpt.GUID, error) {
		var raw [16]byte
		_, err := io.ReadFull(random, raw[:])
		return gpt.NewGUID(raw), err
	}
	id, err := guid()
	if err != nil {
		return nil, err
	}
	t, err := gpt.New(id, p.SectorSize, int64(p.Size))
	if err != nil {
		return nil, err
	}
	sector := uint64(p.SectorSize)
	for i, part := range p.Partitions {
		if id, err = guid(); err != nil {
			return nil, err
		}
		t.Partitions = append(t.Partitions, gpt.Partition{
			Number: i + 1, Type: part.Type, GUID: id, Name: part.Name, Attributes: part.Attributes,
			First: part.Start / sector, Last: (part.Start+part.Size)/sector - 1,
		})
	}
	return t, nil
}
