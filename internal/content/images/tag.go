package images

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/bootc-go/bootc"
	"github.com/bootc-go/bootc/internal/linux/dir"
)

// Tag keeps a pulled image: nothing that it needs is garbage. It is on disk on
// return. An image that is not there is [ErrNotFound].
func (r *Repository) Tag(manifest bootc.Digest) error {
	return r.TagAs(manifest, deploymentTag+string(manifest))
}

// TagAs is Tag under any name that does not begin with "@".
func (r *Repository) TagAs(manifest bootc.Digest, name string) error {
	if err := r.writable(); err != nil {
		return err
	}
	if name == "" || strings.HasPrefix(name, "@") {
		return fmt.Errorf("the tag %q is empty or begins with @, which marks digests", name)
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
	if err := r.symlink("../../"+manifestStream(manifest), tagPath(name)); err != nil {
		return err
	}
	return dir.SyncDir(r.root, tagsDir)
}

// Untag gives an image up; one that has no tag is no error. It is on disk on
// return.
func (r *Repository) Untag(manifest bootc.Digest) error {
	err := r.UntagName(deploymentTag + string(manifest))
	if errors.Is(err, ErrNotFound) {
		return nil
	}
	return err
}

// UntagName removes a tag. One that is not there is [ErrNotFound]. It is on
// disk on return.
func (r *Repository) UntagName(name string) error {
	if err := r.writable(); err != nil {
		return err
	}
	err := r.root.Remove(tagPath(name))
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("tag %q: %w", name, ErrNotFound)
	}
	if err != nil {
		return err
	}
	return dir.SyncDir(r.root, tagsDir)
}

// A Tagged is an image by one of its tags.
type Tagged struct {
	Name     string
	Manifest bootc.Digest
}

// AllTags lists the tags, whoever made them, sorted by name.
func (r *Repository) AllTags() ([]Tagged, error) {
	entries, err := dir.ReadDir(r.root, tagsDir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	var all []Tagged
	for _, e := range entries {
		if e.Type() != fs.ModeSymlink || strings.HasPrefix(e.Name(), ".symlink-") {
			continue
		}
		name := tagUnescaper().Replace(e.Name())
		d, err := r.Resolve(name)
		if err != nil {
			return nil, err
		}
		all = append(all, Tagged{name, d})
	}
	slices.SortFunc(all, func(a, b Tagged) int { return strings.Compare(a.Name, b.Name) })
	return all, nil
}

// Resolve finds an image by a tag, or by its digest with "@" before it. A tag
// that is not there is [ErrNotFound].
func (r *Repository) Resolve(name string) (bootc.Digest, error) {
	if digest, ok := strings.CutPrefix(name, "@"); ok {
		return bootc.ParseDigest(digest)
	}
	text, err := r.root.Readlink(tagPath(name))
	if errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("tag %q: %w", name, ErrNotFound)
	}
	if err != nil {
		return "", err
	}
	digest, ok := strings.CutPrefix(path.Base(text), manifestStream(""))
	d, err := bootc.ParseDigest(digest)
	if !ok || err != nil {
		return "", fmt.Errorf("the tag %q leads to %q, not to a manifest", name, text)
	}
	return d, nil
}

// ResolveAny is Resolve that takes the digest of a config, too. Of several
// images with that config it returns any.
func (r *Repository) ResolveAny(name string) (bootc.Digest, error) {
	d, err := r.Resolve(name)
	if err != nil || !strings.HasPrefix(name, "@") {
		return d, err
	}
	all, err := r.manifests()
	if err != nil || slices.Contains(all, d) {
		return d, err
	}
	for _, m := range all {
		if i, err := r.readHead(m); err == nil && i.ConfigDigest() == d {
			return m, nil
		}
	}
	return d, fmt.Errorf("%s: %w", d, ErrNotFound)
}

// Tags lists the images that are kept for deployments, sorted. Tags that
// somebody else made for other purposes are not among them.
func (r *Repository) Tags() ([]bootc.Digest, error) {
	entries, err := dir.ReadDir(r.root, tagsDir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var all []bootc.Digest
	for _, e := range entries {
		name, ok := strings.CutPrefix(tagUnescaper().Replace(e.Name()), deploymentTag)
		if d, err := bootc.ParseDigest(name); ok && err == nil {
			all = append(all, d)
		}
	}
	slices.Sort(all)
	return all, nil
}

// deploymentTag begins the tags of the images of deployments.
const deploymentTag = "localhost/bootc-"

func tagPath(name string) string {
	return tagsDir + "/" + strings.NewReplacer("%", "%25", "/", "%2F").Replace(name)
}

func tagUnescaper() *strings.Replacer { return strings.NewReplacer("%25", "%", "%2F", "/") }

func tagName(manifest bootc.Digest) string { return tagPath(deploymentTag + string(manifest)) }

// manifests lists the images in the repository, tagged or not.
func (r *Repository) manifests() ([]bootc.Digest, error) {
	entries, err := dir.ReadDir(r.root, streamsDir)
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
