package ext4

import (
	"bytes"
	"fmt"
	"io"
	"runtime"
	"sync"

	"github.com/bootc-go/bootc/internal/format/tree"
	"github.com/bootc-go/bootc/internal/format/verity"
)

const (
	// Files up to this size are read by several goroutines at once, so many
	// ahead of the one that writes.
	smallFile = 1 << 20
	ahead     = 32
	// The others are read in pieces of this size.
	pieceSize = 1 << 20
)

// A readAhead reads small files before it is their turn.
type readAhead struct {
	ready chan *content // in the order of the inodes
	quit  chan struct{}
	wg    sync.WaitGroup
}

// A content is all blocks of a small file: its data, then its fs-verity
// metadata.
type content struct {
	in   *inode
	done chan struct{}
	data []byte
	err  error
}

// isSmall reports whether a file is read ahead.
func isSmall(in *inode) bool {
	return in != nil && in.node != nil && in.node.IsRegular() && len(in.runs) > 0 && in.node.Size <= smallFile
}

// readAhead begins to read the small files of the image. stop must be called.
func (i *Image) readAhead() *readAhead {
	r := &readAhead{ready: make(chan *content, ahead), quit: make(chan struct{})}
	jobs := make(chan *content)
	r.wg.Go(func() {
		defer close(jobs)
		for _, in := range i.inodes {
			if !isSmall(in) {
				continue
			}
			c := &content{in: in, done: make(chan struct{})}
			for _, to := range []chan *content{r.ready, jobs} {
				select {
				case to <- c:
				case <-r.quit:
					return
				}
			}
		}
	})
	for range runtime.GOMAXPROCS(0) {
		r.wg.Go(func() {
			for c := range jobs {
				c.data, c.err = i.readSmall(c.in)
				close(c.done)
			}
		})
	}
	return r
}

// next waits for the contents of the next small file.
func (r *readAhead) next() ([]byte, error) {
	c := <-r.ready
	<-c.done
	return c.data, c.err
}

func (r *readAhead) stop() {
	close(r.quit)
	r.wg.Wait()
}

func (i *Image) readSmall(in *inode) ([]byte, error) {
	n := in.node
	size := blocks(n.Size) * BlockSize
	b := make([]byte, size, size+i.extraBlocks(in)*BlockSize)
	r, err := i.contents(in)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	if _, err := io.ReadFull(r, b[:n.Size]); err != nil {
		return nil, shorter(n, err)
	}
	if err := ended(n, r); err != nil {
		return nil, err
	}
	if !in.sealed {
		return b, nil
	}
	s := newSeal(in)
	s.hash.Write(b[:n.Size])
	return s.appendTo(b)
}

// extraBlocks is the size of the fs-verity metadata of a file, 0 without.
func (i *Image) extraBlocks(in *inode) uint64 {
	if !in.sealed {
		return 0
	}
	return i.metadataBlocks(in)
}

// writeFile writes data and fs-verity metadata of a regular file.
func (i *Image) writeFile(p *placer, in *inode, ready *readAhead) error {
	if isSmall(in) {
		b, err := ready.next()
		if err != nil {
			return err
		}
		return p.write(b)
	}
	n := in.node
	r, err := i.contents(in)
	if err != nil {
		return err
	}
	defer r.Close()
	var s *seal
	if in.sealed {
		s = newSeal(in)
	}
	buf := make([]byte, pieceSize)
	for left := n.Size; left > 0; {
		piece := buf[:min(left, pieceSize)]
		if _, err := io.ReadFull(r, piece); err != nil {
			return shorter(n, err)
		}
		left -= uint64(len(piece))
		if s != nil {
			s.hash.Write(piece)
		}
		if err := p.write(padded(piece)); err != nil {
			return err
		}
	}
	if err := ended(n, r); err != nil || s == nil {
		return err
	}
	b, err := s.appendTo(nil)
	if err != nil {
		return err
	}
	return p.write(b)
}

// contents opens what a file contains.
func (i *Image) contents(in *inode) (io.ReadCloser, error) {
	n := in.node
	if len(n.Content) > 0 || n.Object.IsZero() {
		return io.NopCloser(bytes.NewReader(n.Content)), nil
	}
	return i.o.Open(n, in.sealed)
}

func shorter(n *tree.Node, err error) error {
	if err == io.EOF || err == io.ErrUnexpectedEOF {
		return fmt.Errorf("the content is shorter than %d bytes", n.Size)
	}
	return err
}

// ended checks that there is nothing more to read.
func ended(n *tree.Node, r io.Reader) error {
	var one [1]byte
	switch k, err := io.ReadFull(r, one[:]); {
	case k > 0:
		return fmt.Errorf("the content is longer than %d bytes", n.Size)
	case err != io.EOF:
		return err
	}
	return nil
}

// A seal makes the fs-verity metadata of a file from its content.
type seal struct {
	hash   *verity.Hash
	want   verity.Digest
	merkle []byte
}

func newSeal(in *inode) *seal {
	d := in.node.Object
	m := verity.NewMerkle(d.Algorithm(), int64(in.node.Size))
	s := &seal{hash: verity.New(d.Algorithm()), want: d, merkle: make([]byte, m.Blocks()*BlockSize)}
	s.hash.Keep(m, s.merkle)
	return s
}

// appendTo appends Merkle tree and descriptor, after it has checked the digest.
func (s *seal) appendTo(b []byte) ([]byte, error) {
	desc, sum := s.hash.Descriptor()
	if sum != s.want {
		return nil, fmt.Errorf("the content has the digest %v", sum)
	}
	b = append(b, s.merkle...)
	last := make([]byte, BlockSize)
	copy(last, desc[:])
	le.PutUint32(last[BlockSize-4:], verity.DescriptorSize)
	return append(b, last...), nil
}
