package images

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/bootc-go/bootc/internal/format/tree"
	"github.com/bootc-go/bootc/internal/format/verity"
)

// OpenObject opens an object. In a secure repository the kernel verifies what
// is read; in another one the content is what the disk gives.
func (r *Repository) OpenObject(d verity.Digest) (*os.File, error) { return r.objects.Open(d) }

// OpenFile opens the content of a regular file of an image. What the kernel
// does not verify is hashed: where it is not what the image says, the last Read
// is an error instead of io.EOF. What comes from an object is an [io.ReaderAt] too;
// where it is hashed, what that one reads is believed only once Read has come to
// the end.
func (r *Repository) OpenFile(n *tree.Node) (io.ReadCloser, error) {
	if !n.IsRegular() {
		return nil, errors.New("not a regular file")
	}
	if n.Object.IsZero() {
		return io.NopCloser(bytes.NewReader(n.Content)), nil
	}
	return r.openContent(n.Object)
}

// ReadFile reads the whole content of a regular file of an image.
func (r *Repository) ReadFile(n *tree.Node) ([]byte, error) {
	f, err := r.OpenFile(n)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(f)
}

// openContent opens an object so that a wrong content is noticed.
func (r *Repository) openContent(d verity.Digest) (io.ReadCloser, error) {
	f, err := r.objects.Open(d)
	if err != nil {
		return nil, err
	}
	ok, err := r.objects.Verified(f, d)
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	if ok {
		return f, nil
	}
	return &hashed{f: f, h: verity.New(d.Algorithm()), want: d}, nil
}

// hashed is a file whose content is compared with its digest at the end.
type hashed struct {
	f    *os.File
	h    *verity.Hash
	want verity.Digest
	end  error // of what was read to its end
}

func (f *hashed) Read(p []byte) (int, error) {
	if f.end != nil {
		return 0, f.end
	}
	n, err := f.f.Read(p)
	f.h.Write(p[:n])
	if err == io.EOF {
		if got := f.h.Sum(); got != f.want {
			err = fmt.Errorf("object %v has the content of %v", f.want, got)
		}
		f.end = err
	}
	return n, err
}

func (f *hashed) ReadAt(p []byte, off int64) (int, error) { return f.f.ReadAt(p, off) }

func (f *hashed) Close() error { return f.f.Close() }

// check compares the content of an open file with its digest, by the kernel or
// by reading it.
func (r *Repository) check(f *os.File, want verity.Digest) error {
	ok, err := r.objects.Verified(f, want)
	if err != nil || ok {
		return err
	}
	h := verity.New(want.Algorithm())
	if _, err := io.Copy(h, f); err != nil {
		return err
	}
	if got := h.Sum(); got != want {
		return fmt.Errorf("its content has the fs-verity digest %v", got)
	}
	_, err = f.Seek(0, io.SeekStart)
	return err
}

// put keeps what write writes, of any size.
func (r *Repository) put(write func(io.Writer) error) (verity.Digest, error) {
	in, out := io.Pipe()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		b := bufio.NewWriterSize(out, 256<<10)
		err := write(b)
		if err == nil {
			err = b.Flush()
		}
		out.CloseWithError(err) // nil is io.EOF
	}()
	d, err := r.objects.Put(in, -1)
	in.CloseWithError(err) // ends the goroutine if Put stopped early
	<-ended
	return d, err
}
