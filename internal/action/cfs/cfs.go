// Package cfs does what people ask of an image repository at a path, whether it
// is a machine's or not: bootc internals cfs.
//
// It is for tools and tests. A machine's own verbs keep deployments, tags and
// boot entries in step; these do not.
package cfs

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/bootc-go/bootc/internal/content/images"
	"github.com/bootc-go/bootc/internal/format/verity"
)

// Options say which repository is opened and how.
type Options struct {
	Path string
	// Algorithm refuses a repository of another one, if it is not 0.
	Algorithm verity.Algorithm
	// Format is that of new EROFS images, nil for the repository's own.
	Format *images.Format
	// RequireVerity refuses a repository that is not secure.
	RequireVerity bool
	// NoUpgrade refuses a repository without meta.json.
	NoUpgrade bool
}

// A Repository is an open one.
type Repository struct {
	*images.Repository
	root *os.Root
}

// Open opens a repository.
func Open(o Options) (*Repository, error) {
	root, err := os.OpenRoot(o.Path)
	if err != nil {
		return nil, err
	}
	r, err := images.Open(root)
	if err == nil {
		if err = check(r, o); err != nil {
			r.Close()
		}
	} else if errors.Is(err, fs.ErrNotExist) {
		err = fmt.Errorf("there is no repository at %s: %w", o.Path, err)
	}
	if err != nil {
		root.Close()
		return nil, err
	}
	if o.Format != nil {
		r.UseFormat(*o.Format)
	}
	return &Repository{r, root}, nil
}

func check(r *images.Repository, o Options) error {
	switch {
	case o.NoUpgrade && !r.HasMeta():
		return fmt.Errorf("meta.json not found in %s; this repository must be initialized with `cfs init`", o.Path)
	case o.Algorithm != 0 && o.Algorithm != r.Algorithm():
		return fmt.Errorf("the repository has %v digests, %v was asked for", r.Algorithm(), o.Algorithm)
	case o.RequireVerity && !r.Secure():
		return errors.New("the repository was not initialized with fs-verity")
	}
	return nil
}

// Close releases the repository.
func (r *Repository) Close() error { return errors.Join(r.Repository.Close(), r.root.Close()) }

// InitOptions say what repository is made.
type InitOptions struct {
	Path      string
	Algorithm verity.Algorithm
	Format    images.Format
	Insecure  bool
	// Ensure takes one that is there as it is.
	Ensure bool
	// Reset gives an old repository a new meta.json: streams and images, which
	// depend on the algorithm, are removed; objects stay.
	Reset bool
}

// An Outcome says what Init has found or done.
type Outcome int

// The outcomes.
const (
	Created  Outcome = iota // a new repository
	Existed                 // there was one, as asked for
	Kept                    // there was one, perhaps of another kind
	Upgraded                // an old one has got its meta.json
)

// Init makes a repository where there is none.
func Init(o InitOptions) (Outcome, error) {
	if err := os.MkdirAll(o.Path, 0o700); err != nil {
		return 0, err
	}
	root, err := os.OpenRoot(o.Path)
	if err != nil {
		return 0, err
	}
	defer root.Close()
	if o.Reset {
		for _, name := range []string{"meta.json", "streams", "images"} {
			if err := root.RemoveAll(name); err != nil {
				return 0, err
			}
		}
	}
	_, err = root.Stat("meta.json")
	there := err == nil
	if o.Ensure && !o.Reset {
		if done, err := ensure(root); done != Created || err != nil {
			return done, err
		}
	}
	r, err := images.Init(root, images.InitOptions{
		Unverified: o.Insecure, Algorithm: o.Algorithm, Formats: []images.Format{o.Format},
	})
	if err != nil {
		return 0, err
	}
	if there {
		return Existed, r.Close()
	}
	return Created, r.Close()
}

// ensure opens a repository that is there. Where there is none it says Created.
func ensure(root *os.Root) (Outcome, error) {
	r, err := images.Open(root)
	if errors.Is(err, fs.ErrNotExist) {
		return Created, nil
	}
	if err != nil {
		return 0, err
	}
	defer r.Close()
	upgraded, err := r.Upgrade()
	if upgraded {
		return Upgraded, err
	}
	return Kept, err
}
