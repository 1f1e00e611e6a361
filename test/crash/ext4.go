package crash

import (
	"encoding/binary"
	"errors"
	"fmt"
	"sort"
	"strings"
)

// An ext4 file system as bootc makes it, read without being mounted.
//
// Source: Documentation/filesystems/ext4 of the Linux kernel.
const (
	blockSize = 4096

	rootInode    = 2
	journalInode = 8

	ext4Magic = 0xef53
	// Features without which this reader reads nothing, or too much.
	needsExtents  = 0x40
	needsRecovery = 0x4
	hasMetaBG     = 0x10
	hasInlineData = 0x8000

	flagVerity  = 0x100000
	flagExtents = 0x80000

	typeMask = 0xf000
	typeDir  = 0x4000
	typeFile = 0x8000
	typeLink = 0xa000
)

// An ext4fs is a file system whose journal has been replayed.
type ext4fs struct {
	v          *Volume
	perGroup   uint32
	inodeSize  int64
	descSize   int64
	inodes     uint32
	replayed   int
	cache      *cache
	inodeTable []int64 // first block, of each group; 0: not read yet
	// What was read already; nil until the journal is replayed.
	known map[uint32]*inode
}

// errTorn means that the superblock has the wrong check sum. It is written in place
// and spans two sectors: where a cut falls between them neither the kernel nor
// e2fsck -p takes the file system. That is between ext4 and the disk; nothing that
// writes to the file system can avoid it.
var errTorn = errors.New("the superblock of ext4 is torn")

// openExt4 does what mounting does: the superblock is checked, the journal
// replayed if the file system was in use. What is remembered of contents is in
// the cache, which may serve many states of one disk.
func openExt4(v *Volume, c *cache) (*ext4fs, error) {
	f := &ext4fs{v: v, cache: c}
	dirty, err := f.readSuper()
	if err != nil {
		return f, err
	}
	if dirty {
		err = f.replay()
	}
	f.known = map[uint32]*inode{}
	return f, err
}

func (f *ext4fs) replay() error {
	in, err := f.inode(journalInode)
	if err != nil {
		return fmt.Errorf("inode of the journal: %w", err)
	}
	var blocks []int64
	for _, e := range in.extents {
		for i := range e.count {
			blocks = append(blocks, e.start+i)
		}
	}
	if f.replayed, err = replayJournal(f.v, blocks); err != nil {
		return err
	}
	_, err = f.readSuper()
	return err
}

func (f *ext4fs) readSuper() (dirty bool, err error) {
	sb, err := f.v.bytes(1024, 1024)
	if err != nil {
		return false, err
	}
	le := binary.LittleEndian
	if le.Uint16(sb[0x38:]) != ext4Magic {
		return false, errors.New("no ext4")
	}
	if castagnoli(^uint32(0), sb[:0x3fc]) != le.Uint32(sb[0x3fc:]) {
		return false, errTorn
	}
	features := le.Uint32(sb[0x60:])
	if le.Uint32(sb[0x18:]) != 2 || features&needsExtents == 0 || features&(hasMetaBG|hasInlineData) != 0 {
		return false, fmt.Errorf("ext4 of another kind: features %#x", features)
	}
	f.perGroup, f.inodes, f.inodeSize = le.Uint32(sb[0x28:]), le.Uint32(sb), int64(le.Uint16(sb[0x58:]))
	if f.descSize = int64(le.Uint16(sb[0xfe:])); f.descSize < 64 {
		f.descSize = 32
	}
	f.inodeTable = make([]int64, (f.inodes+f.perGroup-1)/f.perGroup)
	return features&needsRecovery != 0, nil
}

// An inode is a file of whatever type.
type inode struct {
	number   uint32
	mode     uint16
	uid, gid uint32
	size     int64
	flags    uint32
	extents  []extent
	raw      []byte // the whole inode
	summed   bool   // sum is known
	sum      digest
}

// An extent is a run of blocks of a file.
type extent struct {
	at, count int64 // blocks of the file
	start     int64 // block of the file system; 0: zeros
}

func (f *ext4fs) inode(n uint32) (*inode, error) {
	if in, ok := f.known[n]; ok {
		return in, nil
	}
	in, err := f.readInode(n)
	if err == nil && f.known != nil {
		f.known[n] = in
	}
	return in, err
}

