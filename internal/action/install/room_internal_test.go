package install

import (
	"errors"
	"testing"

	"github.com/bootc-go/bootc/internal/content/images"
	"github.com/bootc-go/bootc/internal/content/images/imagestest"
	"github.com/bootc-go/bootc/internal/machine/storage"
)

// keep makes an image of package imagestest a source that can be closed.
type keep struct{ *imagestest.Image }

func (keep) Close() error { return nil }

func TestRoom(t *testing.T) {
	img := imagestest.New(imagestest.Options{}, imagestest.Layer{Entries: imagestest.Base()}, imagestest.Layer{Entries: imagestest.Base()})
	size := uint64(img.Blobs[0].Size)
	if img.Blobs[0] != img.Blobs[1] {
		t.Fatal("the two layers are not the same")
	}
	plan := func(root uint64) *Plan {
		return &Plan{source: keep{img}, Layout: &storage.Plan{Device: "/dev/vdz", Partitions: []storage.Partition{{Size: 1 << 30}, {Size: root}}}}
	}
	var room *images.RoomError
	if err := plan(size - 1).checkRoom(); !errors.As(err, &room) || room.Free != int64(size-1) || room.Needed != int64(size) {
		t.Errorf("a root that is too small: %v", err)
	}
	if err := plan(size).checkRoom(); err != nil {
		t.Errorf("a root that is large enough: %v", err)
	}
	if err := (&Plan{source: keep{img}}).checkRoom(); err != nil {
		t.Errorf("a plan that only fills a machine: %v", err)
	}
}
