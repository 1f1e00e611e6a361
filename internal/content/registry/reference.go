package registry

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"go.podman.io/image/v5/directory"
	"go.podman.io/image/v5/docker"
	dockerarchive "go.podman.io/image/v5/docker/archive"
	"go.podman.io/image/v5/docker/reference"
	ociarchive "go.podman.io/image/v5/oci/archive"
	"go.podman.io/image/v5/oci/layout"
	"go.podman.io/image/v5/storage"
	"go.podman.io/image/v5/types"
	containers "go.podman.io/storage"

	"github.com/bootc-go/bootc"
)

// parse turns a reference into the library's form.
func parse(ref bootc.Ref, root string) (types.ImageReference, error) {
	var (
		r   types.ImageReference
		err error
	)
	switch ref.Transport {
	case bootc.Registry:
		r, err = docker.ParseReference("//" + canonical(ref.Name))
	case bootc.OCI:
		r, err = layout.ParseReference(ref.Name)
	case bootc.OCIArchive:
		r, err = ociarchive.ParseReference(ref.Name)
	case bootc.DockerArchive:
		r, err = dockerarchive.ParseReference(ref.Name)
	case bootc.Dir:
		r, err = directory.NewReference(ref.Name)
	case bootc.ContainersStorage:
		r, err = parseStorage(ref.Name, root)
	default:
		return nil, fmt.Errorf("image reference %q: unknown transport %q", ref, ref.Transport)
	}
	if errors.Is(err, ErrNotFound) {
		return nil, err
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w: %s (%s)", ErrNotFound, ref, clean(err.Error()))
	}
	if err != nil {
		return nil, fmt.Errorf("image reference %q: %s", ref, clean(err.Error()))
	}
	return r, nil
}

// canonical drops the tag of a name that has a digest, too: the digest alone
// says which image it is.
func canonical(name string) string {
	named, err := reference.ParseNormalizedNamed(name)
	if err != nil {
		return name
	}
	d, isDigested := named.(reference.Digested)
	_, isTagged := named.(reference.Tagged)
	if !isDigested || !isTagged {
		return name
	}
	c, err := reference.WithDigest(reference.TrimNamed(named), d.Digest())
	if err != nil {
		return name
	}
	return c.String()
}

// parseStorage finds an image in the containers storage: the system's, or the
// one that the name begins with, "[overlay@/path+/run]". Opening a storage
// makes one where there is none, so this looks first.
func parseStorage(name, root string) (types.ImageReference, error) {
	dir, ok := storageDir(name)
	if !ok {
		options, err := containers.DefaultStoreOptions()
		if err != nil {
			return nil, err
		}
		dir = options.GraphRoot
		if root != "" {
			dir = filepath.Join(root, dir)
			driver := strings.TrimPrefix(options.GraphDriverName+"@", "@")
			name = "[" + driver + dir + "]" + name
		}
	}
	if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w: containers-storage:%s (there is no storage at %s)", ErrNotFound, name, dir)
	}
	return storage.Transport.ParseReference(name)
}

// storageDir returns the directory of a name's "[driver@dir+run:options]".
func storageDir(name string) (string, bool) {
	rest, ok := strings.CutPrefix(name, "[")
	spec, _, closed := strings.Cut(rest, "]")
	if !ok || !closed {
		return "", false
	}
	if _, after, ok := strings.Cut(spec, "@"); ok {
		spec = after
	}
	spec, _, _ = strings.Cut(spec, ":")
	spec, _, _ = strings.Cut(spec, "+")
	return spec, true
}
