package objects

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/bootc-go/bootc/internal/format/verity"
	"github.com/bootc-go/bootc/internal/linux/fsverity"
)

// bufferSize is the size up to which a content is held in memory until its
// digest is known: an object that exists already is then not written at all.
const bufferSize = 256 << 10

// Put stores what r gives and returns its digest. It reads size bytes, which
// must be there, or all if size is -1. An object that is there already is left
// alone. The object is on disk after the next [Store.Settle].
func (s *Store) Put(r io.Reader, size int64) (verity.Digest, error) {
	p, err := s.take(r, size)
	if err != nil {
		return verity.Digest{}, err
	}
	defer p.release()
	return p.digest, s.finish(p)
}

// A pending object has been read and has no name yet: its content is in a
// buffer or in a temporary file, which is open for writing.
type pending struct {
	s      *Store
	digest verity.Digest
	size   int64
	buffer *[]byte
	data   []byte
	file   *temp
	// present is set by finish for an object that was there already.
	present bool
}

func (p *pending) release() {
	if p.buffer != nil {
		p.s.buffers.Put(p.buffer)
	}
	p.file.discard()
	p.buffer, p.data, p.file = nil, nil, nil
}

// take reads a content and computes its digest.
func (s *Store) take(r io.Reader, size int64) (_ *pending, err error) {
	p := &pending{s: s, buffer: s.buffers.Get().(*[]byte)}
	defer func() {
		if err != nil {
			p.release()
		}
	}()
	want := size
	if size >= 0 {
		r = io.LimitReader(r, size)
	}
	h := s.hashes.Get().(*verity.Hash)
	h.Reset()
	defer s.hashes.Put(h)
	n, err := io.ReadFull(r, *p.buffer)
	p.data, p.size = (*p.buffer)[:n], int64(n)
	h.Write(p.data)
	switch {
	case err == io.EOF || err == io.ErrUnexpectedEOF:
		err = nil
	case err != nil:
		return nil, err
	case want != int64(n):
		if err := p.spill(r, h); err != nil {
			return nil, err
		}
	}
	if want >= 0 && p.size != want {
		return nil, fmt.Errorf("the content ends after %d of %d bytes", p.size, want)
	}
	p.digest = h.Sum()
	return p, nil
}

// spill writes what the buffer holds and all that follows to a file.
func (p *pending) spill(r io.Reader, h io.Writer) error {
	f, err := p.s.temp()
	if err != nil {
		return err
	}
	p.file = f
	buf := *p.buffer
	for n := len(p.data); ; {
		if _, err := f.Write(buf[:n]); err != nil {
			return fmt.Errorf("writing object: %w", err)
		}
		n, err = io.ReadFull(r, buf)
		_, _ = h.Write(buf[:n]) // a hash never fails
		p.size += int64(n)
		if err != nil && err != io.EOF && err != io.ErrUnexpectedEOF {
			return err
		}
		if n == 0 {
			break
		}
	}
	p.s.buffers.Put(p.buffer)
	p.buffer, p.data = nil, nil
	return nil
}

// finish gives the object its name, unless it has it already.
func (s *Store) finish(p *pending) error {
	if err := s.unsettled.failed(); err != nil {
		return err
	}
	replace := s.isCondemned(p.digest)
	switch ok, err := s.sound(p); {
	case ok:
		p.present = true
		return nil
	case err == nil:
		replace = true
	case !errors.Is(err, ErrNotFound):
		return err
	}
	if p.file == nil {
		f, err := s.temp()
		if err != nil {
			return err
		}
		p.file = f
		if _, err := io.Copy(f, bytes.NewReader(p.data)); err != nil {
			return fmt.Errorf("writing object: %w", err)
		}
	}
	if err := s.protect(p); err != nil {
		return fmt.Errorf("object %v: %w", p.digest, err)
	}
	settled := replace && s.isCondemned(p.digest)
	if settled {
		// Other objects are whole after the next flush; this one must not be
		// worse than before until then.
		if err := p.file.Sync(); err != nil {
			return fmt.Errorf("object %v: %w", p.digest, err)
		}
	}
	if err := s.name(p, replace); err != nil {
		return err
	}
	s.condemned.Delete(p.digest)
	if settled || p.present {
		return nil
	}
	return s.unsettled.add(s, p.digest)
}

// sound reports whether the store has the object in good order, as far as can
// be seen without reading it. The error is ErrNotFound if it has none.
func (s *Store) sound(p *pending) (bool, error) {
	size, err := s.Size(p.digest)
	if err != nil {
		return false, err
	}
	if size != p.size {
		return false, nil
	}
	if s.insecure {
		return true, nil
	}
	f, err := s.root.Open(p.digest.ObjectPath())
	if err != nil {
		return false, err
	}
	defer f.Close()
	got, err := fsverity.Measure(f)
	return err == nil && got == p.digest, nil
}

// protect enables fs-verity and compares the kernel's digest with ours. Where
// there is no fs-verity the file stays open for writing: nobody else has it.
func (s *Store) protect(p *pending) error {
	if s.noVerity.Load() {
		return nil
	}
	err := p.file.seal()
	if err != nil {
		return err
	}
	err = fsverity.Enable(p.file.File, s.algorithm)
	if errors.Is(err, unix.ETXTBSY) {
		// A child process of ours holds the file open for writing: a copy has
		// no other users.
		if err := s.copyTemp(p); err != nil {
			return err
		}
		err = fsverity.Enable(p.file.File, s.algorithm)
	}
	if errors.Is(err, fsverity.ErrNotSupported) && s.insecure {
		s.noVerity.Store(true)
		return nil
	}
	if err != nil {
		return err
	}
	got, err := fsverity.Measure(p.file.File)
	if err != nil {
		return err
	}
	if got != p.digest {
		return fmt.Errorf("the kernel's fs-verity digest is %v", got)
	}
	return nil
}

