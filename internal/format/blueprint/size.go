package blueprint

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// sizes reads what is said about the disk.
func (b *Blueprint) sizes(c *table) {
	for _, f := range c.tables("filesystem") {
		b.rootOnly(f)
		size := f.size("minsize")
		if size == 0 {
			size = f.size("size") // what minsize was called
		}
		b.root(f, "minsize", size)
		f.end()
	}
	d := c.table("disk")
	if d == nil {
		return
	}
	if b.RootSize.Bytes != 0 {
		c.fail("disk", "cannot be used together with %s", c.key("filesystem"))
	}
	if kind := d.string("type"); kind != "" && kind != "gpt" {
		d.fail("type", "%q is not supported: only gpt is", kind)
	}
	d.refuse(map[string]string{"start_offset": "partitions begin at 1 MiB", "sector_size": "sectors have 512 bytes"})
	b.DiskSize = Size{d.key("minsize"), d.size("minsize")}
	for _, p := range d.tables("partitions") {
		b.partition(p)
	}
	d.end()
}

// partition reads a partition, which has to be the root.
func (b *Blueprint) partition(t *table) {
	if kind := t.string("type"); kind != "" && kind != "plain" {
		t.fail("type", "%q is not supported yet: only plain is", kind)
	}
	if fs := t.string("fs_type"); fs != "" && fs != "ext4" {
		t.fail("fs_type", "%q is not supported yet: only ext4 is", fs)
	}
	b.rootOnly(t)
	fixed := "it is always the same"
	t.refuse(map[string]string{
		"label": fixed, "part_type": fixed, "part_label": fixed, "part_uuid": "--seed decides it",
		"name": "volumes cannot be made yet", "logical_volumes": "volumes cannot be made yet", "subvolumes": "volumes cannot be made yet",
	})
	b.root(t, "minsize", t.size("minsize"))
	t.end()
}

// rootOnly refuses a file system that is not the root.
func (b *Blueprint) rootOnly(t *table) {
	if m := t.string("mountpoint"); m != "/" {
		t.fail("mountpoint", "%q is not supported yet: only / is", m)
	}
}

func (b *Blueprint) root(t *table, key string, size uint64) {
	switch {
	case size == 0:
		t.fail(key, "want the least size of the file system")
	case b.RootSize.Bytes != 0:
		t.fail("mountpoint", "/ is there twice")
	}
	b.RootSize = Size{t.key(key), size}
}

// size is a number of bytes, or a text with a unit; 0 if it is not there.
func (t *table) size(key string) uint64 {
	v := t.take(key)
	var size uint64
	err := fmt.Errorf("want a whole number of bytes, or a text such as \"10 GiB\"")
	if s, ok := v.(string); ok {
		size, err = parseSize(s)
	} else if n, ok := whole(v); ok && n > 0 {
		size, err = uint64(n), nil
	}
	if v != nil && err != nil {
		t.fail(key, "%w", err)
	}
	return size
}

// parseSize reads a size with a unit, which may have a fraction.
func parseSize(s string) (uint64, error) {
	number := strings.TrimRight(strings.TrimSpace(s), "kKMGTiB")
	unit := strings.TrimSpace(s)[len(number):]
	factor, ok := map[string]float64{
		"": 1, "kB": 1e3, "MB": 1e6, "GB": 1e9, "TB": 1e12, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40,
	}[unit]
	number = strings.TrimSpace(number)
	n, err := strconv.ParseFloat(number, 64)
	if err != nil || !ok || strings.Trim(number, "0123456789.") != "" {
		return 0, fmt.Errorf("size %q: want a number and kB, KiB, MB, MiB, GB, GiB, TB or TiB (bytes without a unit)", s)
	}
	n *= factor
	if n < 1 || n > math.MaxInt64/2 || n != math.Trunc(n) {
		return 0, fmt.Errorf("size %q is not a possible number of bytes", s)
	}
	return uint64(n), nil
}
