package layer

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/bootc-go/bootc/internal/format/tree"
	"github.com/bootc-go/bootc/internal/format/verity"
)

const blockSize = 512

// Read reads one uncompressed layer tar to its end. rec may be nil.
//
// Errors name the entry: see [EntryError].
func Read(r io.Reader, sink Sink, rec Recorder, l Limits) (*Layer, error) {
	p := &parser{r: r, sink: sink, rec: rec, limits: l.withDefaults()}
	if rec == nil {
		p.rec = discard{}
	}
	layer := &Layer{}
	for {
		e, err := p.next()
		if err == io.EOF {
			return layer, nil
		}
		if err != nil {
			return nil, err
		}
		if e == nil {
			continue
		}
		if len(layer.Entries) == p.limits.Entries {
			return nil, fmt.Errorf("the layer has more than %d entries", p.limits.Entries)
		}
		if p.metadata += e.size(); p.metadata > p.limits.Metadata {
			return nil, fmt.Errorf("the layer has more than %d bytes of names, attributes and small files", p.limits.Metadata)
		}
		layer.Entries = append(layer.Entries, *e)
	}
}

// A Recorded is a tar that was read before: where the content of a larger file
// stands, Object gives its digest instead.
type Recorded interface {
	io.Reader
	Object(size int64) (verity.Digest, error)
}

// ReadRecorded reads a layer that was kept by a [Recorder].
func ReadRecorded(r Recorded, l Limits) (*Layer, error) {
	return Read(r, recorded{r}, nil, l)
}

// recorded is the sink of a layer whose contents are kept already.
type recorded struct{ r Recorded }

func (s recorded) Object(_ io.Reader, size int64) (verity.Digest, error) { return s.r.Object(size) }

type discard struct{}

func (discard) Inline([]byte) error                 { return nil }
func (discard) External(verity.Digest, int64) error { return nil }

// A parser reads headers and contents in their order.
type parser struct {
	r      io.Reader
	sink   Sink
	rec    Recorder
	limits Limits

	block    [blockSize]byte
	nodes    []tree.Node // made in advance
	interner tree.Interner
	ext      extension // of the next entry
	metadata int64     // bytes kept so far
}

// size returns the bytes that the entry keeps in memory, without what is the
// same for all.
func (e *Entry) size() int64 {
	n := int64(len(e.Path))
	if e.Link != nil {
		return n + int64(len(*e.Link))
	}
	for _, x := range e.Node.Xattrs {
		n += int64(len(x.Name) + len(x.Value) + 32)
	}
	return n + int64(len(e.Node.Target)+len(e.Node.Content))
}

// next returns the next entry, nil for a header that only says something about
// the one that follows, io.EOF at the end of the archive.
func (p *parser) next() (*Entry, error) {
	if err := p.readBlock(); err != nil {
		return nil, p.atEnd(err)
	}
	if p.block == ([blockSize]byte{}) {
		return nil, p.trailer()
	}
	h, err := parseHeader(&p.block)
	if err != nil {
		return nil, &EntryError{h.name, err}
	}
	switch h.typeflag {
	case 'x', 'g', 'L', 'K':
		if err := p.readExtension(h); err != nil {
			return nil, &EntryError{h.name, err}
		}
		return nil, nil
	}
	x := p.ext
	p.ext = extension{}
	if err := x.apply(&h); err != nil {
		return nil, &EntryError{h.name, err}
	}
	e, err := p.entry(h)
	if err != nil {
		return nil, &EntryError{h.name, err}
	}
	return e, nil
}

// atEnd turns the end of the stream between two entries into the end of the
// archive.
func (p *parser) atEnd(err error) error {
	if err == io.EOF && p.ext.seen {
		return errors.New("the archive ends after an extension header")
	}
	if err == io.ErrUnexpectedEOF {
		return errors.New("the archive ends in the middle of a header")
	}
	return err
}

// trailer reads the second block of zeros and what pads the last record.
func (p *parser) trailer() error {
	if p.ext.seen {
		return errors.New("the archive ends after an extension header")
	}
	err := p.readBlock()
	if err != nil {
		return p.atEnd(err)
	}
	if p.block != ([blockSize]byte{}) {
		return errors.New("a block of zeros in the middle of the archive")
	}
	buf := make([]byte, 32<<10)
	for {
		n, err := p.r.Read(buf)
		if n > 0 {
			if err := p.rec.Inline(buf[:n]); err != nil {
				return err
			}
		}
		if err != nil {
			return err
		}
	}
}

func (p *parser) readBlock() error {
	if _, err := io.ReadFull(p.r, p.block[:]); err != nil {
		return err
	}
	return p.rec.Inline(p.block[:])
}

// readData reads content that is kept in memory, and its padding.
func (p *parser) readData(size int64) ([]byte, error) {
	data := make([]byte, size)
	if _, err := io.ReadFull(p.r, data); err != nil {
		return nil, truncated(err)
	}
	if err := p.rec.Inline(data); err != nil {
		return nil, err
	}
	return data, p.padding(size)
}

func (p *parser) padding(size int64) error {
	n := int(-size & (blockSize - 1))
	if n == 0 {
		return nil
	}
	if _, err := io.ReadFull(p.r, p.block[:n]); err != nil {
		return truncated(err)
	}
	return p.rec.Inline(p.block[:n])
}

