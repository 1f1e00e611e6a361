package boot

import (
	"bytes"
	"io"
	"io/fs"
	"maps"
	"math"
	"path"
	"slices"
	"strings"
	"time"
)

// A Described is a volume that is not written but described: for a partition in
// a disk image. Files that are copied to it are only opened when the image is
// made of what [Described.Walk] lists. The zero value is an empty volume. It has
// endless room: whether all fits is for who makes the file system to say.
type Described struct{ top describedNode }

// A describedNode is a directory or a file.
type describedNode struct {
	name     string
	children map[string]*describedNode // of a directory, by name in lower case
	file     *File
}

// Walk calls f for everything on the volume, a directory before what is in it,
// names in byte order. The file of a directory is nil.
func (d *Described) Walk(f func(name string, file *File)) { d.top.walk("", f) }

func (n *describedNode) walk(prefix string, f func(string, *File)) {
	for _, c := range n.sorted() {
		f(prefix+c.name, c.file)
		c.walk(prefix+c.name+"/", f)
	}
}

func (n *describedNode) sorted() []*describedNode {
	return slices.SortedFunc(maps.Values(n.children), func(a, b *describedNode) int { return strings.Compare(a.name, b.name) })
}

// find returns what has a name, nil if nothing has. FAT does not tell upper from
// lower case.
func (d *Described) find(name string) *describedNode {
	n := &d.top
	for part := range strings.SplitSeq(path.Clean(name), "/") {
		if part == "." {
			continue
		}
		if n = n.children[strings.ToLower(part)]; n == nil {
			return nil
		}
	}
	return n
}

func (d *Described) add(name string, file *File) error {
	parent := d.find(path.Dir(name))
	key := strings.ToLower(path.Base(name))
	switch {
	case parent == nil:
		return &fs.PathError{Op: "create", Path: name, Err: fs.ErrNotExist}
	case parent.children[key] != nil:
		return &fs.PathError{Op: "create", Path: name, Err: fs.ErrExist}
	case parent.children == nil:
		parent.children = map[string]*describedNode{}
	}
	parent.children[key] = &describedNode{name: path.Base(name), file: file}
	return nil
}

// Put makes a file of a description.
func (d *Described) Put(name string, f File) error { return d.add(name, &f) }

// Mkdir makes a directory.
func (d *Described) Mkdir(name string) error { return d.add(name, nil) }

// Create makes a file whose content is kept in memory.
func (d *Described) Create(name string) (io.WriteCloser, error) {
	w := &describedWriter{file: &File{}}
	return w, d.add(name, w.file)
}

type describedWriter struct {
	bytes.Buffer
	file *File
}

func (w *describedWriter) Close() error {
	data := w.Bytes()
	*w.file = File{Size: int64(len(data)), Open: func() (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(data)), nil
	}}
	return nil
}

// ReadDir lists a directory.
func (d *Described) ReadDir(name string) ([]fs.DirEntry, error) {
	n := d.find(name)
	if n == nil {
		return nil, &fs.PathError{Op: "readdir", Path: name, Err: fs.ErrNotExist}
	}
	var all []fs.DirEntry
	for _, c := range n.sorted() {
		all = append(all, fs.FileInfoToDirEntry(describedInfo{c}))
	}
	return all, nil
}

// Open opens a file from its begin, or a directory.
func (d *Described) Open(name string) (fs.File, error) {
	n := d.find(name)
	if n == nil {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	}
	if n.file == nil {
		return describedFile{n, io.NopCloser(strings.NewReader(""))}, nil
	}
	r, err := n.file.Open()
	return describedFile{n, r}, err
}

// Remove removes a file or an empty directory.
func (d *Described) Remove(name string) error {
	n := d.find(name)
	if n == nil {
		return &fs.PathError{Op: "remove", Path: name, Err: fs.ErrNotExist}
	}
	if len(n.children) > 0 {
		return &fs.PathError{Op: "remove", Path: name, Err: fs.ErrInvalid}
	}
	delete(d.find(path.Dir(name)).children, strings.ToLower(n.name))
	return nil
}

// Rename gives a name that does not exist to a directory.
func (d *Described) Rename(from, to string) error {
	n := d.find(from)
	if n == nil {
		return &fs.PathError{Op: "rename", Path: from, Err: fs.ErrNotExist}
	}
	if err := d.Mkdir(to); err != nil {
		return err
	}
	delete(d.find(path.Dir(from)).children, strings.ToLower(n.name))
	*d.find(to) = describedNode{path.Base(to), n.children, n.file}
	return nil
}

// Exchange swaps two names in one directory.
func (d *Described) Exchange(dir, a, b string) error {
	x, y := d.find(path.Join(dir, a)), d.find(path.Join(dir, b))
	if x == nil || y == nil {
		return &fs.PathError{Op: "exchange", Path: path.Join(dir, a), Err: fs.ErrNotExist}
	}
	x.children, y.children = y.children, x.children
	x.file, y.file = y.file, x.file
	return nil
}

// Flush does nothing.
func (d *Described) Flush() error { return nil }

// Room is endless.
func (d *Described) Room() (free, unit int64, err error) { return math.MaxInt64 / 2, 4096, nil }

type describedFile struct {
	n *describedNode
	io.ReadCloser
}

func (f describedFile) Stat() (fs.FileInfo, error) { return describedInfo{f.n}, nil }

type describedInfo struct{ n *describedNode }

func (i describedInfo) Name() string { return i.n.name }

func (i describedInfo) Size() int64 {
	if i.n.file == nil {
		return 0
	}
	return i.n.file.Size
}

func (i describedInfo) Mode() fs.FileMode {
	if i.n.file == nil {
		return fs.ModeDir | 0o700
	}
	return 0o700
}

func (i describedInfo) ModTime() time.Time { return time.Time{} }
func (i describedInfo) IsDir() bool        { return i.n.file == nil }
func (i describedInfo) Sys() any           { return nil }