func (s *Store) copyTemp(p *pending) error {
	f, err := s.temp()
	if err != nil {
		return err
	}
	if _, err := io.Copy(f, io.NewSectionReader(p.file.File, 0, p.size)); err != nil {
		f.discard()
		return fmt.Errorf("writing object: %w", err)
	}
	if err := f.seal(); err != nil {
		f.discard()
		return err
	}
	p.file.discard()
	p.file = f
	return nil
}

// name links the file under the object's name.
func (s *Store) name(p *pending, replace bool) error {
	to := p.digest.ObjectPath()
	err := p.file.link(to)
	if errors.Is(err, unix.ENOENT) {
		if err := s.mkdir(to[:2]); err != nil {
			return err
		}
		err = p.file.link(to)
	}
	if errors.Is(err, unix.EEXIST) {
		if !replace {
			p.present = true // another goroutine or process was faster
			return nil
		}
		err = p.file.replace(to)
	}
	if err != nil {
		return fmt.Errorf("naming object %v: %w", p.digest, err)
	}
	return nil
}

func (s *Store) mkdir(name string) error {
	fd := int(s.dir.Fd())
	err := unix.Mkdirat(fd, name, 0o755)
	if errors.Is(err, unix.EEXIST) {
		return nil
	}
	if err == nil {
		err = unix.Fchmodat(fd, name, 0o755, 0) // whatever the umask
	}
	if err != nil {
		return fmt.Errorf("making the object directory %q: %w", name, err)
	}
	return nil
}

// A temp is a file without a name of its own, or with a temporary one.
type temp struct {
	*os.File
	s    *Store
	path string // the temporary name; empty if it has none
}

func (s *Store) temp() (*temp, error) {
	fd := int(s.dir.Fd())
	if !s.noTmpfile.Load() {
		f, err := unix.Openat(fd, ".", unix.O_TMPFILE|unix.O_RDWR|unix.O_CLOEXEC, 0o644)
		if err == nil {
			return s.newTemp(f, "")
		}
		if !errors.Is(err, unix.EOPNOTSUPP) && !errors.Is(err, unix.EISDIR) && !errors.Is(err, unix.ENOENT) {
			return nil, fmt.Errorf("making object: %w", err)
		}
		s.noTmpfile.Store(true)
	}
	name := tempName()
	f, err := unix.Openat(fd, name, unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW|unix.O_RDWR|unix.O_CLOEXEC, 0o644)
	if err != nil {
		return nil, fmt.Errorf("making object: %w", err)
	}
	return s.newTemp(f, name)
}

func tempName() string { return ".tmp-object-" + rand.Text()[:12] }

func (s *Store) newTemp(fd int, name string) (*temp, error) {
	t := &temp{File: os.NewFile(uintptr(fd), "object"), s: s, path: name}
	// Whatever the umask. To look costs less than to set.
	var st unix.Stat_t
	err := unix.Fstat(fd, &st)
	if err == nil && st.Mode&0o7777 != 0o644 {
		err = unix.Fchmod(fd, 0o644)
	}
	if err != nil {
		t.discard()
		return nil, fmt.Errorf("making object: %w", err)
	}
	return t, nil
}

// seal exchanges the handle for one that is open for reading only.
func (t *temp) seal() error {
	fd, err := unix.Open(t.proc(), unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("opening it again: %w", err)
	}
	if err := t.Close(); err != nil {
		unix.Close(fd)
		return fmt.Errorf("writing it: %w", err)
	}
	t.File = os.NewFile(uintptr(fd), "object")
	return nil
}

func (t *temp) proc() string { return "/proc/self/fd/" + strconv.Itoa(int(t.Fd())) }

// link gives the file a name that must not exist.
func (t *temp) link(to string) error {
	fd := int(t.s.dir.Fd())
	if t.path == "" {
		return t.linkNameless(to)
	}
	err := unix.Renameat2(fd, t.path, fd, to, unix.RENAME_NOREPLACE)
	if errors.Is(err, unix.EINVAL) { // a file system without it; it has hard links
		err = unix.Linkat(fd, t.path, fd, to, 0)
		if err == nil {
			err = unix.Unlinkat(fd, t.path, 0)
		}
	}
	if err == nil {
		t.path = ""
	}
	return err
}

// linkNameless names a file that has no name. By its descriptor alone older
// kernels let only CAP_DAC_READ_SEARCH do that; they say ENOENT, as for a
// directory that is missing.
func (t *temp) linkNameless(to string) error {
	fd := int(t.s.dir.Fd())
	if !t.s.noEmptyPath.Load() {
		err := unix.Linkat(int(t.Fd()), "", fd, to, unix.AT_EMPTY_PATH)
		if !errors.Is(err, unix.ENOENT) {
			return err
		}
	}
	err := unix.Linkat(unix.AT_FDCWD, t.proc(), fd, to, unix.AT_SYMLINK_FOLLOW)
	if err == nil {
		t.s.noEmptyPath.Store(true)
	}
	return err
}

// replace puts the file in the place of another in one step.
func (t *temp) replace(to string) error {
	if t.path == "" {
		name := tempName()
		if err := t.link(name); err != nil {
			return err
		}
		t.path = name
	}
	fd := int(t.s.dir.Fd())
	err := unix.Renameat(fd, t.path, fd, to)
	if err == nil {
		t.path = ""
	}
	return err
}

// discard closes the file; if it has only a temporary name, it is gone.
func (t *temp) discard() {
	if t == nil {
		return
	}
	if t.path != "" {
		unix.Unlinkat(int(t.s.dir.Fd()), t.path, 0)
	}
	t.Close()
}
