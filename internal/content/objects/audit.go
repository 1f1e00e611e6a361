package objects

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"runtime"
	"sync"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"github.com/bootc-go/bootc/internal/format/verity"
	"github.com/bootc-go/bootc/internal/linux/fsverity"
)

// A Fault is what is wrong with an object.
type Fault int

// The faults.
const (
	Unreadable Fault = iota + 1 // it cannot be opened or read
	WrongBytes                  // its content has another digest
	NoVerity                    // a secure store finds no fs-verity on it
)

// A Finding is a fault of one object. Detail says more: the digest that its
// content has, or the error.
type Finding struct {
	Fault  Fault
	Detail string
}

// An Audit reads objects whole and compares them with their digests, each once.
// Readers and hashing share all cores. What has fs-verity is only read: the
// kernel compares, and what the page cache has of it is read again from disk.
type Audit struct {
	s      *Store
	tokens chan struct{} // bounds the buffers that wait to be hashed
	wg     sync.WaitGroup

	mu      sync.Mutex
	claimed map[verity.Digest]bool
	found   map[verity.Digest]Finding
}

// auditPending is how many buffers of bufferSize an audit may have under way.
const auditPending = 64

// Audit begins an audit. It must be ended with [Audit.All] or [Audit.Wait].
func (s *Store) Audit() *Audit {
	return &Audit{
		s: s, tokens: make(chan struct{}, auditPending),
		claimed: map[verity.Digest]bool{}, found: map[verity.Digest]Finding{},
	}
}

// claim reports whether the caller is the first who wants an object.
func (a *Audit) claim(d verity.Digest) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.claimed[d] {
		return false
	}
	a.claimed[d] = true
	return true
}

// cause is the text of an error without the path, which the finding is about.
func cause(err error) string {
	if p := (*fs.PathError)(nil); errors.As(err, &p) {
		return p.Err.Error()
	}
	return err.Error()
}

func (a *Audit) report(d verity.Digest, f Fault, detail string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if _, known := a.found[d]; !known {
		a.found[d] = Finding{f, detail}
	}
}

// Open opens an object for a caller who reads it anyway. What it reads is
// hashed elsewhere; Close reads what is left. A content that is wrong is found,
// and given all the same. The error is [ErrNotFound] where there is no object.
func (a *Audit) Open(d verity.Digest) (io.ReadCloser, error) {
	f, err := a.s.openFast(d)
	if err != nil {
		if !errors.Is(err, ErrNotFound) {
			a.report(d, Unreadable, cause(err))
		}
		return nil, err
	}
	first := a.claim(d)
	if !first {
		return f, nil
	}
	r := &audited{File: f, a: a, d: d}
	if !a.kernel(f, d) {
		r.hash = make(chan *[]byte, 2)
		a.wg.Go(func() { a.compare(d, r.hash) })
	}
	return r, nil
}

// kernel reports whether reading the file is all that it takes: the kernel
// verifies it, or it is known already that something is wrong.
func (a *Audit) kernel(f *os.File, d verity.Digest) bool {
	if a.s.noVerity.Load() {
		return false
	}
	got, err := fsverity.Measure(f)
	switch {
	case err == nil && got == d:
		// Only what comes from the disk is verified again.
		_ = unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED)
		return true
	case err == nil:
		a.report(d, WrongBytes, got.String())
		return true
	case !a.s.insecure:
		a.report(d, NoVerity, err.Error())
	case errors.Is(err, fsverity.ErrNotSupported):
		a.s.noVerity.Store(true) // nor is it for any other object
	}
	return false
}

// openFast opens an object in one system call. What is not a regular file does
// not make it wait.
func (s *Store) openFast(d verity.Digest) (*os.File, error) {
	how := unix.OpenHow{
		Flags:   unix.O_RDONLY | unix.O_CLOEXEC | unix.O_NONBLOCK,
		Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS,
	}
	for {
		fd, err := unix.Openat2(int(s.dir.Fd()), d.ObjectPath(), &how)
		switch {
		case errors.Is(err, unix.EINTR) || errors.Is(err, unix.EAGAIN):
			continue
		case errors.Is(err, unix.ENOENT):
			return nil, fmt.Errorf("%w: %v", ErrNotFound, d)
		case errors.Is(err, unix.ENOSYS) || errors.Is(err, unix.EPERM): // an old kernel, or a sandbox
			return s.root.Open(d.ObjectPath())
		case err != nil:
			return nil, fmt.Errorf("object %v: %w", d, err)
		}
		return os.NewFile(uintptr(fd), d.ObjectPath()), nil
	}
}

