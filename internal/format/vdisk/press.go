package vdisk

import (
	"bytes"
	"runtime"
	"sync"
	"sync/atomic"
)

// batchSize is how many bytes of a disk are compressed together, by all
// processors. Two batches are kept: one is filled while the other is compressed.
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
// in their order. No goroutine outlives a batch.
type press struct {
	blockSize int
	newPacker func() (packer, error)
	// write takes the blocks and what became of them, in the caller's goroutine. It
	// must not keep the bytes.
	write func(n int64, block, packed []byte) error

	filling, running *batch
}

// A batch is some blocks on their way through the press.
type batch struct {
	blocks  []pressed
	used    int
	packers []packer
	done    sync.WaitGroup
}

type pressed struct {
	n      int64
	block  []byte
	packed bytes.Buffer
	err    error
}

func newPress(blockSize int, newPacker func() (packer, error), write func(n int64, block, packed []byte) error) *press {
	return &press{
		blockSize: blockSize, newPacker: newPacker, write: write,
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

// turn hands on the batch that runs and starts the one that was filled.
func (p *press) turn() error {
	if err := p.collect(); err != nil {
		return err
	}
	p.filling, p.running = p.running, p.filling
	return p.running.start(p.newPacker)
}

// flush hands on all blocks.
func (p *press) flush() error {
	if err := p.turn(); err != nil {
		return err
	}
	return p.collect()
}

func (p *press) collect() error {
	b := p.running
	b.done.Wait()
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

func (b *batch) start(newPacker func() (packer, error)) error {
	workers := min(runtime.GOMAXPROCS(0), b.used)
	for len(b.packers) < workers {
		k, err := newPacker()
		if err != nil {
			return err
		}
		b.packers = append(b.packers, k)
	}
	var next atomic.Int64
	blocks := b.blocks[:b.used]
	for _, k := range b.packers[:workers] {
		b.done.Go(func() {
			for i := next.Add(1); i <= int64(len(blocks)); i = next.Add(1) {
				e := &blocks[i-1]
				e.packed.Reset()
				e.err = k.pack(&e.packed, e.block)
			}
		})
	}
	return nil
}
