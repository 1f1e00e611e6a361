package vdisk_test

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/bootc-go/bootc/internal/format/vdisk"
)

// TestQCOW2Place fails when clusters overlap, are not where they may be, or are
// counted wrong.
func TestQCOW2Place(t *testing.T) {
	const size = 1 << 16
	r := rand.New(rand.NewPCG(1, 2))
	var lengths []int64
	// Lengths aim at the ends of clusters, at which most of them arrive.
	for end := int64(0); len(lengths) < 20000; {
		n := r.Int64N(size/8) + 1
		switch room := size - end%size; r.IntN(6) {
		case 0:
			n = 0
			end = 0
		case 1:
			n = min(room, size-1)
		case 2:
			n = min(room+1, size-1)
		case 3:
			n = r.Int64N(size-1) + 1
		}
		lengths = append(lengths, n)
		end += n
	}
	offsets, refs := vdisk.QCOW2Place(lengths)
	want := make([]uint16, len(refs))
	type place struct{ start, end int64 }
	var places []place
	for i, off := range offsets {
		end := off + lengths[i]
		if lengths[i] == 0 {
			end = off + size
			if off%size != 0 {
				t.Fatalf("a cluster at %d", off)
			}
		}
		for c := off / size; c <= (end-1)/size; c++ {
			want[c]++
		}
		places = append(places, place{off, end})
	}
	if !slices.Equal(refs, want) {
		t.Error("wrong reference counts")
	}
	slices.SortFunc(places, func(a, b place) int { return int(a.start - b.start) })
	for i, p := range places[1:] {
		if p.start < places[i].end {
			t.Errorf("%d to %d overlaps %d to %d", p.start, p.end, places[i].start, places[i].end)
		}
	}
}

// TestQCOW2Refs goes over the bounds where another block or another cluster of
// the table is needed.
func TestQCOW2Refs(t *testing.T) {
	const entries, tableEntries = 32768, 8192
	for _, bound := range []int64{0, entries, 2 * entries, entries * tableEntries, 2 * entries * tableEntries} {
		for used := max(bound-20000, 1); used < bound+10; used++ {
			blocks, table := vdisk.QCOW2Refs(used)
			all := used + blocks + table
			if blocks*entries < all || table*tableEntries < blocks {
				t.Fatalf("%d blocks and %d clusters of a table are too few for %d clusters", blocks, table, used)
			}
			if (blocks-1)*entries >= all || (table-1)*tableEntries >= blocks {
				t.Fatalf("%d blocks and %d clusters of a table are too many for %d clusters", blocks, table, used)
			}
		}
	}
}
