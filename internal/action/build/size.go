package build

import (
	"fmt"

	"github.com/bootc-go/bootc/internal/machine/storage"
)

// divide is the size of the disk for a root with so many bytes in it, and how it
// is divided on an architecture.
func (p *Plan) divide(content int64, arch string) (size uint64, parts []storage.Partition, err error) {
	o := p.Options.Install.Storage
	o.Arch = arch
	size = p.Options.Size
	if size == 0 {
		// As much again for the first update, and room to work.
		size = max(DefaultSize, uint64(2*content)+2<<30, p.Options.Customize.DiskSize.Bytes)
	}
	if least := p.Options.Customize.DiskSize; size < least.Bytes {
		return 0, nil, fmt.Errorf("%s: the disk has %d bytes, at least %d are wanted", least.Key, size, least.Bytes)
	}
	size = p.whole(size)
	if parts, err = storage.Layout(size, o); err != nil {
		return 0, nil, err
	}
	least := p.Options.Customize.RootSize
	has := parts[len(parts)-1].Size // of the root
	switch {
	case has >= least.Bytes:
		return size, parts, nil
	case p.Options.Size != 0 || o.RootSize != 0:
		return 0, nil, fmt.Errorf("%s: the root has %d bytes, at least %d are wanted", least.Key, has, least.Bytes)
	}
	size = p.whole(size + least.Bytes - has)
	parts, err = storage.Layout(size, o)
	return size, parts, err
}

// whole rounds up a size of the disk to one that all formats can have.
func (p *Plan) whole(size uint64) uint64 {
	unit := uint64(1 << 20)
	for _, f := range p.formats {
		unit = max(unit, f.unit)
	}
	return (size + unit - 1) / unit * unit
}
