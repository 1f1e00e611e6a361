package registry

import (
	"errors"
	"fmt"
	"io"

	"github.com/bootc-go/bootc/internal/content/images"
)

// A blob is a layer's or config's stream that knows how long it must be. What
// comes from a registry and breaks off goes on where it was.
type blob struct {
	body      io.ReadCloser // nil after a break
	what      string
	want, got int64  // want is -1 if unknown
	stall     *stall // nil for a local source
	explainer explainer

	rest   *rest // nil for a local source
	skip   int64 // bytes of body that were read before the break
	broken error // why body is of no use any more
	err    error // what Read returns, for good
}

// truncated is the end of a stream before its time.
type truncated struct {
	what      string
	want, got int64
}

func (t *truncated) Error() string {
	if t.want < 0 {
		return fmt.Sprintf("%s is truncated after %d bytes", t.what, t.got)
	}
	return fmt.Sprintf("%s is truncated: %d of %d bytes", t.what, t.got, t.want)
}

func (b *blob) Read(p []byte) (int, error) {
	for b.err == nil {
		if b.broken != nil {
			if err := b.proceed(); err != nil {
				b.err = b.explainer.explain(err)
				break
			}
		}
		n, err := b.read(p)
		b.got += int64(n)
		switch {
		case b.want >= 0 && b.got > b.want:
			n = max(0, n-int(b.got-b.want))
			b.err = &images.WrongBytesError{Err: fmt.Errorf("%s is longer than its %d bytes", b.what, b.want)}
		case err == nil:
		case b.got == b.want, b.want < 0 && errors.Is(err, io.EOF):
			b.err = io.EOF
		default:
			b.fail(err)
		}
		if n > 0 || err == nil {
			return n, b.err
		}
	}
	return 0, b.err
}

// read reads what comes next, not what was read before a break.
func (b *blob) read(p []byte) (int, error) {
	for {
		if b.stall != nil {
			b.stall.start()
		}
		n, err := b.body.Read(p)
		if b.stall != nil {
			b.stall.stop()
			err = b.stall.cause(err)
		}
		seen := int(min(b.skip, int64(n)))
		b.skip -= int64(seen)
		if n = copy(p, p[seen:n]); n > 0 || err != nil || seen == 0 {
			return n, err
		}
	}
}

// fail ends the blob, or this body of it.
func (b *blob) fail(err error) {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		err = &truncated{b.what, b.want, b.got}
	}
	var short *truncated
	switch {
	case b.rest != nil && b.want >= 0 && transient(err):
		b.broken = err
	case b.rest == nil && errors.As(err, &short):
		b.err = err
	default:
		b.err = b.explainer.explain(err)
	}
}

func (b *blob) Close() error {
	err := b.release()
	if err != nil {
		return fmt.Errorf("closing %s: %w", b.what, err)
	}
	return nil
}

func (b *blob) release() error {
	if b.body == nil {
		return nil
	}
	err := b.body.Close()
	b.body = nil
	if b.stall != nil {
		b.stall.close()
	}
	return err
}
