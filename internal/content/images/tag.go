package images

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"github.com/bootc-go/bootc"
	"github.com/bootc-go/bootc/internal/linux/dir"
)

// Tag keeps a pulled image: nothing that it needs is garbage. It is on disk on
// return. An image that is not there is [ErrNotFound].
func (r *Repository) Tag(manifest bootc.Digest) error {
	if err := r.writable(); err != nil {
		return err
	}
	if _, err := r.linked(streamsDir + "/" + manifestStream(manifest)); err != nil {
		return fmt.Errorf("tagging %s: %w", manifest, err)
	}
	for _, d := range []string{"streams/refs", tagsDir} {
		err := r.root.Mkdir(d, 0o755)
		if err == nil {
			err = dir.SyncDir(r.root, streamsDir)
		}
		if err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
	}
	if err := r.symlink("../../"+manifestStream(manifest), tagName(manifest)); err != nil {
		return err
	}
	return dir.SyncDir(r.root, tagsDir)
}

// Untag gives an image up; one that has no tag is no error. It is on disk on
// return.
func (r *Repository) Untag(manifest bootc.Digest) error {
	if err := r.writable(); err != nil {
		return err
	}
	err := r.root.Remove(tagName(manifest))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return dir.SyncDir(r.root, tagsDir)
}

// Tags lists the images that are kept for deployments, sorted. Tags that
// somebody else made for other purposes are not among them.
func (r *Repository) Tags() ([]bootc.Digest, error) {
	entries, err := fs.ReadDir(r.root.FS(), tagsDir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var all []bootc.Digest
	for _, e := range entries {
		name, ok := strings.CutPrefix(e.Name(), tagPrefix)
		if d, err := bootc.ParseDigest(name); ok && err == nil {
			all = append(all, d)
		}
	}
	slices.Sort(all)
	return all, nil
}

func tagName(manifest bootc.Digest) string { return tagsDir + "/" + tagPrefix + string(manifest) }

// manifests lists the images in the repository, tagged or not.
func (r *Repository) manifests() ([]bootc.Digest, error) {
	entries, err := fs.ReadDir(r.root.FS(), streamsDir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	var all []bootc.Digest
	for _, e := range entries {
		name, ok := strings.CutPrefix(e.Name(), manifestStream(""))
		if d, err := bootc.ParseDigest(name); ok && err == nil {
			all = append(all, d)
		}
	}
	return all, nil
}
