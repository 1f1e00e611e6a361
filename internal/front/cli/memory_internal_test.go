package cli

import (
	"runtime"
	"testing"
)

func TestPercent(t *testing.T) {
	for _, c := range []struct {
		live uint64
		want int
	}{{0, 100}, {32 << 20, 100}, {64 << 20, 50}, {128 << 20, 25}, {10 << 30, minPercent}} {
		if got := percent(c.live); got != c.want {
			t.Errorf("percent(%d MiB) = %d, want %d", c.live>>20, got, c.want)
		}
	}
}

func TestLive(t *testing.T) {
	runtime.GC()
	if got := live(); got == 0 {
		t.Error("the runtime does not tell how much of the heap is of use")
	}
}
