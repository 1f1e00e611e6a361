package blueprint

import (
	"fmt"
	"math"
	"path"
	"strconv"
	"strings"
)

// sizes reads what is said about the disk.
func (b *Blueprint) sizes(c *table) {
	filesystems := c.tables("filesystem")
	for _, f := range filesystems {
		b.filesystem(f)
	}
	d := c.table("disk")
	b.Divided = d != nil || len(filesystems) > 0
	if d == nil {
		return
	}
	if len(filesystems) > 0 {
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

// filesystem reads a file system of which only the place and the size are said.
func (b *Blueprint) filesystem(t *table) {
	mount := t.mount()
	key, size := "minsize", t.size("minsize")
	if size == 0 {
		if old := t.size("size"); old != 0 { // what minsize was called
			key, size = "size", old
		}
	}
	if mount == "/" {
		b.root(t, key, size)
	} else {
		b.more(t, Partition{Mount: mount, Filesystem: "ext4", Size: size})
	}
	t.end()
}

// partition reads a partition.
func (b *Blueprint) partition(t *table) {
	switch kind := t.string("type"); kind {
	case "", "plain":
	case "lvm", "btrfs":
		t.fail("type", "%q is not supported: volumes cannot be made, only plain partitions", kind)
	default:
		t.fail("type", "%q is not known", kind)
	}
	const volumes = "volumes cannot be made"
	t.refuse(map[string]string{
		"part_type": "it follows from fs_type", "part_label": "it is the label of the file system", "part_uuid": "--seed decides it",
		"name": volumes, "logical_volumes": volumes, "subvolumes": volumes,
	})
	p := Partition{Filesystem: t.string("fs_type")}
	size := t.size("minsize")
	if p.Filesystem == "swap" {
		if t.string("mountpoint") != "" {
			t.fail("mountpoint", "swap space has none")
		}
	} else {
		p.Mount = t.mount()
	}
	if p.Filesystem == "" {
		p.Filesystem = "ext4"
	}
	if p.Mount == "/" {
		if p.Filesystem != "ext4" {
			t.fail("fs_type", "%q is not supported yet for the root: only ext4 is", p.Filesystem)
		}
		t.refuse(map[string]string{"label": "that of the root is always the same"})
		b.root(t, "minsize", size)
	} else {
		p.Label, p.Size = t.string("label"), size
		b.more(t, p)
	}
	t.end()
}

// more adds a partition beside the root. What is wrong with it is told by its key.
func (b *Blueprint) more(t *table, p Partition) {
	most, known := map[string]int{"ext4": 16, "vfat": 11, "swap": 15}[p.Filesystem]
	switch {
	case !known:
		t.fail("fs_type", "%q is not supported: ext4, vfat and swap are", p.Filesystem)
	case len(p.Label) > most:
		t.fail("label", "%q has %d bytes, %s takes %d", p.Label, len(p.Label), p.Filesystem, most)
	case p.Size == 0:
		t.fail("minsize", "want the least size of the partition")
	case p.Size > 1<<50:
		t.fail("minsize", "%d bytes are too many", p.Size)
	case p.Filesystem == "ext4" && p.Size < 16<<20, p.Filesystem == "vfat" && p.Size < 34<<20, p.Size < 1<<20:
		t.fail("minsize", "%d bytes are too few for %s", p.Size, p.Filesystem)
	}
	p.Key = t.name
	b.Partitions = append(b.Partitions, p)
}

// mount is a place for a file system: the root, or below /var.
func (t *table) mount() string {
	m := t.string("mountpoint")
	switch {
	case m == "/":
	case !path.IsAbs(m) || path.Clean(m) != m || strings.ContainsAny(m, "\x00\n\t\\ #\""):
		t.fail("mountpoint", "%q is not an absolute path without dots, blanks and the like", m)
	case m == "/var":
		t.fail("mountpoint", "/var is a part of the root's file system, which all deployments share; what is below it can be a file system of its own")
	case !strings.HasPrefix(m, "/var/"):
		t.fail("mountpoint", "%s is the image's, or /etc of a deployment: only / and what is below /var can be a file system of its own", m)
	}
	return m
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
