package crash

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"unicode/utf16"
)

// A fatfs is a FAT32 file system, read as firmware reads it: the first table
// counts, nothing is repaired.
//
// Source: Microsoft, FAT: General Overview of On-Disk Format, version 1.03.
type fatfs struct {
	v         *Volume
	cache     *cache
	perClust  int64 // sectors
	table     int64 // first sector of the first table
	data      int64 // first sector of cluster 2
	clusters  uint32
	root      uint32
	tableSize int64
	tables    int64
	names     digest // of those that walk has come to, with their sizes
}

const fatEnd = 0x0ffffff8

func openFAT(v *Volume, c *cache) (*fatfs, error) {
	b, err := v.bytes(0, sectorSize)
	if err != nil {
		return nil, err
	}
	le := binary.LittleEndian
	f := &fatfs{
		v: v, cache: c, perClust: int64(b[13]), table: int64(le.Uint16(b[14:])), tables: int64(b[16]),
		tableSize: int64(le.Uint32(b[36:])), root: le.Uint32(b[44:]),
	}
	if le.Uint16(b[510:]) != 0xaa55 || le.Uint16(b[11:]) != sectorSize || f.perClust == 0 || f.tables == 0 || le.Uint16(b[22:]) != 0 {
		return nil, errors.New("no FAT32")
	}
	f.data = f.table + f.tables*f.tableSize
	f.clusters = uint32((int64(le.Uint32(b[32:])) - f.data) / f.perClust)
	return f, nil
}

// chain lists the clusters of a file or directory.
func (f *fatfs) chain(first uint32) ([]uint32, error) {
	var all []uint32
	var table []byte
	have := int64(-1)
	for c := first; c < fatEnd; {
		if c < 2 || c >= f.clusters+2 {
			return nil, fmt.Errorf("a chain of clusters leads to %d", c)
		}
		if all = append(all, c); len(all) > int(f.clusters) {
			return nil, errors.New("a chain of clusters without an end")
		}
		at := f.table + int64(c)*4/sectorSize
		if at != have {
			var err error
			if table, err = f.v.bytes(at*sectorSize, sectorSize); err != nil {
				return nil, err
			}
			have = at
		}
		c = binary.LittleEndian.Uint32(table[c*4%sectorSize:]) & 0x0fffffff
	}
	return all, nil
}

// A fatEntry is a name in a directory.
type fatEntry struct {
	name  string
	dir   bool
	first uint32
	size  int64
	// Where it stands: the sector and the place in it, and the sectors of its long
	// name.
	sector int64
	place  int
}

// dir lists a directory by its first cluster.
func (f *fatfs) dir(first uint32) ([]fatEntry, error) {
	chain, err := f.chain(first)
	if err != nil {
		return nil, err
	}
	var all []fatEntry
	var long []uint16
	var sum byte
	for _, c := range chain {
		for s := range f.perClust {
			sector := f.data + int64(c-2)*f.perClust + s
			b, err := f.v.bytes(sector*sectorSize, sectorSize)
			if err != nil {
				return nil, err
			}
			for i := 0; i < sectorSize; i += 32 {
				slot := b[i : i+32]
				switch {
				case slot[0] == 0:
					return all, nil
				case slot[0] == 0xe5:
					long = nil
				case slot[11] == 0x0f:
					long, sum = longName(slot, long, sum)
				case slot[11]&8 == 0:
					e := fatEntry{name: shortName(slot), dir: slot[11]&0x10 != 0, sector: sector, place: i}
					if long != nil && sum == shortSum(slot) {
						e.name = decode(long)
					}
					e.first = uint32(binary.LittleEndian.Uint16(slot[20:]))<<16 | uint32(binary.LittleEndian.Uint16(slot[26:]))
					e.size = int64(binary.LittleEndian.Uint32(slot[28:]))
					all = append(all, e)
					long = nil
				default:
					long = nil
				}
			}
		}
	}
	return all, nil
}

// longName adds a slot of a long name to what follows it in the name.
func longName(slot []byte, tail []uint16, sum byte) ([]uint16, byte) {
	if slot[0]&0x40 != 0 || slot[13] != sum {
		tail = nil
	}
	var part []uint16
	for _, at := range []int{1, 3, 5, 7, 9, 14, 16, 18, 20, 22, 24, 28, 30} {
		part = append(part, binary.LittleEndian.Uint16(slot[at:]))
	}
	return append(part, tail...), slot[13]
}

func decode(name []uint16) string {
	for i, c := range name {
		if c == 0 {
			name = name[:i]
			break
		}
	}
	return string(utf16.Decode(name))
}

func shortSum(slot []byte) byte {
	var sum byte
	for _, c := range slot[:11] {
		sum = sum>>1 | sum<<7
		sum += c
	}
	return sum
}

// shortName gives a name of eight and three characters; two bits say which part
// is in lower case.
func shortName(slot []byte) string {
	base, ext := strings.TrimRight(string(slot[:8]), " "), strings.TrimRight(string(slot[8:11]), " ")
	if slot[12]&8 != 0 {
		base = strings.ToLower(base)
	}
	if slot[12]&16 != 0 {
		ext = strings.ToLower(ext)
	}
	if ext != "" {
		base += "." + ext
	}
	return base
}

