package registry

import (
	"context"
	"io"
	"reflect"
	"testing"

	"go.podman.io/image/v5/types"
)

type (
	chunk      struct{ Offset, Length uint64 }
	otherChunk struct{ From, Length uint64 }
	likeDocker struct{}
	likeNone   struct{}
	likeOther  struct{}
	likeNew    struct{}
)

func (likeDocker) GetBlobAt(context.Context, types.BlobInfo, []chunk) (chan io.ReadCloser, chan error, error) {
	return nil, nil, io.ErrNoProgress
}

func (likeOther) GetBlobAt(context.Context, types.BlobInfo, []otherChunk) (chan io.ReadCloser, chan error, error) {
	panic("called with what it does not know")
}

func (likeNew) GetBlobAt(context.Context, types.BlobInfo, uint64) (io.ReadCloser, error) {
	panic("called with what it does not know")
}

// TestRestOf: only a method of the known form is called. That the library has it
// is for TestResume to find out.
func TestRestOf(t *testing.T) {
	for _, tt := range []struct {
		src  any
		want bool
	}{{likeDocker{}, true}, {likeNone{}, false}, {likeOther{}, false}, {likeNew{}, false}} {
		chunks, ok := restOf(reflect.ValueOf(tt.src).MethodByName("GetBlobAt"), 5)
		if ok != tt.want {
			t.Errorf("restOf of %T = %v, want %v", tt.src, ok, tt.want)
		}
		if ok && chunks.Interface().([]chunk)[0] != (chunk{5, 1<<64 - 1}) {
			t.Errorf("restOf = %v", chunks)
		}
	}
}
