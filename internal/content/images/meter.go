package images

import (
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/bootc-go/bootc"
)

// A meter counts what a pull has moved and tells about it.
type meter struct {
	p   bootc.Progress
	now func() time.Time

	mu   sync.Mutex
	e    bootc.Bytes
	open []*bootc.BytesSubtask // layers under way
	told time.Time
}

// tellEvery is how often counts are told while bytes arrive.
const tellEvery = 50 * time.Millisecond

func newMeter(p bootc.Progress, now func() time.Time) *meter {
	return &meter{p: p, now: now, e: bootc.Bytes{Task: "pulling", ID: "composefs-pull", Description: "Pulling image"}}
}

// begin tells how much there is to do: which layers are here already.
func (m *meter) begin(blobs []Blob, cached []bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for n, b := range blobs {
		size := uint64(max(b.Size, 0))
		if cached[n] {
			m.e.StepsCached++
			m.e.Cached += size
		} else {
			m.e.StepsTotal++
			m.e.Total += size
		}
	}
	m.tell()
}

// uncached takes back that a layer is here already.
func (m *meter) uncached(b Blob) {
	m.mu.Lock()
	defer m.mu.Unlock()
	size := uint64(max(b.Size, 0))
	m.e.StepsCached--
	m.e.Cached -= size
	m.e.StepsTotal++
	m.e.Total += size
}

// layer begins a layer; what is read through the reader counts.
func (m *meter) layer(id bootc.Digest, size int64, r io.Reader) *metered {
	m.mu.Lock()
	defer m.mu.Unlock()
	t := &bootc.BytesSubtask{Subtask: "composefs_layer", ID: string(id), Description: "layer " + id.Short(), Total: uint64(max(size, 0))}
	m.open = append(m.open, t)
	return &metered{m, t, r}
}

// done tells that the pull is over.
func (m *meter) done() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.e.Done = true
	m.tell()
}

// tell sends the counts; the lock is held, so that events come in order.
func (m *meter) tell() {
	m.told = m.now()
	e := m.e
	for _, t := range m.open {
		e.Subtasks = append(e.Subtasks, *t)
	}
	m.p.Send(e)
}

// metered is a layer under way.
type metered struct {
	m *meter
	t *bootc.BytesSubtask
	r io.Reader
}

func (l *metered) Read(p []byte) (int, error) {
	n, err := l.r.Read(p)
	l.m.mu.Lock()
	defer l.m.mu.Unlock()
	l.m.e.Bytes += uint64(n)
	l.t.Bytes += uint64(n)
	if n > 0 && l.m.now().Sub(l.m.told) >= tellEvery {
		l.m.tell()
	}
	return n, err
}

// again tells that a layer is fetched anew, and why.
func (m *meter) again(id bootc.Digest, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.p.Send(bootc.Notice{Text: fmt.Sprintf("layer %s: %v; fetching it again", id.Short(), err)})
}

// end ends the layer; it counts as a step if it is kept. What was moved in vain
// stays counted.
func (l *metered) end(kept bool) {
	l.m.mu.Lock()
	defer l.m.mu.Unlock()
	for i, t := range l.m.open {
		if t == l.t {
			l.m.open = append(l.m.open[:i:i], l.m.open[i+1:]...)
			break
		}
	}
	if kept {
		l.m.e.Steps++
		l.m.tell()
	} else if l.m.e.Total > 0 {
		l.m.e.Total += l.t.Bytes
	}
}
