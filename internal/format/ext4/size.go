package ext4

import "github.com/bootc-go/bootc/internal/format/tree"

const (
	mebi    = 1 << 20
	minSize = 16 * mebi // where the search for a size begins, in bytes
	maxSize = 1 << 43   // and where it ends
)

// Size returns the size of a file system that has hardly more room than the tree
// needs, in whole MiB, for one that stays as it is. It takes the size in the options
// for nothing. It fails as [New] does.
func Size(t *tree.Tree, o Options) (int64, error) {
	i, err := newImage(t, o)
	if err != nil {
		return 0, err
	}
	size := int64(minSize)
	for err = i.layOut(size); err != nil; err = i.layOut(size) {
		if size *= 2; size > maxSize {
			return 0, err
		}
	}
	// A smaller one has less metadata, so that there is room again.
	small := int64(0)
	for {
		next := (int64(i.geo.blocks)*BlockSize - i.Free() + mebi - 1) / mebi * mebi
		if next >= size {
			return size, nil
		}
		if i.layOut(next) != nil {
			small = next
			break
		}
		size = next
	}
	for size-small > max(mebi, size/256) {
		if next := (small + size) / 2 / mebi * mebi; i.layOut(next) == nil {
			size = next
		} else {
			small = next
		}
	}
	return size, nil
}
