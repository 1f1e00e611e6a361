// Package fat writes FAT32 volumes, such as the EFI system partition of a disk
// image, without mounting them.
//
// A volume is written once, front to back, from a list of files; the same list
// gives the same bytes. [New] lays it out and says what is wrong with it before
// anything is written; [Image.Write] then reads each file once. Memory does not
// depend on the sizes of files, nor on that of the volume.
//
// It does not read volumes, and does not know what boot loaders expect on them.
//
// Source: docs/formats/fat.md; Microsoft, FAT: General Overview of On-Disk
// Format, version 1.03.
package fat

import (
	"errors"
	"fmt"
	"io"
	"math"
	"strings"
	"time"
)

// A File is a file or a directory of a volume.
type File struct {
	// Name is the path below the top, with slashes. Directories on the way
	// need not be given. A name that ends with a slash is a directory.
	Name string
	Size int64 // bytes, at most 4 GiB - 1
	// Open gives the contents, exactly Size bytes; nil if there are none. It
	// is called once by each Write.
	Open func() (io.ReadCloser, error)
}

// Options say what a volume is like.
type Options struct {
	Size          int64     // bytes; what is beyond whole tracks of 32 sectors stays unused
	Label         string    // at most 11 characters, see docs/formats/fat.md; none if empty
	ID            uint32    // serial number of the volume
	Time          time.Time // of all files; what FAT cannot say becomes what is next to it
	SectorSize    int       // bytes; 0 means 512
	HiddenSectors uint32    // sectors of the disk before the volume
}

// An Image is a volume that is laid out and can be written.
type Image struct {
	geometry
	label  string
	id     uint32
	hidden uint32
	stamp  stamp
	dirs   []*node // in order of their clusters
	files  []*node // the same; behind all directories
	used   int64   // clusters
}

// New lays out a volume with the files, in any order. It reads none of them.
func New(files []File, o Options) (*Image, error) {
	m, err := plan(files, o)
	if err == nil {
		err = m.checkRoom()
	}
	if err != nil {
		return nil, fmt.Errorf("laying out a FAT volume: %w", err)
	}
	m.allocate()
	return m, nil
}

// Size returns the size of the smallest volume, in whole MiB, that holds the
// files and has free bytes left. It takes the size in the options for nothing.
// A larger volume has less room where its clusters become larger.
func Size(files []File, o Options, free int64) (int64, error) {
	o.Size = 0
	m, err := plan(files, o)
	if err != nil {
		return 0, fmt.Errorf("sizing a FAT volume: %w", err)
	}
	free = max(free, 0)
	contents := int64(0)
	for _, n := range m.files {
		contents += n.size
	}
	most := math.MaxUint32 * m.sectorSize
	least := max(min(contents, most)+min(free, most), 1)
	for size := ceil(least, mebi) * mebi; size <= most; size += mebi {
		m.resize(size)
		if m.checkRoom() == nil && m.Free() >= free {
			return size, nil
		}
	}
	return 0, fmt.Errorf("sizing a FAT volume: %d MiB of files, %d MiB free: no volume is large enough", contents/mebi, free/mebi)
}

// Free returns how many bytes the free clusters have.
func (m *Image) Free() int64 { return (m.clusters - m.used) * m.clusterSize }

// ClusterSize returns the unit in bytes in which space is given out.
func (m *Image) ClusterSize() int64 { return m.clusterSize }

// plan does all that can be done whatever the size.
func plan(files []File, o Options) (*Image, error) {
	if o.SectorSize == 0 {
		o.SectorSize = 512
	}
	if n := o.SectorSize; n < 512 || n > 4096 || n&(n-1) != 0 {
		return nil, fmt.Errorf("sector size %d", n)
	}
	if err := checkLabel(o.Label); err != nil {
		return nil, fmt.Errorf("label %q: %w", o.Label, err)
	}
	m := &Image{label: o.Label, id: o.ID, hidden: o.HiddenSectors, stamp: newStamp(o.Time)}
	root, err := newTree(files)
	if err != nil {
		return nil, err
	}
	if o.Label != "" {
		root.fixed = 1
	}
	if err := root.prepare(); err != nil {
		return nil, err
	}
	root.walk(func(n *node) {
		if n.file == nil {
			m.dirs = append(m.dirs, n)
		} else {
			m.files = append(m.files, n)
		}
	})
	m.sectorSize = int64(o.SectorSize)
	m.resize(o.Size)
	return m, nil
}

// resize sets the size of the volume and counts the clusters that are used.
func (m *Image) resize(size int64) {
	m.geometry = newGeometry(size, m.sectorSize)
	m.used = 0
	for n := range m.nodes {
		m.used += ceil(n.size, m.clusterSize)
	}
}

// checkRoom says why the volume cannot be FAT32, or cannot hold the files.
func (m *Image) checkRoom() error {
	if err := m.check(); err != nil {
		return err
	}
	if m.used > m.clusters {
		return fmt.Errorf("%d MiB needed for files and directories, %d MiB available",
			ceil(m.used*m.clusterSize, mebi), m.clusters*m.clusterSize/mebi)
	}
	return nil
}

// allocate gives out the clusters.
func (m *Image) allocate() {
	next := uint32(rootCluster)
	for n := range m.nodes {
		if n.count = uint32(ceil(n.size, m.clusterSize)); n.count > 0 {
			n.first = next
			next += n.count
		}
	}
}

// nodes goes through what has clusters, in their order.
func (m *Image) nodes(yield func(*node) bool) {
	for _, list := range [][]*node{m.dirs, m.files} {
		for _, n := range list {
			if !yield(n) {
				return
			}
		}
	}
}

// checkLabel says what is wrong with a label.
func checkLabel(s string) error {
	switch {
	case len(s) > 11:
		return fmt.Errorf("%d bytes, at most 11", len(s))
	case strings.Trim(s, shortChars+" ") != "":
		return fmt.Errorf("a character other than A-Z, 0-9, blank and %s", shortChars[36:])
	case strings.Trim(s, " ") != s:
		return errors.New("a blank at an end")
	}
	return nil
}
