package erofs

import (
	"bytes"
	"errors"
	"fmt"
	"strings"

	"github.com/bootc-go/bootc/internal/format/tree"
	"github.com/bootc-go/bootc/internal/format/verity"
)

// external reads where the content of a file is. The attributes for overlayfs
// become fields of the node.
func (d *decoder) external(in *raw) error {
	n := in.node
	bit := in.u&31 + 12
	chunks := uint64(0)
	if in.size > 0 {
		chunks = (in.size-1)>>bit + 1
	}
	if in.u&0xffe0 != 0 || chunks == 0 || chunks > maxChunks {
		return fmt.Errorf("file of %d bytes in %d chunks of 2^%d bytes", in.size, chunks, bit)
	}
	if !in.metacopy.ok {
		return fmt.Errorf("file of %d bytes without %s", in.size, metacopyName)
	}
	var err error
	if n.Object, err = parseMetacopy(in.metacopy.value); err != nil {
		return err
	}
	p, absolute := bytes.CutPrefix(in.redirect.value, []byte("/"))
	d.key = n.Object.AppendObjectPath(d.key[:0])
	switch {
	case in.redirect.ok && (!absolute || len(p) == 0 || bytes.IndexByte(p, 0) >= 0):
		return fmt.Errorf("%s %q is no path of an object", redirectName, in.redirect.value)
	case !in.redirect.ok && !n.Object.IsZero():
		n.Payload = tree.NoPayload
	case !bytes.Equal(p, d.key):
		n.Payload = string(p)
	}
	in.metacopy, in.redirect = optional{}, optional{}
	if d.version == 2 {
		// It has one chunk for all that has a digest, and none for the rest.
		chunks = 1
		if n.Object.IsZero() {
			chunks = 0
		}
	}
	return d.holes(in, chunks)
}

// holes checks the table of chunks.
func (d *decoder) holes(in *raw, chunks uint64) error {
	if 4*chunks > blockSize-slotSize {
		return nil // it may be in a block whose number the writer has lost
	}
	table, err := d.bytes(in.tailAt, 4*chunks)
	if err != nil {
		return err
	}
	for _, b := range table {
		if b != 0xff {
			return errors.New("a chunk that is not a hole")
		}
	}
	return nil
}

func parseMetacopy(s []byte) (verity.Digest, error) {
	if len(s) == 0 {
		return verity.Digest{}, nil
	}
	if len(s) < 4 || s[0] != 0 || int(s[1]) != len(s) || s[2] != 0 {
		return verity.Digest{}, fmt.Errorf("%s of %d bytes has an unknown form", metacopyName, len(s))
	}
	return verity.MakeDigest(verity.Algorithm(s[3]), s[4:])
}

// restore takes back what the writer rewrote in a node.
func (d *decoder) restore(in *raw) error {
	n := in.node
	if in.metacopy.ok || in.redirect.ok {
		return fmt.Errorf("%s or %s on something that has no object", metacopyName, redirectName)
	}
	escaped := false
	for i, x := range n.Xattrs {
		switch {
		case strings.HasPrefix(x.Name, escapedPrefix):
			n.Xattrs[i].Name = overlayPrefix + x.Name[len(escapedPrefix):]
			escaped = true
		case isOverlay(x):
			return fmt.Errorf("%s speaks to overlayfs where composefs does not", x.Name)
		}
	}
	if escaped {
		sortXattrs(n.Xattrs)
	}
	if d.version < 2 && n.IsRegular() && n.Size == 0 && hasEmpty(n, overlayPrefix+"whiteout") && hasEmpty(n, "user.overlay.whiteout") {
		n.RemoveXattr(overlayPrefix + "whiteout")
		n.RemoveXattr("user.overlay.whiteout")
		n.Mode = tree.TypeChar | n.Perm()
		n.Content = nil
	}
	return nil
}

func hasEmpty(n *tree.Node, name string) bool {
	v, ok := n.Xattr(name)
	return ok && v == ""
}

// restoreDirectory is restore for a directory, whose entries are known.
func (d *decoder) restoreDirectory(in *raw, whiteouts bool) error {
	n := in.node
	if err := d.restore(in); err != nil || !whiteouts || d.version >= 2 {
		return err
	}
	if !hasEmpty(n, overlayPrefix+"whiteouts") || !hasEmpty(n, "user.overlay.whiteouts") {
		return errors.New("a directory with whiteouts that does not say so")
	}
	n.RemoveXattr(overlayPrefix + "whiteouts")
	n.RemoveXattr("user.overlay.whiteouts")
	if d.version == 1 {
		n.RemoveXattr(overlayPrefix + "opaque")
		n.RemoveXattr("user.overlay.opaque")
	}
	return nil
}
