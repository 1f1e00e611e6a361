package crash

import (
	"bytes"
	"crypto/sha512"
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

// An object is what is known of a file with fs-verity.
type object struct {
	claims verity.Digest // what the kernel measures: the digest of the descriptor
	is     verity.Digest // of its content
	err    error         // tree or descriptor are not those of the content
}

// whole reports whether each byte of the object verifies.
func (o object) whole() error {
	if o.err == nil && o.claims != o.is {
		return fmt.Errorf("the fs-verity digest of its content is %v", o.is)
	}
	return o.err
}

// verity looks at a file with fs-verity. It is an error if it is none.
func (f *ext4fs) verity(in *inode) (object, error) {
	if in.mode&typeMask != typeFile || in.flags&flagVerity == 0 {
		return object{}, errors.New("fs-verity is not enabled")
	}
	sum, err := f.sum(in)
	if err != nil {
		return object{}, err
	}
	o, ok := f.cache.objects[sum]
	if !ok {
		o.err = f.v.again(func() error { return f.measure(in, &o) })
		f.cache.objects[sum] = o
	}
	return o, nil
}

// measures reports whether a file has a digest, and each byte of it verifies.
func (f *ext4fs) measures(in *inode, want func(verity.Digest) bool) error {
	o, err := f.verity(in)
	if err == nil {
		err = o.whole()
	}
	if err == nil && !want(o.is) {
		err = fmt.Errorf("its fs-verity digest is %v", o.is)
	}
	return err
}

// measure computes the tree and the descriptor of a file and compares them with
// those that stand behind its end.
//
// Source: Documentation/filesystems/fsverity.rst of the Linux kernel; ext4 has the
// tree at the next multiple of 64 KiB, and the size of the descriptor in the last
// four bytes of the last block.
func (f *ext4fs) measure(in *inode, o *object) error {
	data, err := f.content(in)
	if err != nil {
		return err
	}
	merkle := verity.NewMerkle(verity.SHA512, in.size)
	want := make([]byte, merkle.Blocks()*verity.BlockSize)
	h := verity.New(verity.SHA512)
	h.Keep(merkle, want)
	h.Write(data)
	descriptor, sum := h.Descriptor()
	o.is = sum
	if len(in.extents) == 0 {
		return errors.New("it has no fs-verity descriptor")
	}
	last := in.extents[len(in.extents)-1]
	end := (last.at + last.count) * blockSize
	tail, err := f.read(in, end-blockSize, blockSize)
	if err != nil {
		return err
	}
	if n := binary.LittleEndian.Uint32(tail[blockSize-4:]); n != verity.DescriptorSize {
		return fmt.Errorf("its fs-verity descriptor has %d bytes", n)
	}
	if o.claims, err = verity.ParseDigest(fmt.Sprintf("%x", sha512.Sum512(tail[:verity.DescriptorSize]))); err != nil {
		return err
	}
	if !bytes.Equal(tail[:verity.DescriptorSize], descriptor[:]) {
		return errors.New("its fs-verity descriptor is not that of its content")
	}
	at := (in.size + verity.MetadataAlign - 1) / verity.MetadataAlign * verity.MetadataAlign
	got, err := f.read(in, at, int64(len(want)))
	if err == nil && !bytes.Equal(got, want) {
		err = errors.New("its Merkle tree is not that of its content")
	}
	return err
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
