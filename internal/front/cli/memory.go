package cli

import (
	"runtime"
	"runtime/debug"
	"runtime/metrics"
)

const (
	// maxGarbage is about how much garbage may gather before it is collected.
	// What most verbs need is less, and so is collected as Go does it by itself:
	// when there is as much garbage as there is of use.
	maxGarbage = 32 << 20
	// minPercent keeps the work of collecting in proportion.
	minPercent = 8
)

// BoundGarbage bounds how much garbage gathers in the memory of this process,
// until it ends. The tree of an image with a million files takes hundreds of
// megabytes; by itself Go would let the process grow to twice that.
func BoundGarbage() {
	after := &collection{}
	runtime.AddCleanup(after, func(struct{}) {
		debug.SetGCPercent(percent(live()))
		BoundGarbage() // after the next one
	}, struct{}{})
}

// A collection is garbage from its beginning, so the next collection finds it.
// It is too large to share its memory with others.
type collection struct{ _ [64]byte }

// live returns the bytes that the last collection left.
func live() uint64 {
	s := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	metrics.Read(s)
	if s[0].Value.Kind() != metrics.KindUint64 {
		return 0
	}
	return s[0].Value.Uint64()
}

// percent returns what [debug.SetGCPercent] takes.
func percent(live uint64) int {
	if live <= maxGarbage {
		return 100
	}
	return max(minPercent, int(100*maxGarbage/live))
}
