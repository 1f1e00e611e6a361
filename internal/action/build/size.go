package build

import (
	"fmt"
	"strings"

	"github.com/bootc-go/bootc/internal/format/fat"
	"github.com/bootc-go/bootc/internal/machine/storage"
)

// needs is what has to have room on a disk.
type needs struct {
	root    int64 // bytes in the root
	arch    string
	volumes []*volume
	esp     []fat.File // on the EFI system partition
}

// divide is the size of the disk, and how it is divided.
func (p *Plan) divide(n needs) (size uint64, parts []storage.Partition, err error) {
	o := p.Options.Install.Storage
	o.Arch = n.arch
	if o.ESPSize, err = espSize(n.esp); err != nil {
		return 0, nil, err
	}
	room := o.ESPSize
	for _, v := range n.volumes {
		e := v.extra()
		o.More = append(o.More, e)
		room += e.Size
	}
	size = p.Options.Size
	if size == 0 {
		// As much again for the first update, and room to work.
		size = max(max(DefaultSize, uint64(2*n.root)+2<<30)+room, p.Options.Customize.DiskSize.Bytes)
	}
	if least := p.Options.Customize.DiskSize; size < least.Bytes {
		return 0, nil, fmt.Errorf("%s: the disk has %d bytes, at least %d are wanted", least.Key, size, least.Bytes)
	}
	size = p.whole(size)
	if parts, err = storage.Layout(size, o); err != nil {
		if o.ESPSize > 0 {
			err = fmt.Errorf("%w, of which the EFI system partition takes %d MiB, for the kernels of three deployments", err, o.ESPSize>>20)
		}
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

// espSize is the size that the EFI system partition needs; 0 is any. An update writes
// its kernel beside that of the system that runs and that of the one before.
func espSize(files []fat.File) (uint64, error) {
	const usual, slack = 1 << 30, 1 << 20
	var all, kernels int64
	for _, f := range files {
		all += f.Size
		if strings.HasPrefix(f.Name, "EFI/Linux/") {
			kernels += f.Size
		}
	}
	if all+2*kernels < usual/2 { // however it is divided into clusters
		return 0, nil
	}
	size, err := fat.Size(files, fat.Options{}, 2*kernels+slack)
	if err != nil {
		return 0, fmt.Errorf("EFI system partition: %w", err)
	}
	if size <= usual {
		return 0, nil
	}
	return uint64(size), nil
}

// whole rounds up a size of the disk to one that all formats can have.
func (p *Plan) whole(size uint64) uint64 {
	unit := uint64(1 << 20)
	for _, f := range p.formats {
		unit = max(unit, f.unit)
	}
	return (size + unit - 1) / unit * unit
}
