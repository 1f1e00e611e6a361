package images

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"

	"github.com/bootc-go/bootc/internal/format/verity"
	"github.com/bootc-go/bootc/internal/linux/dir"
)

// A ref is a link below images/refs or streams/refs: what keeps something.
type ref struct {
	name   string // its path, "streams/refs/oci/tag"
	target string // the name that it leads to in images or streams
}

// contents lists the links in images or streams by their names, and the
// objects that they lead to. Names that begin with a dot are leftovers, and a
// link that leads elsewhere is an error.
func (r *Repository) contents(parent string) (map[string]verity.Digest, error) {
	entries, err := dir.ReadDir(r.root, parent)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	all := map[string]verity.Digest{}
	for _, e := range entries {
		if e.IsDir() || strings.HasPrefix(e.Name(), ".") {
			continue
		}
		if all[e.Name()], err = r.linked(parent + "/" + e.Name()); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// refs lists the links below the directory refs of images or streams, in
// order.
func (r *Repository) refs(dir string) ([]ref, error) {
	var all []ref
	err := fs.WalkDir(r.root.FS(), dir+"/refs", func(name string, e fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) && name == dir+"/refs" {
			return nil
		}
		if err != nil || e.IsDir() || strings.HasPrefix(e.Name(), ".") {
			return err
		}
		text, err := r.root.Readlink(name)
		if err != nil {
			return fmt.Errorf("%s is not a link: %w", name, err)
		}
		to := path.Join(path.Dir(name), text)
		if path.Dir(to) != dir {
			return fmt.Errorf("the link %s leads to %q, not into %s", name, text, dir)
		}
		all = append(all, ref{name, path.Base(to)})
		return nil
	})
	return all, err
}