func (f *ext4fs) readInode(n uint32) (*inode, error) {
	if n == 0 || n > f.inodes {
		return nil, fmt.Errorf("inode %d of %d", n, f.inodes)
	}
	group, index := (n-1)/f.perGroup, int64((n-1)%f.perGroup)
	if f.inodeTable[group] == 0 {
		desc, err := f.v.bytes(blockSize+int64(group)*f.descSize, f.descSize)
		if err != nil {
			return nil, err
		}
		at := int64(binary.LittleEndian.Uint32(desc[8:]))
		if f.descSize >= 64 {
			at |= int64(binary.LittleEndian.Uint32(desc[0x28:])) << 32
		}
		f.inodeTable[group] = at
	}
	raw, err := f.v.bytes(f.inodeTable[group]*blockSize+index*f.inodeSize, f.inodeSize)
	if err != nil {
		return nil, err
	}
	le := binary.LittleEndian
	in := &inode{
		number: n, raw: raw, mode: le.Uint16(raw), flags: le.Uint32(raw[0x20:]),
		uid:  uint32(le.Uint16(raw[2:])) | uint32(le.Uint16(raw[0x78:]))<<16,
		gid:  uint32(le.Uint16(raw[0x18:])) | uint32(le.Uint16(raw[0x7a:]))<<16,
		size: int64(le.Uint32(raw[4:])) | int64(le.Uint32(raw[0x6c:]))<<32,
	}
	if in.flags&flagExtents != 0 {
		err = f.readExtents(in, raw[0x28:0x28+60], -1)
	}
	if err != nil {
		err = fmt.Errorf("inode %d: %w", n, err)
	}
	return in, err
}

// readExtents reads a node of the tree of extents. depth is what its depth has to
// be, -1 for any.
func (f *ext4fs) readExtents(in *inode, node []byte, depth int) error {
	le := binary.LittleEndian
	count, got := int(le.Uint16(node[2:])), int(le.Uint16(node[6:]))
	if le.Uint16(node) != 0xf30a || got > 5 || depth >= 0 && got != depth || 12+12*count > len(node) {
		return errors.New("a tree of extents that is none")
	}
	for i := range count {
		e := node[12+12*i:]
		if got > 0 {
			at := int64(le.Uint32(e[4:])) | int64(le.Uint16(e[8:]))<<32
			below, err := f.v.bytes(at*blockSize, blockSize)
			if err != nil {
				return err
			}
			if err := f.readExtents(in, below, got-1); err != nil {
				return err
			}
			continue
		}
		x := extent{at: int64(le.Uint32(e)), count: int64(le.Uint16(e[4:])), start: int64(le.Uint32(e[8:])) | int64(le.Uint16(e[6:]))<<32}
		if x.count > 32768 { // given out and not written
			x.count, x.start = x.count-32768, 0
		}
		in.extents = append(in.extents, x)
	}
	return nil
}

// sum is the digest of all that the blocks of a file hold, and of its size. Where
// a file has its blocks does not matter.
func (f *ext4fs) sum(in *inode) (digest, error) {
	if in.summed {
		return in.sum, nil
	}
	var d digest
	d.add(uint64(in.size))
	for _, e := range in.extents {
		d.add(uint64(e.at)<<16 ^ uint64(e.count))
		if e.start == 0 {
			continue
		}
		ids, err := f.v.sectors(e.start*blockSize/sectorSize, e.count*blockSize/sectorSize)
		if err != nil {
			return d, err
		}
		for _, id := range ids {
			d.add(f.v.d.store.mark(id))
		}
	}
	in.sum, in.summed = d, true
	return d, nil
}

// read reads n bytes of a file's blocks at a place, also behind its end, where
// fs-verity has its tree.
func (f *ext4fs) read(in *inode, off, n int64) ([]byte, error) {
	data := make([]byte, n)
	for _, e := range in.extents {
		from, to := max(off, e.at*blockSize), min(off+n, (e.at+e.count)*blockSize)
		if from >= to || e.start == 0 {
			continue
		}
		if _, err := f.v.ReadAt(data[from-off:to-off], e.start*blockSize+from-e.at*blockSize); err != nil {
			return nil, err
		}
	}
	return data, nil
}

func (f *ext4fs) content(in *inode) ([]byte, error) {
	if in.size > 64<<20 {
		return nil, fmt.Errorf("inode %d has %d bytes", in.number, in.size)
	}
	return f.read(in, 0, in.size)
}

