// Package boottest has a model of a FAT file system on a disk that may lose
// power. It has what package boot asks of a volume.
//
// The model keeps what makes FAT dangerous: a directory is a list of slots, each
// with a name and the number of a first cluster; a table links clusters to
// chains and says which are free; nothing ties the two together. Every sector
// that was written since the last flush may be on the disk after a cut in any
// of the states that it had since then, independently of every other one.
//
// It behaves as the Linux driver does where that matters: a chain that runs
// into a free cluster is an I/O error; a removed file keeps its clusters while
// it is open; new clusters are the first free ones; a directory's cluster shows
// what it held before until the zeros have reached the disk.
//
// It does not model directories of more than one cluster, long names that are
// torn, and sectors that are half written.
package boottest

import (
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
)

const (
	sectors    = 24 // of a cluster
	sectorSize = 16 // bytes of file data in one
	// ClusterSize is the unit in which space is given out.
	ClusterSize = sectors * sectorSize
	rootCluster = 1
)

// The values of a link that name no cluster.
const (
	free = 0
	last = -1
)

// A FAT is the file system as the running system sees it, with what of it is
// on the disk.
type FAT struct {
	clusters int
	disk     []any           // by place.index: int links, slots, strings of file data
	pending  map[place][]any // states since the last flush, the disk's first
	nodes    map[slotAt]*node

	// BeforeFlush, if set, is called before a flush that has something to do.
	BeforeFlush func()
	// Damage counts removals that would have freed a cluster twice.
	Damage int
}

// A place is one sector of a cluster; link is the cluster's sector in the table.
type place struct{ cluster, sector int }

const link = sectors

func (p place) index() int { return p.cluster*(sectors+1) + p.sector }

// A slot is one name in a directory. Each takes a sector of its own, so that
// any two can be torn.
type slot struct {
	name  string
	start int
	size  int64
	dir   bool
}

type slotAt place

// node is an open or known file.
type node struct {
	at     slotAt
	slot   slot
	refs   int
	orphan bool
}

// New makes an empty file system.
func New(clusters int) *FAT {
	f := &FAT{clusters: clusters, disk: make([]any, clusters*(sectors+1)), pending: map[place][]any{}, nodes: map[slotAt]*node{}}
	f.setLink(rootCluster, last)
	f.zero(rootCluster)
	f.pending = map[place][]any{}
	return f
}

// A Snapshot is a moment at which the power may be cut.
type Snapshot struct {
	clusters int
	disk     []any
	pending  map[place][]any
	places   []place
}

// Snapshot records the moment.
func (f *FAT) Snapshot() *Snapshot {
	s := &Snapshot{clusters: f.clusters, disk: slices.Clone(f.disk), pending: map[place][]any{}}
	for p, states := range f.pending {
		s.pending[p] = slices.Clone(states)
		s.places = append(s.places, p)
	}
	slices.SortFunc(s.places, func(a, b place) int { return a.index() - b.index() })
	return s
}

// States tells how many states each sector may be in, in a fixed order.
func (s *Snapshot) States() []int {
	n := make([]int, len(s.places))
	for i, p := range s.places {
		n[i] = len(s.pending[p])
	}
	return n
}

// Cut gives the file system that is found after a power cut; choice has an
// index for each sector of States.
func (s *Snapshot) Cut(choice []int) *FAT {
	f := &FAT{clusters: s.clusters, disk: slices.Clone(s.disk), pending: map[place][]any{}, nodes: map[slotAt]*node{}}
	for i, p := range s.places {
		f.disk[p.index()] = s.pending[p][choice[i]]
	}
	return f
}

func (f *FAT) set(p place, v any) {
	old := f.disk[p.index()]
	if old == v {
		return
	}
	if f.pending[p] == nil {
		f.pending[p] = []any{old}
	}
	if !slices.Contains(f.pending[p], v) {
		f.pending[p] = append(f.pending[p], v)
	}
	f.disk[p.index()] = v
}

func (f *FAT) next(c int) int {
	v, _ := f.disk[place{c, link}.index()].(int)
	return v
}

func (f *FAT) setLink(c, to int) { f.set(place{c, link}, to) }

func (f *FAT) allocate() (int, error) {
	for c := rootCluster + 1; c < f.clusters; c++ {
		if f.next(c) == free {
			f.setLink(c, last)
			return c, nil
		}
	}
	return 0, errNoSpace
}

