package images

import (
	"fmt"
	"path"
	"strings"

	"github.com/bootc-go/bootc"
	"github.com/bootc-go/bootc/internal/format/tree"
	"github.com/bootc-go/bootc/internal/format/verity"
)

// Snapshot is the repository that has one tagged image of this one and nothing
// else, as a file tree for an image of a file system: all files in it have the
// given time and are to be sealed, meta.json among them, so that it is a secure
// repository even where this one is not. What is in an object is for
// [Repository.OpenObject]; nothing is read here but what says which are needed.
func (r *Repository) Snapshot(manifest bootc.Digest, mtime tree.Time) (*tree.Node, error) {
	m, err := r.newMarker()
	if err != nil {
		return nil, err
	}
	d, ok := m.streams[manifestStream(manifest)]
	if !ok {
		return nil, fmt.Errorf("%s: %w", manifest, ErrNotFound)
	}
	if err := m.stream(d); err != nil {
		return nil, err
	}
	s := snapshot{root: &tree.Node{Mode: tree.TypeDir | 0o700, Mtime: mtime}, mtime: mtime}
	for _, name := range []string{objectsDir, imagesDir, tagsDir} {
		s.dir(name)
	}
	if err := s.addMeta(r.meta); err != nil {
		return nil, err
	}
	for dir, links := range map[string]map[string]verity.Digest{imagesDir: m.images, streamsDir: m.streams} {
		for name, d := range links {
			if m.live[d] {
				s.add(dir+"/"+name, tree.Node{Mode: tree.TypeSymlink | 0o777, Target: "../" + objectsDir + "/" + d.ObjectPath()})
			}
		}
	}
	s.add(tagName(manifest), tree.Node{Mode: tree.TypeSymlink | 0o777, Target: "../../" + manifestStream(manifest)})
	for d := range m.live {
		size, err := r.objects.Size(d)
		if err != nil {
			return nil, err
		}
		s.add(objectsDir+"/"+d.ObjectPath(), tree.Node{Mode: tree.TypeRegular | 0o644, Size: uint64(size), Object: d})
	}
	return s.root, nil
}

type snapshot struct {
	root  *tree.Node
	mtime tree.Time
}

// dir finds a directory, and makes it and those above it.
func (s *snapshot) dir(name string) *tree.Node {
	n := s.root
	for part := range strings.SplitSeq(name, "/") {
		c := n.Child(part)
		if c == nil {
			c = &tree.Node{Mode: tree.TypeDir | 0o755, Mtime: s.mtime}
			n.SetChild(part, c)
		}
		n = c
	}
	return n
}

func (s *snapshot) add(name string, n tree.Node) {
	n.Mtime = s.mtime
	s.dir(path.Dir(name)).SetChild(path.Base(name), &n)
}

func (s *snapshot) addMeta(m meta) error {
	text, err := m.text()
	if err != nil {
		return err
	}
	s.root.SetChild(metaFile, &tree.Node{
		Mode: tree.TypeRegular | 0o644, Mtime: s.mtime, Size: uint64(len(text)), Content: text, Object: verity.Sum(m.algorithm, text),
	})
	return nil
}
