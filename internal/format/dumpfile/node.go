package dumpfile

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/bootc-go/bootc/internal/format/tree"
	"github.com/bootc-go/bootc/internal/format/verity"
)

// node makes a node of a line that is not a hard link.
func (p *parser) node(xattrs []byte) (*tree.Node, error) {
	n := p.newNode()
	var err error
	if n.Mode, err = parseMode(p.fields[fieldMode]); err != nil {
		return nil, err
	}
	size, err := parseNumber(p.fields[fieldSize], 64)
	if err != nil {
		return nil, fmt.Errorf("size %w", err)
	}
	var rdev uint32
	for _, f := range [...]struct {
		name string
		at   int
		to   *uint32
	}{
		{"nlink", fieldNlink, &n.Nlink},
		{"uid", fieldUID, &n.UID},
		{"gid", fieldGID, &n.GID},
		{"rdev", fieldRdev, &rdev},
	} {
		v, err := parseNumber(p.fields[f.at], 32)
		if err != nil {
			return nil, fmt.Errorf("%s %w", f.name, err)
		}
		*f.to = uint32(v)
	}
	if n.Mtime, err = parseTime(p.fields[fieldMtime]); err != nil {
		return nil, err
	}
	if n.Xattrs, err = p.xattrs(xattrs); err != nil {
		return nil, err
	}
	if err := p.optional.parse(p.fields); err != nil {
		return nil, err
	}
	switch n.Type() {
	case tree.TypeRegular:
		return n, p.regular(n, size)
	case tree.TypeSymlink:
		if len(p.optional.content) > 0 || !p.optional.digest.IsZero() {
			return nil, errors.New("symbolic link with content or digest")
		}
		n.Target = string(p.optional.payload)
		return n, tree.CheckTarget(n.Target)
	case tree.TypeDir:
		n.Nlink = 0
	case tree.TypeChar, tree.TypeBlock:
		n.Rdev, n.Size = rdev, size
	default:
		n.Size = size
	}
	if n.IsWhiteout() {
		n.Size = 0
	}
	if p.optional.any() {
		return nil, errors.New("payload, content or digest on something that is no file")
	}
	return n, nil
}

// newNode returns a node from a block of many: each on its own would take a
// little more.
func (p *parser) newNode() *tree.Node {
	if len(p.nodes) == 0 {
		p.nodes = make([]tree.Node, 64)
	}
	n := &p.nodes[0]
	p.nodes = p.nodes[1:]
	return n
}

// optionals are the fields that may have no value, valid for one line.
type optionals struct {
	payload []byte
	content []byte
	digest  verity.Digest
}

func (o *optionals) any() bool {
	return len(o.payload) > 0 || len(o.content) > 0 || !o.digest.IsZero()
}

func (o *optionals) parse(fields [][]byte) (err error) {
	if o.payload, err = unescapeOptional(o.payload[:0], fields[fieldPayload]); err != nil {
		return fmt.Errorf("payload: %w", err)
	}
	if bytes.IndexByte(o.payload, 0) >= 0 {
		return errors.New("payload with a NUL byte")
	}
	if o.content, err = unescapeOptional(o.content[:0], fields[fieldContent]); err != nil {
		return fmt.Errorf("content: %w", err)
	}
	o.digest = verity.Digest{}
	if string(fields[fieldDigest]) != none {
		o.digest, err = verity.DecodeDigest(fields[fieldDigest])
	}
	return err
}

// regular fills in a regular file. Content comes before an object, and an
// empty file has none.
func (p *parser) regular(n *tree.Node, size uint64) error {
	o := &p.optional
	n.Size = size
	p.object = o.digest.AppendObjectPath(p.object[:0])
	ownPath := bytes.Equal(o.payload, p.object)
	switch {
	case size > tree.MaxSize:
		return fmt.Errorf("file of %d bytes, at most %d are possible", size, uint64(tree.MaxSize))
	case len(o.content) > 0 && uint64(len(o.content)) != size:
		return fmt.Errorf("content of %d bytes in a file of %d", len(o.content), size)
	case len(o.content) > tree.MaxContent:
		return fmt.Errorf("content of %d bytes, at most %d are possible", len(o.content), tree.MaxContent)
	case o.digest.Algorithm() == verity.SHA512 && !ownPath:
		return errors.New("payload is not the object that the digest names")
	case len(o.content) > 0 || size == 0:
		n.Content = append([]byte{}, o.content...)
		return nil
	}
	n.Object = o.digest
	switch {
	case len(o.payload) == 0 && !o.digest.IsZero():
		n.Payload = tree.NoPayload
	case !ownPath:
		n.Payload = string(o.payload)
	}
	return nil
}