// find looks up a path. The first of several equal names counts.
func (f *fatfs) find(path string) (fatEntry, error) {
	e := fatEntry{dir: true, first: f.root}
	for part := range strings.SplitSeq(strings.Trim(path, "/"), "/") {
		if !e.dir {
			return e, fmt.Errorf("%s: %w", path, errAbsent)
		}
		all, err := f.dir(e.first)
		if err != nil {
			return e, fmt.Errorf("%s: %w", path, err)
		}
		found := false
		for _, child := range all {
			if strings.EqualFold(child.name, part) {
				e, found = child, true
				break
			}
		}
		if !found {
			return e, fmt.Errorf("%s: %w", path, errAbsent)
		}
	}
	return e, nil
}

// clustersOf lists the clusters of a file as far as its size goes.
func (f *fatfs) clustersOf(e fatEntry) ([]uint32, error) {
	if e.dir {
		return nil, fmt.Errorf("%s is a directory", e.name)
	}
	n := (e.size + f.perClust*sectorSize - 1) / (f.perClust * sectorSize)
	if n == 0 {
		return nil, nil
	}
	chain, err := f.chain(e.first)
	if err == nil && int64(len(chain)) < n {
		err = fmt.Errorf("%d bytes in %d clusters", e.size, len(chain))
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", e.name, err)
	}
	return chain[:n], nil
}

func (f *fatfs) content(e fatEntry) ([]byte, error) {
	chain, err := f.clustersOf(e)
	if err != nil {
		return nil, err
	}
	var data []byte
	for _, c := range chain {
		b, err := f.v.bytes((f.data+int64(c-2)*f.perClust)*sectorSize, f.perClust*sectorSize)
		if err != nil {
			return nil, err
		}
		data = append(data, b...)
	}
	return data[:e.size], nil
}

// sum is the digest of all that the clusters of a file hold, and of its size.
func (f *fatfs) sum(e fatEntry) (digest, error) {
	var d digest
	d.add(uint64(e.size))
	chain, err := f.clustersOf(e)
	if err != nil {
		return d, err
	}
	for _, c := range chain {
		ids, err := f.v.sectors(f.data+int64(c-2)*f.perClust, f.perClust)
		if err != nil {
			return d, err
		}
		for _, id := range ids {
			d.add(f.v.d.store.mark(id))
		}
	}
	return d, nil
}

// sha256 returns the digest of a file's content.
func (f *fatfs) sha256(e fatEntry) (string, error) {
	d, err := f.sum(e)
	if err != nil {
		return "", err
	}
	if sum, ok := f.cache.kernels[d]; ok {
		return sum, nil
	}
	var data []byte
	err = f.v.again(func() (err error) { data, err = f.content(e); return err })
	if err != nil {
		return "", err
	}
	f.cache.kernels[d] = fmt.Sprintf("%x", sha256.Sum256(data))
	return f.cache.kernels[d], nil
}

// A chained is the chain of clusters that a name leads to.
type chained struct {
	name  string
	first uint32
	chain []uint32
}

// walk reads all that names lead to, as far as they lead anywhere, and returns the
// chains. Names of one chain count once.
func (f *fatfs) walk(name string, first uint32, seen map[uint32]bool) []chained {
	seen[first] = true
	chain, err := f.chain(first)
	if err != nil {
		return nil
	}
	found := []chained{{name, first, chain}}
	all, err := f.dir(first)
	if err != nil {
		return found
	}
	for _, e := range all {
		if e.name == "." || e.name == ".." {
			continue
		}
		f.names.addString(name + "/" + e.name)
		f.names.add(uint64(e.size))
		if seen[e.first] {
			continue
		}
		if e.dir {
			found = append(found, f.walk(name+"/"+e.name, e.first, seen)...)
			continue
		}
		if _, err := f.sum(e); err != nil || e.size == 0 {
			continue
		}
		seen[e.first] = true
		if chain, err := f.chain(e.first); err == nil {
			found = append(found, chained{name + "/" + e.name, e.first, chain})
		}
	}
	return found
}

// shared reads both tables, as fsck.fat does, and tells of two names that lead to
// different chains which meet: fsck.fat would cut one of them off. It returns a digest
// of the names, too.
func (f *fatfs) shared() (digest, []string, error) {
	if _, err := f.v.sectors(0, f.data); err != nil {
		return 0, nil, err
	}
	f.names = 0
	if len(f.cache.owners) != int(f.clusters)+2 {
		f.cache.owners = make([]int32, f.clusters+2)
	}
	owners := f.cache.owners // 1: the first of the chains
	var meet []string
	all := f.walk("", f.root, map[uint32]bool{})
	for i, c := range all {
		for _, cluster := range c.chain {
			if other := owners[cluster]; other > 0 {
				meet = append(meet, fmt.Sprintf("%s and %s share cluster %d", all[other-1].name, c.name, cluster))
				break
			}
			owners[cluster] = int32(i + 1)
		}
	}
	for _, c := range all {
		for _, cluster := range c.chain {
			owners[cluster] = 0
		}
	}
	return f.names, meet, nil
}
