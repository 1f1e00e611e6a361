package install

import (
	"fmt"

	"github.com/bootc-go/bootc"
	"github.com/bootc-go/bootc/internal/content/images"
)

// checkRoom refuses an image whose layers, as they come, do not fit on the root
// that the plan makes: before anything is fetched or erased. What they take
// unpacked is not known yet. The error is a [*images.RoomError].
func (p *Plan) checkRoom() error {
	if p.Layout == nil {
		return nil
	}
	var needed int64
	seen := map[bootc.Digest]bool{}
	for _, b := range p.source.Layers() {
		if b.Digest == "" || !seen[b.Digest] {
			needed += max(b.Size, 0)
		}
		seen[b.Digest] = true
	}
	if free := int64(p.Layout.Root().Size); needed > free {
		return fmt.Errorf("%s: %w", p.Layout.Device, &images.RoomError{Free: free, Needed: needed})
	}
	return nil
}
