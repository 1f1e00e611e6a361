package images

import (
	"github.com/bootc-go/bootc"
	"github.com/bootc-go/bootc/internal/format/verity"
)

// Intercept puts functions between the repository and what changes the disk
// for good: flushes of the file system and changes of links.
func (r *Repository) Intercept(flush func(do func() error) error, link func(do func() error) error) {
	f, s := r.flush, r.symlink
	r.flush = func() error { return flush(f) }
	r.symlink = func(target, name string) error { return link(func() error { return s(target, name) }) }
}

// InterceptRemove puts a function between the repository and what Collect
// removes.
func (r *Repository) InterceptRemove(remove func(name string, do func() error) error) {
	f := r.remove
	r.remove = func(name string) error { return remove(name, func() error { return f(name) }) }
}

// Named returns the names in the stream of an image's config.
func Named(r *Repository, manifest bootc.Digest) (map[string]verity.Digest, error) {
	i, err := r.readHead(manifest)
	if err != nil {
		return nil, err
	}
	return i.named, nil
}