// compare hashes what comes and compares it.
func (a *Audit) compare(d verity.Digest, in <-chan *[]byte) {
	h := a.s.hashes.Get().(*verity.Hash)
	defer a.s.hashes.Put(h)
	h.Reset()
	for b := range in {
		h.Write(*b)
		*b = (*b)[:bufferSize]
		a.s.buffers.Put(b)
		<-a.tokens
	}
	a.judge(d, h)
}

func (a *Audit) judge(d verity.Digest, h *verity.Hash) {
	if got := h.Sum(); got != d {
		a.report(d, WrongBytes, got.String())
	}
}

// audited is an object that is being read.
type audited struct {
	*os.File
	a    *Audit
	d    verity.Digest
	hash chan *[]byte // nil if the kernel compares
	buf  *[]byte      // what is not yet handed on
	n    int
	end  bool
}

func (r *audited) Read(p []byte) (int, error) {
	n, err := r.File.Read(p)
	r.end = r.end || err != nil
	if err != nil && err != io.EOF {
		r.a.report(r.d, Unreadable, cause(err))
	}
	if r.hash != nil {
		r.take(p[:n])
	}
	return n, err
}

// take copies bytes for the one who hashes.
func (r *audited) take(p []byte) {
	for len(p) > 0 {
		if r.buf == nil {
			r.a.tokens <- struct{}{}
			r.buf, r.n = r.a.s.buffers.Get().(*[]byte), 0
		}
		n := copy((*r.buf)[r.n:], p)
		r.n += n
		p = p[n:]
		if r.n == bufferSize {
			r.pass()
		}
	}
}

func (r *audited) pass() {
	if r.buf == nil {
		return
	}
	*r.buf = (*r.buf)[:r.n]
	r.hash <- r.buf
	r.buf = nil
}

// Close reads the rest, so that the whole object is compared.
func (r *audited) Close() error {
	if !r.end {
		_, _ = io.Copy(io.Discard, struct{ io.Reader }{r}) // errors are reported
	}
	if r.hash != nil {
		r.pass()
		close(r.hash)
	}
	return r.File.Close()
}

// All checks all objects of a list that were not opened, and waits.
func (a *Audit) All(ctx context.Context, objects []verity.Digest) error {
	defer a.wg.Wait()
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(max(2, runtime.GOMAXPROCS(0)))
	for _, d := range objects {
		if a.claim(d) {
			g.Go(func() error {
				if ctx.Err() == nil {
					a.check(d)
				}
				return ctx.Err()
			})
		}
	}
	return g.Wait()
}

// check reads and compares one object.
func (a *Audit) check(d verity.Digest) {
	f, err := a.s.openFast(d)
	if err != nil {
		a.report(d, Unreadable, cause(err))
		return
	}
	defer f.Close()
	h := a.s.hashes.Get().(*verity.Hash)
	defer a.s.hashes.Put(h)
	h.Reset()
	w := io.Writer(h)
	kernel := a.kernel(f, d)
	if kernel {
		w = io.Discard
	}
	b := a.s.buffers.Get().(*[]byte)
	defer a.s.buffers.Put(b)
	if _, err := io.CopyBuffer(struct{ io.Writer }{w}, struct{ io.Reader }{f}, *b); err != nil {
		a.report(d, Unreadable, cause(err))
	} else if !kernel {
		a.judge(d, h)
	}
}

// Wait returns when what was closed is compared.
func (a *Audit) Wait() { a.wg.Wait() }

// Findings returns what is wrong, by digest. It is complete after All or Wait.
func (a *Audit) Findings() map[verity.Digest]Finding {
	a.mu.Lock()
	defer a.mu.Unlock()
	return maps.Clone(a.found)
}
