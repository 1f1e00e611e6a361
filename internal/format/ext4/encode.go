package ext4

import "github.com/bootc-go/bootc/internal/format/tree"

const (
	flagExtents = 0x00080000
	flagVerity  = 0x00100000
	extraSize   = 32
)

// encode writes an inode into its 256 bytes.
func (i *Image) encode(b []byte, number uint32) {
	in := i.inodes[number-1]
	if in == nil {
		return
	}
	mode, mtime := uint32(tree.TypeRegular|0o600), tree.Time{Sec: i.o.Time}
	flags := uint32(0)
	if n := in.node; n != nil {
		mode, mtime = n.Mode, n.Mtime
		putSplit16(b[0x02:], b[0x78:], n.UID)
		putSplit16(b[0x18:], b[0x7A:], n.GID)
		inline, _, _ := i.attributes(n)
		copy(b[0x80+extraSize:inodeSize], inline)
	}
	le.PutUint16(b, uint16(mode))
	putSplit(b[0x04:], b[0x6C:], i.size(in))
	for _, at := range []int{0x08, 0x0C, 0x10, 0x90} { // access, change, modification, creation
		le.PutUint32(b[at:], uint32(mtime.Sec))
	}
	for _, at := range []int{0x84, 0x88, 0x8C, 0x94} {
		le.PutUint32(b[at:], extraTime(mtime))
	}
	links := in.links
	if links > maxLinks {
		links = 1
	}
	le.PutUint16(b[0x1A:], uint16(links))
	sectors := i.occupied(in) * (BlockSize / 512)
	le.PutUint32(b[0x1C:], uint32(sectors))
	le.PutUint16(b[0x74:], uint16(sectors>>32))
	switch mode & tree.TypeMask {
	case tree.TypeSymlink:
		if len(in.runs) == 0 {
			copy(b[0x28:0x64], in.node.Target)
			break
		}
		fallthrough
	case tree.TypeRegular, tree.TypeDir:
		flags |= flagExtents
		in.encodeExtents(b[0x28:0x64])
	case tree.TypeChar, tree.TypeBlock:
		encodeDevice(b[0x28:], in.node.Rdev)
	}
	if in.sealed {
		flags |= flagVerity
	}
	le.PutUint32(b[0x20:], flags)
	le.PutUint32(b[0x68:], uint32(in.attr))
	le.PutUint16(b[0x76:], uint16(in.attr>>32))
	le.PutUint16(b[0x80:], extraSize)
	sum := checksum(i.inodeSeed(number), b[:inodeSize])
	le.PutUint16(b[0x7C:], uint16(sum))
	le.PutUint16(b[0x82:], uint16(sum>>16))
}

// inodeSeed begins the check sums of an inode and its blocks. The generation of
// all inodes is 0.
func (i *Image) inodeSeed(number uint32) uint32 {
	return checksum(i.seed, le32(number), le32(0))
}

// extraTime are the nanoseconds, and two more bits for the seconds.
func extraTime(t tree.Time) uint32 {
	epoch := uint32((t.Sec-int64(int32(t.Sec)))>>32) & 3
	return t.Nsec<<2 | epoch
}

// encodeDevice writes a device number, which has a short form. rdev is in the
// kernel's long form.
func encodeDevice(b []byte, rdev uint32) {
	major, minor := rdev>>8&0xfff, rdev&0xff|rdev>>12&^uint32(0xff)
	if major < 256 && minor < 256 {
		le.PutUint32(b, major<<8|minor)
		return
	}
	le.PutUint32(b[4:], rdev)
}

// occupied counts the blocks of an inode.
func (i *Image) occupied(in *inode) uint64 {
	n := uint64(len(in.leaves))
	if in.attr != 0 {
		n++
	}
	for _, r := range in.runs {
		n += uint64(r.blocks)
	}
	return n
}

// encodeExtents writes the root of the tree of extents: the extents, or where
// the blocks of them are.
func (in *inode) encodeExtents(b []byte) {
	if len(in.leaves) == 0 {
		encodeRuns(b, in.runs, inlineExtents)
		return
	}
	extentHeader(b, len(in.leaves), inlineExtents, 1)
	for k, leaf := range in.leaves {
		e := b[12+12*k:]
		le.PutUint32(e, in.runs[k*leafExtents].logical)
		le.PutUint32(e[4:], uint32(leaf))
		le.PutUint16(e[8:], uint16(leaf>>32))
	}
}

func encodeRuns(b []byte, runs []run, room int) {
	extentHeader(b, len(runs), room, 0)
	for k, r := range runs {
		e := b[12+12*k:]
		le.PutUint32(e, r.logical)
		le.PutUint16(e[4:], uint16(r.blocks))
		le.PutUint16(e[6:], uint16(r.start>>32))
		le.PutUint32(e[8:], uint32(r.start))
	}
}

func extentHeader(b []byte, entries, room, depth int) {
	le.PutUint16(b, 0xF30A)
	le.PutUint16(b[2:], uint16(entries))
	le.PutUint16(b[4:], uint16(room))
	le.PutUint16(b[6:], uint16(depth))
}

// leaf makes the k-th block of extents of an inode.
func (i *Image) leaf(number uint32, k int) []byte {
	in := i.inodes[number-1]
	b := make([]byte, BlockSize)
	encodeRuns(b, in.runs[k*leafExtents:min((k+1)*leafExtents, len(in.runs))], leafExtents)
	le.PutUint32(b[BlockSize-4:], checksum(i.inodeSeed(number), b[:BlockSize-4]))
	return b
}