func truncated(err error) error {
	if err == io.EOF || err == io.ErrUnexpectedEOF {
		return errors.New("the archive ends in the middle of it")
	}
	return err
}

// entry makes an entry of a header and reads its content.
func (p *parser) entry(h header) (*Entry, error) {
	path, err := cleanPath(h.name)
	if err != nil {
		return nil, err
	}
	e := &Entry{Path: path}
	n := p.newNode()
	n.Mode, n.UID, n.GID, n.Mtime = h.mode&0o7777, h.uid, h.gid, h.mtime
	n.Xattrs = p.interner.Xattrs(h.xattrs)
	kind, ok := fileType(h.typeflag)
	switch {
	case !ok:
		return nil, fmt.Errorf("type %q is not supported", h.typeflag)
	case kind != tree.TypeRegular && h.size != 0:
		return nil, fmt.Errorf("type %q with a content of %d bytes", h.typeflag, h.size)
	case path == "" && kind != tree.TypeDir:
		return nil, errors.New("the root is not a directory")
	}
	n.Mode |= kind
	switch kind {
	case 0:
		link, err := cleanPath(h.linkname)
		if err != nil {
			return nil, fmt.Errorf("target of the hard link: %w", err)
		}
		e.Link = &link
		return e, nil
	case tree.TypeRegular:
		err = p.content(n, h.size)
	case tree.TypeSymlink:
		n.Target = h.linkname
		if n.Target == "" || strings.IndexByte(n.Target, 0) >= 0 || len(n.Target) > 4095 {
			err = fmt.Errorf("symbolic link with a text of %d bytes, it must have 1 to 4095 and no NUL", len(n.Target))
		}
	case tree.TypeChar, tree.TypeBlock:
		n.Rdev = h.minor&0xff | h.major<<8 | (h.minor&^0xff)<<12
	}
	e.Node = n
	return e, err
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

// fileType returns the type bits of an entry, 0 for a hard link.
func fileType(typeflag byte) (kind uint32, ok bool) {
	switch typeflag {
	case '0', 0, '7':
		return tree.TypeRegular, true
	case '1':
		return 0, true
	case '2':
		return tree.TypeSymlink, true
	case '3':
		return tree.TypeChar, true
	case '4':
		return tree.TypeBlock, true
	case '5':
		return tree.TypeDir, true
	case '6':
		return tree.TypeFifo, true
	}
	return 0, false
}

func (p *parser) content(n *tree.Node, size int64) (err error) {
	n.Size = uint64(size)
	if size <= InlineMax {
		n.Content, err = p.readData(size)
		return err
	}
	content := &content{r: p.r, left: size}
	n.Object, err = p.sink.Object(content, size)
	if err != nil {
		return truncated(err)
	}
	if _, kept := p.sink.(recorded); !kept && content.left > 0 {
		return fmt.Errorf("internal error: %d of %d bytes were not read", content.left, size)
	}
	if err := p.rec.External(n.Object, size); err != nil {
		return err
	}
	return p.padding(size)
}

// content gives the bytes of one file, neither more nor, without an error,
// less.
type content struct {
	r    io.Reader
	left int64
}

func (c *content) Read(p []byte) (int, error) {
	if c.left == 0 {
		return 0, io.EOF
	}
	n, err := c.r.Read(p[:min(int64(len(p)), c.left)])
	c.left -= int64(n)
	switch {
	case err == io.EOF && c.left > 0:
		err = io.ErrUnexpectedEOF
	case err == io.EOF && n > 0:
		err = nil
	}
	return n, err
}

// readExtension reads a header that says something about the next entry.
func (p *parser) readExtension(h header) error {
	if h.size > int64(p.limits.Extension-p.ext.size) {
		return fmt.Errorf("extension headers of more than %d bytes", p.limits.Extension)
	}
	data, err := p.readData(h.size)
	if err != nil {
		return err
	}
	p.ext.size += len(data)
	if h.typeflag == 'g' { // says something about all that follows; nothing that we use
		return nil
	}
	p.ext.seen = true
	switch h.typeflag {
	case 'L':
		p.ext.gnuName = string(bytes.TrimRight(data, "\x00"))
	case 'K':
		p.ext.gnuLink = string(bytes.TrimRight(data, "\x00"))
	case 'x':
		return p.ext.parsePAX(data)
	}
	return nil
}

// cleanPath makes a path relative to the root, without "." and doubled
// slashes.
func cleanPath(name string) (string, error) {
	if name == "" {
		return "", errors.New("empty path")
	}
	if strings.IndexByte(name, 0) >= 0 {
		return "", fmt.Errorf("path %s has a NUL byte", quote(name))
	}
	if len(name) > maxPath {
		return "", fmt.Errorf("path of %d bytes, at most %d are allowed", len(name), maxPath)
	}
	var parts []string
	for part := range strings.SplitSeq(name, "/") {
		switch {
		case part == "" || part == ".":
		case part == "..":
			return "", fmt.Errorf("path %s has a .. component", quote(name))
		case len(part) > tree.MaxName:
			return "", fmt.Errorf("path %s has a component of %d bytes, at most %d are allowed", quote(name), len(part), tree.MaxName)
		default:
			parts = append(parts, part)
		}
	}
	if len(parts) > maxDepth {
		return "", fmt.Errorf("path of %d components, at most %d are allowed", len(parts), maxDepth)
	}
	return strings.Join(parts, "/"), nil
}
