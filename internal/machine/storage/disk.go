package storage

import (
	"fmt"
	"os"
	"strings"

	"github.com/bootc-go/bootc/internal/linux/block"
)

// A disk is what was found at a device's name.
type disk struct {
	dev   *block.Device
	size  uint64
	found []string // partitions and other data, for people
}

// look examines a disk; the device is only read. It refuses what an
// installation cannot have in any case.
func look(device string) (*disk, error) {
	dev, err := block.Open(device)
	if err != nil {
		return nil, err
	}
	switch {
	case dev.PartitionNumber() > 0:
		return nil, fmt.Errorf("%s is a partition, not a whole disk", device)
	case dev.ReadOnly():
		return nil, fmt.Errorf("%s is read-only", device)
	case dev.Size() <= 0:
		return nil, fmt.Errorf("%s has no medium", device)
	}
	why, err := dev.InUse()
	if err != nil {
		return nil, err
	}
	if why != "" {
		return nil, fmt.Errorf("%s is in use: %s", device, why)
	}
	d := &disk{dev: dev, size: uint64(dev.Size())}
	if d.found, err = contents(dev); err != nil {
		return nil, err
	}
	return d, nil
}

// contents names the data on a disk: its partitions and what [Signatures]
// finds.
func contents(dev *block.Device) ([]string, error) {
	f, err := os.Open(dev.Path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	found, err := Signatures(f, dev.Size())
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", dev.Path, err)
	}
	parts, err := dev.Partitions()
	if err != nil {
		return nil, err
	}
	for _, p := range parts {
		found = append(found, "partition "+p.Name)
	}
	return found, nil
}

// refuseData is the error for a disk that has data.
func (d *disk) refuseData(device string) error {
	if len(d.found) == 0 {
		return nil
	}
	return fmt.Errorf("%s is not empty: it has %s (--wipe erases it)", device, strings.Join(d.found, ", "))
}
