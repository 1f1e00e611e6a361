package objects

import (
	"io"
	"runtime"
	"sync"

	"github.com/bootc-go/bootc/internal/format/verity"
)

// maxPending is how many objects all batches of a store may have under way:
// 64 buffers of 256 KiB, or open files.
const maxPending = 64

func newLimits() (slots, workers chan struct{}) {
	return make(chan struct{}, maxPending), make(chan struct{}, max(2, runtime.GOMAXPROCS(0)))
}

// A Batch puts many objects. Reading and hashing happen in the caller's
// goroutine; what takes the kernel's time (writing, enabling fs-verity, which
// reads all again) happens in others.
type Batch struct {
	s  *Store
	wg sync.WaitGroup

	mu    sync.Mutex
	err   error // the first
	count Count
}

// Count says what a batch has put. Bytes are those of New.
type Count struct {
	New, Present int
	Bytes        int64
}

// Batch begins a batch. It must be ended with [Batch.Wait].
func (s *Store) Batch() *Batch { return &Batch{s: s} }

// Object is [Store.Put], except that the object may appear later. It makes a
// Batch a sink of package format/layer.
func (b *Batch) Object(r io.Reader, size int64) (verity.Digest, error) {
	if err := b.failed(); err != nil {
		return verity.Digest{}, err
	}
	b.s.slots <- struct{}{}
	p, err := b.s.take(r, size)
	if err != nil {
		<-b.s.slots
		return verity.Digest{}, err
	}
	d := p.digest
	b.wg.Go(func() {
		b.s.workers <- struct{}{}
		err := b.s.finish(p)
		b.add(p)
		p.release()
		<-b.s.workers
		<-b.s.slots
		b.fail(err)
	})
	return d, nil
}

// Wait returns when nothing is under way any more: without an error, all
// objects of the batch are in the store.
func (b *Batch) Wait() error {
	b.wg.Wait()
	return b.failed()
}

// Count returns what was put. It is complete after Wait.
func (b *Batch) Count() Count {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.count
}

func (b *Batch) add(p *pending) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if p.present {
		b.count.Present++
		return
	}
	b.count.New++
	b.count.Bytes += p.size
}

func (b *Batch) failed() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.err
}

func (b *Batch) fail(err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.err == nil {
		b.err = err
	}
}