func parseMode(s []byte) (uint32, error) {
	v, ok := number(s, 8, 1<<16-1)
	if !ok {
		return 0, fmt.Errorf("mode %q is not an octal number of 16 bits", s)
	}
	mode := uint32(v)
	switch mode & tree.TypeMask {
	case tree.TypeSocket, tree.TypeSymlink, tree.TypeRegular, tree.TypeBlock, tree.TypeDir, tree.TypeChar, tree.TypeFifo:
		return mode, nil
	}
	return 0, fmt.Errorf("mode %q has no file type", s)
}

func parseNumber(s []byte, bits int) (uint64, error) {
	v, ok := number(s, 10, 1<<bits-1)
	if !ok {
		return 0, fmt.Errorf("%q is not a number of %d bits", s, bits)
	}
	return v, nil
}

// number reads digits of a base, at least one. Numbers that may be too large
// are left to strconv.
func number(s []byte, base, most uint64) (v uint64, ok bool) {
	if len(s) == 0 {
		return 0, false
	}
	if len(s) > 18 {
		v, err := strconv.ParseUint(string(s), int(base), 64)
		return v, err == nil && v <= most
	}
	for _, c := range s {
		digit := uint64(c - '0')
		if digit >= base {
			return 0, false
		}
		v = v*base + digit
	}
	return v, v <= most
}

// parseTime reads seconds and nanoseconds. Seconds before 1970 are negative,
// or the same number without a sign.
func parseTime(s []byte) (t tree.Time, err error) {
	sec, nsec, ok := bytes.Cut(s, []byte("."))
	if !ok {
		return t, fmt.Errorf("time %q has no nanoseconds", s)
	}
	most := uint64(1<<64 - 1)
	digits, negative := bytes.CutPrefix(sec, []byte("-"))
	if negative {
		most = 1 << 63
	}
	v, ok := number(digits, 10, most)
	if !ok {
		return t, fmt.Errorf("time %q: seconds are not a number of 64 bits", s)
	}
	t.Sec = int64(v)
	if negative {
		t.Sec = -t.Sec
	}
	if v, ok = number(nsec, 10, 999_999_999); !ok {
		return t, fmt.Errorf("time %q: nanoseconds are not a number below 1000000000", s)
	}
	t.Nsec = uint32(v)
	return t, nil
}

// xattrs reads the extended attributes of a line. Equal ones, as labels are,
// become one list.
func (p *parser) xattrs(text []byte) ([]tree.Xattr, error) {
	if len(p.fields) == fieldCount {
		return nil, nil
	}
	if list, ok := p.lists[string(text)]; ok {
		return list, nil
	}
	list, err := parseXattrs(p.fields[fieldCount:])
	if err == nil && len(p.lists) < maxLists {
		p.lists[string(text)] = list
	}
	return list, err
}

// parseXattrs reads the extended attributes. Of a name that is there twice the
// last value counts.
func parseXattrs(fields [][]byte) ([]tree.Xattr, error) {
	if len(fields) == 0 {
		return nil, nil
	}
	all := make([]tree.Xattr, 0, len(fields))
	text := 0
	for _, f := range fields {
		if text += len(f) + 1; text > maxXattrText {
			return nil, fmt.Errorf("extended attributes of more than %d bytes of text", maxXattrText)
		}
		key, value, ok := bytes.Cut(f, []byte("="))
		if !ok {
			return nil, fmt.Errorf("extended attribute %q has no value", f)
		}
		name, err := unescape(nil, key)
		if err == nil {
			value, err = unescape(nil, value)
		}
		if err != nil {
			return nil, fmt.Errorf("extended attribute %q: %w", f, err)
		}
		all = append(all, tree.Xattr{Name: string(name), Value: string(value)})
	}
	slices.SortStableFunc(all, func(x, y tree.Xattr) int { return strings.Compare(x.Name, y.Name) })
	last := 0
	for _, x := range all[1:] {
		if x.Name != all[last].Name {
			last++
		}
		all[last] = x
	}
	all = all[:last+1]
	return all, tree.CheckXattrs(all)
}
