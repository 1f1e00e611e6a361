package registry

import (
	"context"
	"fmt"
	"io"

	"go.podman.io/image/v5/types"

	"github.com/bootc-go/bootc"
)

// enough is how many bytes make an attempt at the rest of a blob a success: the
// count of attempts begins anew.
const enough = 64 << 10

// A rest is how a blob goes on after its stream broke off.
type rest struct {
	ctx   context.Context // of the whole blob
	image *Image
	info  types.BlobInfo
	retry retry
	from  int64 // where the latest attempt began
	whole bool  // the registry does not give parts
}

// proceed opens the rest of the blob, after a pause. The library itself goes on
// once after some errors; what is left then comes here.
func (b *blob) proceed() error {
	_ = b.release()
	r := b.rest
	if b.got-r.from >= enough {
		r.retry.failed = 0
	}
	for err := b.broken; err != nil; {
		if err := r.retry.pause(r.ctx, err, fmt.Sprintf("going on after %d of %d bytes", b.got, b.want)); err != nil {
			return err
		}
		err = b.reopen()
	}
	b.broken, r.from = nil, b.got
	return nil
}

// reopen opens the blob where it is now: only the rest of it if the registry
// gives parts, else all of it again.
func (b *blob) reopen() error {
	r := b.rest
	b.skip = 0
	if b.got > 0 && !r.whole {
		err := b.open(func(ctx context.Context) (io.ReadCloser, int64, error) {
			body, err := openRest(ctx, r.image.src, r.info, b.got)
			return body, r.info.Size, err
		})
		if err == nil || transient(err) || tooMany(err) || denied(err) || missing(err) {
			return err
		}
		r.whole = true
		r.retry.options.Progress.Send(bootc.Notice{Text: fmt.Sprintf("registry %s does not give parts of a layer: the first %d bytes of %s are fetched again", b.explainer.host(err), b.got, b.what)})
	}
	err := b.open(func(ctx context.Context) (io.ReadCloser, int64, error) { return r.image.getBlob(ctx, r.info) })
	b.skip = b.got
	return err
}

// open asks for a body, once. The wait for each answer is bounded, and the wait
// for each Read later on.
func (b *blob) open(get func(context.Context) (io.ReadCloser, int64, error)) error {
	a := b.rest.retry.attempt(b.rest.ctx)
	body, size, err := get(a.ctx)
	if err == nil && b.want >= 0 && size >= 0 && size != b.want {
		_ = body.Close()
		err = fmt.Errorf("the registry has %d bytes of it, the manifest says %d", size, b.want)
	}
	if err != nil {
		err = a.cause(err)
		a.close()
		return err
	}
	b.body, b.stall, b.want = body, a.opened(), either(b.want, size)
	return nil
}
