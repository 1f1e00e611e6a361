package ext4

import (
	"cmp"
	"fmt"
	"slices"
)

// An allocator gives out blocks in ascending order, around what is reserved.
type allocator struct {
	blocks   uint64
	reserved []extent
	next     int    // the first of reserved that is not behind cursor
	cursor   uint64 // everything before it is in use
	ahead    uint64 // blocks of reserved after the cursor
}

func newAllocator(g *geometry) allocator {
	a := allocator{blocks: g.blocks, reserved: g.reserved()}
	for _, r := range a.reserved {
		a.ahead += r.blocks
	}
	return a
}

// take gives out blocks; in several pieces where something reserved is between.
func (a *allocator) take(n uint64) ([]extent, error) {
	if free := a.blocks - a.used(); n > free {
		return nil, fmt.Errorf("the file system is too small: %d KiB are free, %d KiB needed", free*4, n*4)
	}
	var got []extent
	for n > 0 {
		end := a.blocks
		if a.next < len(a.reserved) {
			r := a.reserved[a.next]
			if end = r.start; end == a.cursor {
				a.cursor = r.end()
				a.ahead -= r.blocks
				a.next++
				continue
			}
		}
		e := extent{a.cursor, min(n, end-a.cursor)}
		got = append(got, e)
		a.cursor += e.blocks
		n -= e.blocks
	}
	return got, nil
}

// used counts the blocks that are in use or reserved.
func (a *allocator) used() uint64 { return a.cursor + a.ahead }

// inGroup counts the blocks of a group that are in use or reserved, and calls
// mark, unless it is nil, for each run of them.
func (a *allocator) inGroup(start, size uint64, mark func(from, blocks uint64)) (used uint64) {
	count := func(e extent) {
		from, to := max(e.start, start), min(e.end(), start+size)
		if from >= to {
			return
		}
		used += to - from
		if mark != nil {
			mark(from-start, to-from)
		}
	}
	count(extent{0, a.cursor})
	rest := a.reserved[a.next:]
	k, _ := slices.BinarySearchFunc(rest, start, func(r extent, start uint64) int { return cmp.Compare(r.end(), start) })
	for ; k < len(rest) && rest[k].start < start+size; k++ {
		count(rest[k])
	}
	return used
}
