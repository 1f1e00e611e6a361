// Package objects keeps files by their fs-verity digest: the object store of a
// composefs repository.
//
// An object is named by the digest of its content, two hex digits, a slash and
// the others. It appears under its name whole, with fs-verity enabled where the
// store has it, and never changes.
//
// It knows nothing of images, and does not decide when anything is flushed:
// before something refers to new objects, the caller flushes the file system.
//
// Invariants:
//   - no name in the store ever leads to an object that is not complete;
//   - what is under way has no name, so that a power cut leaves nothing to
//     clean; only where the file system has no O_TMPFILE it is called
//     ".tmp-object-…" beside the directories;
//   - an object that a power cut has spoiled before it was flushed (its size is
//     wrong, or a secure store finds no fs-verity on it) is replaced by the
//     next Put of it;
//   - what was put before a flush that failed is not believed, whatever is read
//     of it: see [Store.Settle];
//   - memory does not depend on the size or the number of objects, but for the
//     digests of those that are not flushed.
//
// The format is specified in docs/formats/repository.md.
package objects

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"github.com/bootc-go/bootc/internal/format/verity"
	"github.com/bootc-go/bootc/internal/linux/fsverity"
)

// ErrNotFound means that the store has no object of a digest.
var ErrNotFound = errors.New("object not found")

// Options say how a store keeps its objects.
type Options struct {
	// Algorithm is that of the digests; the zero value is SHA-512.
	Algorithm verity.Algorithm
	// Insecure stores take file systems without fs-verity; the others refuse
	// an object that the kernel does not verify.
	Insecure bool
}

// A Store is a directory of objects. Its methods may be called from several
// goroutines.
type Store struct {
	root      *os.Root
	dir       *os.File
	algorithm verity.Algorithm
	insecure  bool

	condemned sync.Map // of verity.Digest; see Condemn
	unsettled unsettled

	noVerity    atomic.Bool // an insecure store has seen that there is none
	noTmpfile   atomic.Bool
	noEmptyPath atomic.Bool   // see linkNameless
	slots       chan struct{} // bounds what batches have under way
	workers     chan struct{} // bounds what they do at a time
	buffers     sync.Pool
	hashes      sync.Pool
}

// Open opens the store in the directory root, which stays the caller's and
// must stay open.
func Open(root *os.Root, o Options) (*Store, error) {
	dir, err := root.Open(".")
	if err != nil {
		return nil, err
	}
	if o.Algorithm == 0 {
		o.Algorithm = verity.SHA512
	}
	s := &Store{root: root, dir: dir, algorithm: o.Algorithm, insecure: o.Insecure}
	s.buffers.New = func() any { b := make([]byte, bufferSize); return &b }
	s.hashes.New = func() any { return verity.New(s.algorithm) }
	s.slots, s.workers = newLimits()
	return s, nil
}

// Close releases the handle. No batch may be under way.
func (s *Store) Close() error { return s.dir.Close() }

// Has reports whether the store has the object.
func (s *Store) Has(d verity.Digest) bool {
	_, err := s.Size(d)
	return err == nil
}

// Condemn treats an object as if it were not there, because its content is not
// what its name says, until it is put again. Then it is replaced in one step by
// a file that is on disk already: after a power cut there is the old or the new
// one.
func (s *Store) Condemn(d verity.Digest) { s.condemned.Store(d, true) }

func (s *Store) isCondemned(d verity.Digest) bool {
	_, yes := s.condemned.Load(d)
	return yes
}

// Size returns the size of an object. The error is [ErrNotFound] where the
// store has none.
func (s *Store) Size(d verity.Digest) (int64, error) {
	if s.isCondemned(d) {
		return 0, fmt.Errorf("%w: %v (its content is wrong)", ErrNotFound, d)
	}
	return s.size(d)
}

// Exists reports whether there is an object, condemned or not.
func (s *Store) Exists(d verity.Digest) bool {
	_, err := s.size(d)
	return err == nil
}

func (s *Store) size(d verity.Digest) (int64, error) {
	var st unix.Stat_t
	err := unix.Fstatat(int(s.dir.Fd()), d.ObjectPath(), &st, unix.AT_SYMLINK_NOFOLLOW)
	switch {
	case errors.Is(err, unix.ENOENT):
		return 0, fmt.Errorf("%w: %v", ErrNotFound, d)
	case err != nil:
		return 0, fmt.Errorf("object %v: %w", d, err)
	case st.Mode&unix.S_IFMT != unix.S_IFREG:
		return 0, fmt.Errorf("object %v is not a regular file", d)
	}
	return st.Size, nil
}

// Open opens an object for reading. A file that has fs-verity must have the
// object's digest; one that has none is an error in a secure store, and in an
// insecure one it is up to the caller whether to trust the content: see
// [Store.Verified].
//
// The error is [ErrNotFound] where the store has none.
func (s *Store) Open(d verity.Digest) (*os.File, error) {
	if d.Algorithm() != s.algorithm {
		return nil, fmt.Errorf("%w: %v, a %v digest in a store of %v", ErrNotFound, d, d.Algorithm(), s.algorithm)
	}
	if s.isCondemned(d) {
		return nil, fmt.Errorf("%w: %v (its content is wrong)", ErrNotFound, d)
	}
	f, err := s.root.Open(d.ObjectPath())
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w: %v", ErrNotFound, d)
	}
	if err != nil {
		return nil, err
	}
	if _, err := s.Verified(f, d); err != nil {
		f.Close()
		return nil, fmt.Errorf("opening object: %w", err)
	}
	return f, nil
}

// Verified reports whether the kernel verifies the file against the digest. It
// is an error if it verifies against another one, or if it does not verify in
// a secure store.
func (s *Store) Verified(f *os.File, want verity.Digest) (bool, error) {
	if s.noVerity.Load() {
		return false, nil
	}
	got, err := fsverity.Measure(f)
	switch {
	case err == nil && got == want:
		return true, nil
	case err == nil:
		return false, fmt.Errorf("the fs-verity digest is %v, want %v", got, want)
	case s.insecure && (errors.Is(err, fsverity.ErrNotEnabled) || errors.Is(err, fsverity.ErrNotSupported)):
		return false, nil
	}
	return false, fmt.Errorf("%v: %w", want, err)
}
