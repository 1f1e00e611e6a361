package boottest

import (
	"errors"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"
	"time"
)

var (
	errIO      = errors.New("input/output error")
	errNoSpace = errors.New("no space left on device")
	errNotDir  = errors.New("not a directory")
	errExist   = errors.New("directory not empty")
)

// ReadDir lists a directory.
func (f *FAT) ReadDir(name string) ([]fs.DirEntry, error) {
	c, err := f.directory(name)
	if err != nil {
		return nil, err
	}
	var all []fs.DirEntry
	for _, s := range f.slots(c) {
		all = append(all, info{s})
	}
	slices.SortFunc(all, func(a, b fs.DirEntry) int { return strings.Compare(a.Name(), b.Name()) })
	return all, nil
}

// Open opens a file or a directory.
func (f *FAT) Open(name string) (fs.File, error) {
	at, s, err := f.lookup(name)
	if err != nil {
		return nil, err
	}
	n := f.node(at, s)
	n.refs++
	return &file{f: f, n: n}, nil
}

// Create makes a file.
func (f *FAT) Create(name string) (io.WriteCloser, error) {
	at, err := f.add(name, slot{})
	if err != nil {
		return nil, err
	}
	n := f.node(at, f.disk[place(at).index()].(slot))
	n.refs++
	return &file{f: f, n: n}, nil
}

// Mkdir makes a directory.
func (f *FAT) Mkdir(name string) error {
	c, err := f.allocate()
	if err != nil {
		return err
	}
	if _, err := f.add(name, slot{dir: true, start: c}); err != nil {
		f.setLink(c, free)
		return err
	}
	f.zero(c)
	return nil
}

// Remove removes a file or an empty directory.
func (f *FAT) Remove(name string) error {
	at, s, err := f.lookup(name)
	if err != nil {
		return err
	}
	if s.dir && len(f.slots(s.start)) > 0 {
		return &fs.PathError{Op: "remove", Path: name, Err: errExist}
	}
	n := f.node(at, s)
	f.set(place(at), slot{})
	delete(f.nodes, at)
	n.orphan = true
	f.unref(n)
	return nil
}

// Rename gives a name that does not exist.
func (f *FAT) Rename(from, to string) error {
	at, s, err := f.lookup(from)
	if err != nil {
		return err
	}
	target, err := f.add(to, s)
	if err != nil {
		return err
	}
	n := f.node(at, s)
	n.slot.name = path.Base(to)
	f.move(n, target)
	f.set(place(at), slot{})
	f.unref(n)
	return nil
}

// Exchange swaps what two names lead to.
func (f *FAT) Exchange(dir, a, b string) error {
	atA, sA, err := f.lookup(path.Join(dir, a))
	if err != nil {
		return err
	}
	atB, sB, err := f.lookup(path.Join(dir, b))
	if err != nil {
		return err
	}
	x, y := f.node(atA, sA), f.node(atB, sB)
	x.slot.name, y.slot.name = sB.name, sA.name
	x.at, y.at = atB, atA
	f.nodes[atB], f.nodes[atA] = x, y
	f.update(x)
	f.update(y)
	f.unref(x)
	f.unref(y)
	return nil
}

// Flush puts everything on the disk.
func (f *FAT) Flush() error {
	if len(f.pending) > 0 && f.BeforeFlush != nil {
		f.BeforeFlush()
	}
	f.pending = map[place][]any{}
	return nil
}

// Room tells how much is free.
func (f *FAT) Room() (bytes, unit int64, err error) {
	for c := rootCluster + 1; c < f.clusters; c++ {
		if f.next(c) == free {
			bytes += ClusterSize
		}
	}
	return bytes, ClusterSize, nil
}

// file is an open file.
type file struct {
	f      *FAT
	n      *node
	offset int64
	closed bool
}

func (o *file) Stat() (fs.FileInfo, error) { return info{o.n.slot}, nil }

func (o *file) Read(p []byte) (int, error) {
	n, err := o.ReadAt(p, o.offset)
	o.offset += int64(n)
	if n > 0 {
		err = nil
	}
	return n, err
}

func (o *file) ReadAt(p []byte, offset int64) (int, error) {
	size := o.n.slot.size
	if offset >= size {
		return 0, io.EOF
	}
	chain, err := o.f.chain(o.n.slot.start, size)
	if err != nil {
		return 0, err
	}
	var data []byte
	for _, c := range chain[offset/ClusterSize:] {
		for s := range sectors {
			text, _ := o.f.disk[place{c, s}.index()].(string) // zeros, if it is no data
			data = append(data, text...)
			data = append(data, make([]byte, sectorSize-len(text))...)
		}
		if len(data) >= len(p)+ClusterSize {
			break
		}
	}
	skip := offset % ClusterSize
	data = data[skip:min(int64(len(data)), skip+size-offset)]
	n := copy(p, data)
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// Write appends, a cluster at a time.
func (o *file) Write(p []byte) (int, error) {
	written := 0
	for len(p) > 0 {
		n, err := o.append(p)
		if err != nil {
			return written, err
		}
		p, written = p[n:], written+n
	}
	return written, nil
}

func (o *file) append(p []byte) (int, error) {
	f, s := o.f, &o.n.slot
	used := int(s.size % ClusterSize)
	chain, err := f.chain(s.start, s.size)
	if err != nil {
		return 0, err
	}
	if used == 0 {
		c, err := f.allocate()
		if err != nil {
			return 0, err
		}
		if len(chain) == 0 {
			s.start = c
		} else {
			f.setLink(chain[len(chain)-1], c)
		}
		chain = append(chain, c)
		f.update(o.n)
	}
	c := chain[len(chain)-1]
	n := min(len(p), ClusterSize-used)
	for rest := p[:n]; len(rest) > 0; {
		at, in := used/sectorSize, used%sectorSize
		old, _ := f.disk[place{c, at}.index()].(string)
		k := min(len(rest), sectorSize-in)
		f.set(place{c, at}, old[:in]+string(rest[:k]))
		rest, used = rest[k:], used+k
	}
	s.size += int64(n)
	f.update(o.n)
	return n, nil
}

// Close lets go of the file.
func (o *file) Close() error {
	if o.closed {
		return fs.ErrClosed
	}
	o.closed = true
	o.n.refs--
	o.f.unref(o.n)
	return nil
}

// info describes a name.
type info struct{ s slot }

func (i info) Name() string               { return i.s.name }
func (i info) Size() int64                { return i.s.size }
func (i info) IsDir() bool                { return i.s.dir }
func (i info) ModTime() time.Time         { return time.Time{} }
func (i info) Sys() any                   { return nil }
func (i info) Type() fs.FileMode          { return i.Mode().Type() }
func (i info) Info() (fs.FileInfo, error) { return i, nil }

func (i info) Mode() fs.FileMode {
	if i.s.dir {
		return fs.ModeDir | 0o700
	}
	return 0o700
}