// dir reads the names in a directory.
func (f *ext4fs) dir(in *inode) (map[string]uint32, error) {
	if in.mode&typeMask != typeDir {
		return nil, fmt.Errorf("inode %d is not a directory", in.number)
	}
	sum, err := f.sum(in)
	if err != nil {
		return nil, err
	}
	if names, ok := f.cache.dirs[sum]; ok {
		return names, nil
	}
	var data []byte
	err = f.v.again(func() (err error) { data, err = f.content(in); return err })
	if err != nil {
		return nil, err
	}
	names := map[string]uint32{}
	for i := 0; i+8 <= len(data); {
		n, length, name := binary.LittleEndian.Uint32(data[i:]), int(binary.LittleEndian.Uint16(data[i+4:])), int(data[i+6])
		if length < 8 || i+length > len(data) || 8+name > length {
			return nil, fmt.Errorf("inode %d: a directory that is none, at %d", in.number, i)
		}
		if n != 0 {
			names[string(data[i+8:i+8+name])] = n
		}
		i += length
	}
	delete(names, ".")
	delete(names, "..")
	f.cache.dirs[sum] = names
	return names, nil
}

// errAbsent means that a name is not there.
var errAbsent = errors.New("no such file")

// lookup finds a path below a directory. Symbolic links are not followed.
func (f *ext4fs) lookup(from uint32, path string) (*inode, error) {
	in, err := f.inode(from)
	for part := range strings.SplitSeq(path, "/") {
		if err != nil {
			return nil, err
		}
		names, err := f.dir(in)
		if err != nil {
			return nil, err
		}
		n, ok := names[part]
		if !ok {
			return nil, fmt.Errorf("%s: %w", path, errAbsent)
		}
		if in, err = f.inode(n); err != nil {
			return nil, err
		}
	}
	return in, err
}

// link reads a symbolic link.
func (f *ext4fs) link(in *inode) (string, error) {
	if in.mode&typeMask != typeLink {
		return "", fmt.Errorf("inode %d is not a symbolic link", in.number)
	}
	if in.flags&flagExtents == 0 && in.size < 60 {
		return string(in.raw[0x28 : 0x28+in.size]), nil
	}
	data, err := f.content(in)
	return string(data), err
}

// tree is the digest of all that is below a directory: names, contents, modes,
// owners, extended attributes. Times do not count.
func (f *ext4fs) tree(n uint32) (digest, error) {
	var d digest
	in, err := f.inode(n)
	if err != nil {
		return d, err
	}
	if in.mode == 0 {
		return d, fmt.Errorf("inode %d is not in use", n)
	}
	d.add(uint64(in.mode)<<48 ^ uint64(in.uid)<<24 ^ uint64(in.gid))
	if err := f.xattrs(in, &d); err != nil {
		return d, err
	}
	switch in.mode & typeMask {
	case typeFile:
		sum, err := f.sum(in)
		d.add(uint64(sum))
		return d, err
	case typeLink:
		text, err := f.link(in)
		d.addString(text)
		return d, err
	case typeDir:
	default:
		return d, nil
	}
	names, err := f.dir(in)
	if err != nil {
		return d, err
	}
	sorted := make([]string, 0, len(names))
	for name := range names {
		sorted = append(sorted, name)
	}
	sort.Strings(sorted)
	for _, name := range sorted {
		below, err := f.tree(names[name])
		if err != nil {
			return d, fmt.Errorf("%s: %w", name, err)
		}
		d.addString(name)
		d.add(uint64(below))
	}
	return d, nil
}

// xattrs adds the extended attributes: those in the inode and those in a block of
// their own.
func (f *ext4fs) xattrs(in *inode, d *digest) error {
	le := binary.LittleEndian
	var all []string
	collect := func(entries, values []byte) {
		for i := 0; i+16 <= len(entries) && le.Uint32(entries[i:]) != 0; {
			name, at, size := int(entries[i]), int(le.Uint16(entries[i+2:])), int(le.Uint32(entries[i+8:]))
			if i+16+name > len(entries) || at+size > len(values) {
				return
			}
			all = append(all, fmt.Sprintf("%d.%s=%s", entries[i+1], entries[i+16:i+16+name], values[at:at+size]))
			i += 16 + (name+3)&^3
		}
	}
	if at := 128 + int(le.Uint16(in.raw[0x80:])); at+4 < len(in.raw) && le.Uint32(in.raw[at:]) == 0xea020000 {
		collect(in.raw[at+4:], in.raw[at+4:])
	}
	if block := int64(le.Uint32(in.raw[0x68:])) | int64(le.Uint16(in.raw[0x76:]))<<32; block != 0 {
		data, err := f.v.bytes(block*blockSize, blockSize)
		if err != nil {
			return err
		}
		collect(data[32:], data)
	}
	sort.Strings(all)
	for _, x := range all {
		d.addString(x)
	}
	return nil
}
