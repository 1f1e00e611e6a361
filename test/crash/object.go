package crash

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/bootc-go/bootc/internal/format/erofs"
	"github.com/bootc-go/bootc/internal/format/tree"
	"github.com/bootc-go/bootc/internal/format/verity"
)

// A cache keeps what was found out about contents, by the digest of their
// sectors. It is for one goroutine.
type cache struct {
	dirs    map[digest]map[string]uint32
	objects map[digest]object
	images  map[digest][]verity.Digest
	kernels map[digest]string
	owners  []int32 // of clusters of FAT, while one state is looked at
}

func newCache() *cache {
	return &cache{
		dirs: map[digest]map[string]uint32{}, objects: map[digest]object{},
		images: map[digest][]verity.Digest{}, kernels: map[digest]string{},
	}
}

// An object is what the kernel would find of a file with fs-verity.
type object struct {
	digest verity.Digest
	err    error
}

// verity returns the digest that the kernel would measure, if each byte of the
// file verifies.
func (f *ext4fs) verity(in *inode) (verity.Digest, error) {
	if in.mode&typeMask != typeFile || in.flags&flagVerity == 0 {
		return verity.Digest{}, errors.New("fs-verity is not enabled")
	}
	sum, err := f.sum(in)
	if err != nil {
		return verity.Digest{}, err
	}
	o, ok := f.cache.objects[sum]
	if !ok {
		o.err = f.v.again(func() (err error) { o.digest, err = f.measure(in); return err })
		f.cache.objects[sum] = o
	}
	return o.digest, o.err
}

// measure computes the tree and the descriptor of a file and compares them with
// those that stand behind its end.
//
// Source: Documentation/filesystems/fsverity.rst of the Linux kernel; ext4 has the
// tree at the next multiple of 64 KiB, and the size of the descriptor in the last
// four bytes of the last block.
func (f *ext4fs) measure(in *inode) (verity.Digest, error) {
	data, err := f.content(in)
	if err != nil {
		return verity.Digest{}, err
	}
	merkle := verity.NewMerkle(verity.SHA512, in.size)
	want := make([]byte, merkle.Blocks()*verity.BlockSize)
	h := verity.New(verity.SHA512)
	h.Keep(merkle, want)
	h.Write(data)
	descriptor, sum := h.Descriptor()
	at := (in.size + verity.MetadataAlign - 1) / verity.MetadataAlign * verity.MetadataAlign
	got, err := f.read(in, at, int64(len(want)))
	if err != nil {
		return sum, err
	}
	if !bytes.Equal(got, want) {
		return sum, errors.New("its Merkle tree is not that of its content")
	}
	if len(in.extents) == 0 {
		return sum, errors.New("it has no fs-verity descriptor")
	}
	last := in.extents[len(in.extents)-1]
	end := (last.at + last.count) * blockSize
	tail, err := f.read(in, end-blockSize, blockSize)
	if err != nil {
		return sum, err
	}
	if n := binary.LittleEndian.Uint32(tail[blockSize-4:]); n != verity.DescriptorSize {
		return sum, fmt.Errorf("its fs-verity descriptor has %d bytes", n)
	}
	if !bytes.Equal(tail[:verity.DescriptorSize], descriptor[:]) {
		return sum, errors.New("its fs-verity descriptor is not that of its content")
	}
	return sum, nil
}

// objectsOf lists the objects of the files in an EROFS image.
func (f *ext4fs) objectsOf(in *inode) ([]verity.Digest, error) {
	sum, err := f.sum(in)
	if err != nil {
		return nil, err
	}
	if all, ok := f.cache.images[sum]; ok {
		return all, nil
	}
	var data []byte
	err = f.v.again(func() (err error) { data, err = f.content(in); return err })
	if err != nil {
		return nil, err
	}
	t, err := erofs.Read(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		return nil, err
	}
	seen := map[verity.Digest]bool{}
	var all []verity.Digest
	var walk func(*tree.Node)
	walk = func(n *tree.Node) {
		if !n.Object.IsZero() && !seen[n.Object] {
			seen[n.Object] = true
			all = append(all, n.Object)
		}
		for _, child := range n.Entries() {
			walk(child)
		}
	}
	walk(t.Root)
	f.cache.images[sum] = all
	return all, nil
}
