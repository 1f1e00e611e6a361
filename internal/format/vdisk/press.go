package vdisk

import (
	"bytes"
	"runtime"
	"sync"
	"sync/atomic"
)

// batchSize is how many bytes of a disk are compressed together, by all
// processors. Two batches are kept.
const batchSize = 4 << 20

// deflateLevel is that of formats without a window of their own.
const deflateLevel = 5

// A packer compresses block after block, each alone. It is used by one
// goroutine at a time.
type packer interface {
	// pack appends the compressed block to dst, which is empty.
	pack(dst *bytes.Buffer, block []byte) error
}

// A press compresses the blocks of a disk on all processors and hands them on
// in their order. While a batch is compressed, the one before it is written and
// the one behind it filled. No goroutine outlives a batch.
type press struct {
	newPacker func() (packer, error)
	packers   []packer // of the batch that runs
	// write takes the blocks and what became of them, in the caller's goroutine. It
	// must not keep the bytes.
	write func(n int64, block, packed []byte) error

	filling, running *batch
}

// A batch is some blocks on their way through the press.
type batch struct {
	blocks []pressed
	used   int
	done   sync.WaitGroup
}

type pressed struct {
	n      int64
	block  []byte
	packed bytes.Buffer
	err    error
}

func newPress(blockSize int, newPacker func() (packer, error), write func(n int64, block, packed []byte) error) *press {
	return &press{
		newPacker: newPacker, write: write,
		filling: &batch{blocks: make([]pressed, batchSize/blockSize)},
		running: &batch{blocks: make([]pressed, batchSize/blockSize)},
	}
}

// put takes a copy of block n.
func (p *press) put(n int64, block []byte) error {
	b := p.filling
	e := &b.blocks[b.used]
	e.n, e.block = n, append(e.block[:0], block...)
	if b.used++; b.used < len(b.blocks) {
		return nil
	}
	return p.turn()
}

// turn starts the batch that was filled, and hands on the one that ran before.
func (p *press) turn() error {
	p.running.done.Wait()
	p.filling, p.running = p.running, p.filling
	if err := p.start(p.running); err != nil {
		return err
	}
	b := p.filling
	for i := range b.blocks[:b.used] {
		e := &b.blocks[i]
		if e.err != nil {
			return e.err
		}
		if err := p.write(e.n, e.block, e.packed.Bytes()); err != nil {
			return err
		}
	}
	b.used = 0
	return nil
}

// flush hands on all blocks.
func (p *press) flush() error {
	if err := p.turn(); err != nil {
		return err
	}
	return p.turn()
}

// start lets each processor compress the next block until there is none.
func (p *press) start(b *batch) error {
	workers := min(runtime.GOMAXPROCS(0), b.used)
	for len(p.packers) < workers {
		k, err := p.newPacker()
		if err != nil {
			return err
		}
		p.packers = append(p.packers, k)
	}
	var next atomic.Int64
	blocks := b.blocks[:b.used]
	for _, k := range p.packers[:workers] {
		b.done.Go(func() {
			for i := next.Add(1) - 1; i < int64(len(blocks)); i = next.Add(1) - 1 {
				e := &blocks[i]
				e.packed.Reset()
				e.err = k.pack(&e.packed, e.block)
			}
		})
	}
	return nil
}