func (f *FAT) release(start int) {
	for c := start; c > 0 && c < f.clusters; {
		next := f.next(c)
		if next == free {
			f.Damage++ // the driver reports a broken file system
			return
		}
		f.setLink(c, free)
		c = next
	}
}

// chain lists the clusters of a file of the given size.
func (f *FAT) chain(start int, size int64) ([]int, error) {
	var all []int
	for c := start; int64(len(all))*ClusterSize < size; c = f.next(c) {
		if c <= 0 || c >= f.clusters || f.next(c) == free {
			return nil, errIO
		}
		all = append(all, c)
	}
	return all, nil
}

func (f *FAT) zero(c int) {
	for s := range sectors {
		f.set(place{c, s}, slot{})
	}
}

// slots lists the names in the cluster of a directory. A sector that holds
// data of a file is a name out of nowhere, and leads anywhere.
func (f *FAT) slots(c int) map[slotAt]slot {
	all := map[slotAt]slot{}
	if c == 0 {
		return all
	}
	for s := range sectors {
		switch v := f.disk[place{c, s}.index()].(type) {
		case slot:
			if v.name != "" {
				all[slotAt{c, s}] = v
			}
		case string:
			all[slotAt{c, s}] = slot{name: fmt.Sprintf("\x02%x", v), start: 2 + len(v)%(f.clusters-2), size: 1}
		}
	}
	return all
}

// directory returns the cluster of a directory.
func (f *FAT) directory(name string) (int, error) {
	c := rootCluster
	if name = path.Clean(name); name == "." {
		return c, nil
	}
	for word := range strings.SplitSeq(name, "/") {
		_, s, err := f.find(c, word)
		if err != nil {
			return 0, &fs.PathError{Op: "open", Path: name, Err: err}
		}
		if !s.dir {
			return 0, &fs.PathError{Op: "open", Path: name, Err: errNotDir}
		}
		c = s.start
	}
	return c, nil
}

// find looks a name up. The driver walks the chain of a directory that it
// meets, so that one which leads to a free cluster is an error here already.
func (f *FAT) find(c int, name string) (slotAt, slot, error) {
	for at, s := range f.slots(c) {
		if strings.EqualFold(s.name, name) {
			if s.dir && s.start != 0 && (s.start >= f.clusters || f.next(s.start) == free) {
				return at, s, errIO
			}
			return at, s, nil
		}
	}
	return slotAt{}, slot{}, fs.ErrNotExist
}

func (f *FAT) lookup(name string) (slotAt, slot, error) {
	c, err := f.directory(path.Dir(name))
	if err != nil {
		return slotAt{}, slot{}, err
	}
	at, s, err := f.find(c, path.Base(name))
	if err != nil {
		err = &fs.PathError{Op: "open", Path: name, Err: err}
	}
	return at, s, err
}

// add makes a name.
func (f *FAT) add(name string, s slot) (slotAt, error) {
	c, err := f.directory(path.Dir(name))
	if err != nil {
		return slotAt{}, err
	}
	if _, _, err := f.find(c, path.Base(name)); err != fs.ErrNotExist {
		if err == nil {
			err = fs.ErrExist
		}
		return slotAt{}, &fs.PathError{Op: "create", Path: name, Err: err}
	}
	s.name = path.Base(name)
	for i := range sectors {
		if v, ok := f.disk[place{c, i}.index()].(slot); ok && v.name == "" {
			f.set(place{c, i}, s)
			return slotAt{c, i}, nil
		}
	}
	return slotAt{}, errNoSpace
}

func (f *FAT) node(at slotAt, s slot) *node {
	if n := f.nodes[at]; n != nil {
		return n
	}
	n := &node{at: at, slot: s}
	f.nodes[at] = n
	return n
}

func (f *FAT) update(n *node) {
	if !n.orphan {
		f.set(place(n.at), n.slot)
	}
}

// unref forgets a node that is not open; the clusters of a removed one become
// free.
func (f *FAT) unref(n *node) {
	if n.refs > 0 {
		return
	}
	if n.orphan {
		f.release(n.slot.start)
	} else {
		delete(f.nodes, n.at)
	}
}

// move gives a node another slot.
func (f *FAT) move(n *node, to slotAt) {
	if f.nodes[n.at] == n {
		delete(f.nodes, n.at)
	}
	n.at = to
	f.nodes[to] = n
}
