package vdisk

import (
	"fmt"
	"math"
)

// NewRaw writes the disk as it is, with holes where pages are zero.
func NewRaw(t Target, o Options) (Disk, error) {
	if err := o.check(math.MaxInt64); err != nil {
		return nil, fmt.Errorf("raw image: %w", err)
	}
	if err := t.Truncate(0); err != nil {
		return nil, fmt.Errorf("raw image: %w", err)
	}
	return newDisk("the raw image", o.Size, &raw{t, o.Size}), nil
}

type raw struct {
	target Target
	size   int64
}

func (r *raw) write(p []byte, off int64) error { return writeSparse(r.target, p, off) }

func (r *raw) end() error { return r.target.Truncate(r.size) }
