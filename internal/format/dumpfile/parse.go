package dumpfile

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/bootc-go/bootc/internal/format/tree"
)

const (
	// maxLine bounds a line. It has room for the deepest path and the largest
	// extended attributes with every byte escaped.
	maxLine = 4 << 20
	// maxLists bounds how many lists of attributes are kept to be found again.
	maxLists = 1 << 12
)

// Parse reads a dump. An error names the line.
func Parse(r io.Reader) (*tree.Tree, error) {
	p := &parser{
		in:    bufio.NewReaderSize(r, 1<<16),
		links: links{home: map[*tree.Node]string{}, byNode: map[*tree.Node]*link{}},
		lists: map[string][]tree.Xattr{},
	}
	for {
		line, err := p.line()
		if err == io.EOF {
			break
		}
		if err != nil {
			return nil, err
		}
		p.number++
		if err := p.add(line); err != nil {
			return nil, fmt.Errorf("line %d: %w", p.number, err)
		}
	}
	if p.tree == nil {
		return nil, errors.New("the dump is empty")
	}
	if err := p.links.resolve(p.tree); err != nil {
		return nil, err
	}
	return p.tree, nil
}

// A parser takes line by line. What it needs for one line it uses again for the
// next: a dump may have millions.
type parser struct {
	in     *bufio.Reader
	buf    []byte // a line that is longer than in's buffer
	number int
	tree   *tree.Tree
	links  links

	// The directory of the last line: mostly that of the next one too.
	dirPath []byte
	dir     *tree.Node

	fields   [][]byte
	path     []byte
	optional optionals
	object   []byte                  // path of an object
	nodes    []tree.Node             // made in advance
	lists    map[string][]tree.Xattr // by their text
}

// line returns the next line without its end; it is valid until the next call.
func (p *parser) line() ([]byte, error) {
	p.buf = p.buf[:0]
	for {
		part, err := p.in.ReadSlice('\n')
		if err == nil && len(p.buf) == 0 {
			return part[:len(part)-1], nil
		}
		p.buf = append(p.buf, part...)
		switch {
		case len(p.buf) > maxLine:
			return nil, fmt.Errorf("line %d: more than %d bytes", p.number+1, maxLine)
		case err == nil:
			return p.buf[:len(p.buf)-1], nil
		case err == io.EOF && len(p.buf) > 0:
			return p.buf, nil
		case !errors.Is(err, bufio.ErrBufferFull):
			return nil, err
		}
	}
}

// add takes one line.
func (p *parser) add(line []byte) error {
	if i := bytes.IndexByte(line, 0); i >= 0 {
		return fmt.Errorf("NUL byte at position %d", i)
	}
	xattrs := p.split(line)
	if len(p.fields) < fieldCount {
		return fmt.Errorf("%d fields, at least %d are needed", len(p.fields), fieldCount)
	}
	var err error
	if p.path, err = unescape(p.path[:0], p.fields[fieldPath]); err != nil {
		return fmt.Errorf("path: %w", err)
	}
	if string(p.path) == "/" {
		return p.addRoot(xattrs)
	}
	parent, name, err := p.parent(p.path)
	if err != nil {
		return err
	}
	if parent.Child(name) != nil {
		return fmt.Errorf("%q is there already", p.path)
	}
	if mode, ok := bytes.CutPrefix(p.fields[fieldMode], []byte("@")); ok {
		return p.addLink(parent, name, mode)
	}
	n, err := p.node(xattrs)
	if err != nil {
		return fmt.Errorf("%q: %w", p.path, err)
	}
	if n.IsDir() && bytes.Count(p.path, []byte("/")) >= tree.MaxDepth {
		return fmt.Errorf("more than %d directories in each other", tree.MaxDepth)
	}
	parent.SetChild(name, n)
	return nil
}

// split cuts a line into fields. It returns the text of those that hold the
// extended attributes.
func (p *parser) split(line []byte) (xattrs []byte) {
	p.fields = p.fields[:0]
	for {
		i := bytes.IndexByte(line, ' ')
		if i < 0 {
			p.fields = append(p.fields, line)
			return xattrs
		}
		p.fields = append(p.fields, line[:i])
		line = line[i+1:]
		if len(p.fields) == fieldCount {
			xattrs = line
		}
	}
}

func (p *parser) addRoot(xattrs []byte) error {
	if p.tree != nil {
		return errors.New("a second root")
	}
	n, err := p.node(xattrs)
	if err != nil {
		return err
	}
	if !n.IsDir() {
		return fmt.Errorf("the root is not a directory, its mode is %o", n.Mode)
	}
	p.tree = &tree.Tree{Root: n}
	return nil
}

// parent finds the directory of an absolute path, which must be there.
func (p *parser) parent(path []byte) (dir *tree.Node, name string, err error) {
	if p.tree == nil {
		return nil, "", errors.New("the first line is not the root")
	}
	i := bytes.LastIndexByte(path, '/')
	if i < 0 || path[0] != '/' {
		return nil, "", fmt.Errorf("%q is not an absolute path", path)
	}
	name = string(path[i+1:])
	if err := tree.CheckName(name); err != nil {
		return nil, "", err
	}
	if p.dir == nil || !bytes.Equal(p.dirPath, path[:i]) {
		p.dirPath, p.dir = append(p.dirPath[:0], path[:i]...), lookup(p.tree, string(path[:i]))
	}
	if p.dir == nil {
		return nil, "", fmt.Errorf("the directory of %q is missing", path)
	}
	if !p.dir.IsDir() {
		return nil, "", fmt.Errorf("%q lies below something that is not a directory", path)
	}
	return p.dir, name, nil
}

// lookup returns the node at a canonical path, nil if there is none; "" is the
// root.
func lookup(t *tree.Tree, path string) *tree.Node {
	n := t.Root
	for path != "" && n != nil {
		name := path[1:]
		path = ""
		if i := strings.IndexByte(name, '/'); i >= 0 {
			name, path = name[:i], name[i:]
		}
		n = n.Child(name)
	}
	return n
}
