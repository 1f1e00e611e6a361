package erofs

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strings"

	"github.com/bootc-go/bootc/internal/format/tree"
)

// tree reads all from the root on.
func (d *decoder) tree(nid uint64) (*tree.Tree, error) {
	root, err := d.inode(nid)
	if err != nil {
		return nil, err
	}
	if !root.node.IsDir() {
		return nil, errors.New("the root is not a directory")
	}
	if d.version < 2 {
		if opaque, _ := root.node.Xattr(opaqueName); opaque != "y" {
			return nil, errors.New("the root is not opaque")
		}
		root.node.RemoveXattr(opaqueName)
	}
	d.nodes[nid] = root.node
	return &tree.Tree{Root: root.node}, d.directory(&root, nid)
}

// directory reads the entries of a directory and all below it.
func (d *decoder) directory(in *raw, parent uint64) error {
	if len(d.path) >= tree.MaxDepth {
		return fmt.Errorf("more than %d directories in each other", tree.MaxDepth)
	}
	in.node.Nlink = 0
	whiteouts, stubs := false, 0
	last, dots := "", 0
	err := d.entries(in, func(e rawDirent) error {
		if e.name <= last {
			return fmt.Errorf("%q comes after %q", e.name, last)
		}
		last = e.name
		switch e.name {
		case ".":
			dots++
			if e.nid != in.nid || e.kind != kindDir {
				return errors.New(`"." is not the directory`)
			}
			return nil
		case "..":
			dots++
			if e.nid != parent || e.kind != kindDir {
				return errors.New(`".." is not the parent directory`)
			}
			return nil
		}
		d.path = append(d.path, e.name)
		n, err := d.entry(in, e)
		if err != nil {
			return err
		}
		d.path = d.path[:len(d.path)-1]
		if n == nil {
			stubs++
			return nil
		}
		in.node.SetChild(e.name, n)
		if isStubName(e.name) {
			stubs++
		}
		whiteouts = whiteouts || n.IsWhiteout()
		return nil
	})
	switch {
	case err != nil:
		return err
	case dots != 2:
		return errors.New(`"." or ".." is missing`)
	case len(d.path) == 0 && d.version < 2 && stubs != 256:
		return fmt.Errorf("%d of 256 whiteouts for the object directories", stubs)
	}
	return d.restoreDirectory(in, whiteouts)
}

// entry reads what a name leads to; of a stub it returns nothing.
func (d *decoder) entry(dir *raw, e rawDirent) (*tree.Node, error) {
	if n := d.nodes[e.nid]; n != nil {
		switch {
		case n.IsDir():
			return nil, errors.New("a directory with several names")
		case n.IsWhiteout():
			return nil, errors.New("a whiteout with several names")
		case kindOf(n.Mode) != e.kind:
			return nil, fmt.Errorf("type %d in the directory, mode %o in the inode", e.kind, n.Mode)
		}
		return n, nil
	}
	in, err := d.inode(e.nid)
	if err != nil {
		return nil, err
	}
	n := in.node
	if e.kind == 0 || kindOf(n.Mode) != e.kind {
		return nil, fmt.Errorf("type %d in the directory, mode %o in the inode", e.kind, n.Mode)
	}
	if err := d.content(&in); err != nil {
		return nil, err
	}
	if n.IsWhiteout() && d.version < 2 {
		if len(d.path) != 1 || !isStubName(e.name) {
			return nil, errors.New("a whiteout that is not for an object directory")
		}
		return nil, nil
	}
	d.nodes[e.nid] = n
	if n.IsDir() {
		sub := in // only this one outlives the call
		return n, d.directory(&sub, dir.nid)
	}
	if err := d.restore(&in); err != nil {
		return nil, err
	}
	n.Xattrs = d.interner.Xattrs(n.Xattrs)
	return n, nil
}

// content reads what a node that is no directory holds.
func (d *decoder) content(in *raw) error {
	n := in.node
	switch n.Type() {
	case tree.TypeSymlink:
		text, err := d.all(in)
		n.Target = string(text)
		if err != nil {
			return err
		}
		return tree.CheckTarget(n.Target)
	case tree.TypeRegular:
		n.Size = in.size
		if in.layout == layoutChunks {
			return d.external(in)
		}
		most := uint64(tree.MaxContent)
		if d.version == 2 {
			most = blockSize - 1
		}
		if in.size > most {
			return fmt.Errorf("content of %d bytes, at most %d are possible", in.size, most)
		}
		text, err := d.all(in)
		n.Content = append([]byte{}, text...)
		return err
	case tree.TypeChar, tree.TypeBlock:
		n.Rdev = in.u
	}
	return nil
}

func isStubName(name string) bool {
	return len(name) == 2 && strings.Trim(name, "0123456789abcdef") == ""
}

type rawDirent struct {
	name string
	nid  uint64
	kind byte
}

// entries calls f for each entry of a directory.
func (d *decoder) entries(in *raw, f func(rawDirent) error) error {
	content, err := d.all(in)
	if err != nil {
		return err
	}
	for len(content) > 0 {
		block := content[:min(len(content), blockSize)]
		content = content[len(block):]
		if err := parseBlock(block, f); err != nil {
			return err
		}
	}
	return nil
}

// parseBlock reads one block of a directory.
func parseBlock(b []byte, f func(rawDirent) error) error {
	le := binary.LittleEndian
	if len(b) < direntSize {
		return errors.New("truncated block of a directory")
	}
	first := int(le.Uint16(b[8:]))
	if first < direntSize || first%direntSize != 0 || first > len(b) {
		return fmt.Errorf("first name at offset %d of a block of %d", first, len(b))
	}
	at := first
	for i := range first / direntSize {
		h := b[direntSize*i:]
		end := len(b)
		if next := direntSize * (i + 1); next < first {
			end = int(le.Uint16(b[next+8:]))
		}
		if int(le.Uint16(h[8:])) != at || end < at || end > len(b) {
			return fmt.Errorf("name from offset %d to %d of a block of %d", at, end, len(b))
		}
		name := string(b[at:end])
		if direntSize*(i+1) == first {
			name, _, _ = strings.Cut(name, "\x00")
		}
		if name != "." && name != ".." {
			if err := tree.CheckName(name); err != nil {
				return err
			}
		}
		if err := f(rawDirent{name, le.Uint64(h[0:]), h[10]}); err != nil {
			return err
		}
		at = end
	}
	return nil
}
