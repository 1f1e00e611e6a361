package dumpfile

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/bootc-go/bootc/internal/format/tree"
	"github.com/bootc-go/bootc/internal/format/verity"
)

// parseNode makes a node of a line that is not a hard link.
func parseNode(fields []string) (*tree.Node, error) {
	n := &tree.Node{}
	var err error
	if n.Mode, err = parseMode(fields[fieldMode]); err != nil {
		return nil, err
	}
	size, err := parseNumber("size", fields[fieldSize], 64)
	if err != nil {
		return nil, err
	}
	var rdev uint32
	for _, f := range []struct {
		name string
		at   int
		to   *uint32
	}{
		{"nlink", fieldNlink, &n.Nlink},
		{"uid", fieldUID, &n.UID},
		{"gid", fieldGID, &n.GID},
		{"rdev", fieldRdev, &rdev},
	} {
		v, err := parseNumber(f.name, fields[f.at], 32)
		if err != nil {
			return nil, err
		}
		*f.to = uint32(v)
	}
	if n.Mtime, err = parseTime(fields[fieldMtime]); err != nil {
		return nil, err
	}
	if n.Xattrs, err = parseXattrs(fields[fieldCount:]); err != nil {
		return nil, err
	}
	o, err := parseOptionals(fields)
	if err != nil {
		return nil, err
	}
	switch n.Type() {
	case tree.TypeRegular:
		return n, o.regular(n, size)
	case tree.TypeSymlink:
		if o.content != "" || !o.digest.IsZero() {
			return nil, errors.New("symbolic link with content or digest")
		}
		n.Target = o.payload
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
	if o != (optionals{}) {
		return nil, errors.New("payload, content or digest on something that is no file")
	}
	return n, nil
}

// optionals are the fields that may have no value.
type optionals struct {
	payload string
	content string
	digest  verity.Digest
}

func parseOptionals(fields []string) (o optionals, err error) {
	if o.payload, err = unescapeOptional(fields[fieldPayload]); err != nil {
		return o, fmt.Errorf("payload: %w", err)
	}
	if strings.IndexByte(o.payload, 0) >= 0 {
		return o, errors.New("payload with a NUL byte")
	}
	if o.content, err = unescapeOptional(fields[fieldContent]); err != nil {
		return o, fmt.Errorf("content: %w", err)
	}
	if fields[fieldDigest] != none {
		if o.digest, err = verity.ParseDigest(fields[fieldDigest]); err != nil {
			return o, err
		}
	}
	return o, nil
}

// regular fills in a regular file. Content comes before an object, and an
// empty file has none.
func (o optionals) regular(n *tree.Node, size uint64) error {
	n.Size = size
	switch {
	case size > tree.MaxSize:
		return fmt.Errorf("file of %d bytes, at most %d are possible", size, uint64(tree.MaxSize))
	case o.content != "" && uint64(len(o.content)) != size:
		return fmt.Errorf("content of %d bytes in a file of %d", len(o.content), size)
	case len(o.content) > tree.MaxContent:
		return fmt.Errorf("content of %d bytes, at most %d are possible", len(o.content), tree.MaxContent)
	case o.digest.Algorithm() == verity.SHA512 && o.payload != o.digest.ObjectPath():
		return errors.New("payload is not the object that the digest names")
	case o.content != "" || size == 0:
		n.Content = []byte(o.content)
		return nil
	}
	n.Object = o.digest
	switch {
	case o.payload == "" && !o.digest.IsZero():
		n.Payload = tree.NoPayload
	case o.payload != o.digest.ObjectPath():
		n.Payload = o.payload
	}
	return nil
}

func parseMode(s string) (uint32, error) {
	v, err := strconv.ParseUint(s, 8, 16)
	if err != nil {
		return 0, fmt.Errorf("mode %q is not an octal number of 16 bits", s)
	}
	mode := uint32(v)
	switch mode & tree.TypeMask {
	case tree.TypeSocket, tree.TypeSymlink, tree.TypeRegular, tree.TypeBlock, tree.TypeDir, tree.TypeChar, tree.TypeFifo:
		return mode, nil
	}
	return 0, fmt.Errorf("mode %q has no file type", s)
}

func parseNumber(what, s string, bits int) (uint64, error) {
	v, err := strconv.ParseUint(s, 10, bits)
	if err != nil {
		return 0, fmt.Errorf("%s %q is not a number of %d bits", what, s, bits)
	}
	return v, nil
}

// parseTime reads seconds and nanoseconds. Seconds before 1970 are negative,
// or the same number without a sign.
func parseTime(s string) (t tree.Time, err error) {
	sec, nsec, ok := strings.Cut(s, ".")
	if !ok {
		return t, fmt.Errorf("time %q has no nanoseconds", s)
	}
	if digits, negative := strings.CutPrefix(sec, "-"); negative {
		var v uint64
		if v, err = strconv.ParseUint(digits, 10, 64); err == nil && v > 1<<63 {
			err = strconv.ErrRange
		}
		t.Sec = -int64(v)
	} else {
		var v uint64
		v, err = strconv.ParseUint(sec, 10, 64)
		t.Sec = int64(v)
	}
	if err != nil {
		return t, fmt.Errorf("time %q: seconds are not a number of 64 bits", s)
	}
	v, err := strconv.ParseUint(nsec, 10, 32)
	if err != nil || v >= 1e9 {
		return t, fmt.Errorf("time %q: nanoseconds are not a number below 1000000000", s)
	}
	t.Nsec = uint32(v)
	return t, nil
}

// parseXattrs reads the extended attributes. Of a name that is there twice the
// last value counts.
func parseXattrs(fields []string) ([]tree.Xattr, error) {
	if len(fields) == 0 {
		return nil, nil
	}
	all := make([]tree.Xattr, 0, len(fields))
	text := 0
	for _, f := range fields {
		if text += len(f) + 1; text > maxXattrText {
			return nil, fmt.Errorf("extended attributes of more than %d bytes of text", maxXattrText)
		}
		key, value, ok := strings.Cut(f, "=")
		if !ok {
			return nil, fmt.Errorf("extended attribute %q has no value", f)
		}
		name, err := unescape(key)
		if err == nil {
			value, err = unescape(value)
		}
		if err != nil {
			return nil, fmt.Errorf("extended attribute %q: %w", f, err)
		}
		all = append(all, tree.Xattr{Name: name, Value: value})
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
