package registry

import (
	"errors"
	"fmt"
	"io"
)

// A blob is a layer's or config's stream that knows how long it must be.
type blob struct {
	body      io.ReadCloser
	what      string
	want, got int64  // want is -1 if unknown
	stall     *stall // nil for a local source
	explainer explainer
	err       error // the first one, for good
}

func newBlob(body io.ReadCloser, what string, want int64, s *stall, e explainer) *blob {
	return &blob{body: body, what: what, want: want, stall: s, explainer: e}
}

func (b *blob) Read(p []byte) (int, error) {
	if b.err != nil {
		return 0, b.err
	}
	if b.stall != nil {
		b.stall.start()
	}
	n, err := b.body.Read(p)
	if b.stall != nil {
		b.stall.stop()
		err = b.stall.cause(err)
	}
	b.got += int64(n)
	switch {
	case b.want >= 0 && b.got > b.want:
		n = max(0, n-int(b.got-b.want))
		err = fmt.Errorf("%s is longer than its %d bytes", b.what, b.want)
	case err == nil:
		return n, nil
	case errors.Is(err, io.EOF) && (b.want < 0 || b.got == b.want):
		err = io.EOF
	case errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF):
		err = b.truncated()
	default:
		err = b.explainer.explain(err)
	}
	b.err = err
	return n, err
}

func (b *blob) truncated() error {
	if b.want < 0 {
		return fmt.Errorf("%s is truncated after %d bytes", b.what, b.got)
	}
	return fmt.Errorf("%s is truncated: %d of %d bytes", b.what, b.got, b.want)
}

func (b *blob) Close() error {
	err := b.body.Close()
	if b.stall != nil {
		b.stall.close()
	}
	if err != nil {
		return fmt.Errorf("closing %s: %w", b.what, err)
	}
	return nil
}
