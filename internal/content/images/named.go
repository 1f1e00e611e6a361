package images

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"

	"github.com/bootc-go/bootc/internal/format/erofs"
	"github.com/bootc-go/bootc/internal/format/tree"
	"github.com/bootc-go/bootc/internal/format/verity"
	"github.com/bootc-go/bootc/internal/linux/dir"
)

// imageRefs holds the links that keep EROFS images by a name.
const imageRefs = "images/refs"

// ErrNoImage means that there is no EROFS image of a name.
var ErrNoImage = errors.New("image not found")

// FindImage finds an EROFS image by its digest, or by the name of a link below
// images/refs, with "refs/" before it or not. The error is [ErrNoImage] if there
// is none.
func (r *Repository) FindImage(name string) (verity.Digest, error) {
	for _, p := range []string{imagesDir + "/" + name, imageRefs + "/" + name} {
		if path.Clean(p) != p {
			break
		}
		text, err := r.root.Readlink(p)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return verity.Digest{}, err
		}
		if to := path.Join(path.Dir(p), text); path.Dir(to) == imagesDir {
			p = to
		}
		return r.linked(p)
	}
	return verity.Digest{}, fmt.Errorf("%w: %s", ErrNoImage, name)
}

// OpenComposed opens an EROFS image that [Repository.FindImage] has found. Its
// content has the digest.
func (r *Repository) OpenComposed(d verity.Digest) (*os.File, error) {
	f, err := r.objects.Open(d)
	if err != nil {
		return nil, err
	}
	if err := r.check(f, d); err != nil {
		f.Close()
		return nil, fmt.Errorf("EROFS image %v: %w", d, err)
	}
	return f, nil
}

// ReadComposed reads the file tree of such an image.
func (r *Repository) ReadComposed(d verity.Digest) (*tree.Tree, error) { return r.readImageObject(d) }

// OpenObjects opens the object directory, to mount it.
func (r *Repository) OpenObjects() (*os.File, error) { return r.objRoot.Open(".") }

// PutFile keeps the content of a file as an object. The object is on disk after
// the next flush.
func (r *Repository) PutFile(f io.Reader, size int64) (verity.Digest, error) {
	return r.objects.Put(f, size)
}

// AddTree writes the EROFS image of a tree whose objects are in the repository,
// in the first format, and keeps it under a name unless that is empty. It is on
// disk on return.
func (r *Repository) AddTree(t *tree.Tree, name string) (verity.Digest, error) {
	if err := r.writable(); err != nil {
		return verity.Digest{}, err
	}
	d, err := r.writeImage(t, r.meta.formats[0])
	if err != nil {
		return d, err
	}
	return d, r.addImage(d, name)
}

// AddImage keeps an EROFS image as it is. It must be one; its objects may be
// missing.
func (r *Repository) AddImage(image io.Reader, name string) (verity.Digest, error) {
	if err := r.writable(); err != nil {
		return verity.Digest{}, err
	}
	d, err := r.objects.Put(image, -1)
	if err != nil {
		return d, err
	}
	if _, err := r.readImageObject(d); err != nil {
		return d, err
	}
	return d, r.addImage(d, name)
}

func (r *Repository) addImage(d verity.Digest, name string) error {
	if err := r.Sync(); err != nil {
		return err
	}
	if err := r.link(imagesDir+"/"+d.String(), d); err != nil {
		return err
	}
	if name == "" {
		return r.Sync()
	}
	p := imageRefs + "/" + strings.TrimPrefix(name, "refs/")
	if path.Clean(p) != p || !strings.HasPrefix(p, imageRefs+"/") {
		return fmt.Errorf("the name %q is not a path below %s", name, imageRefs)
	}
	if err := r.root.MkdirAll(path.Dir(p), 0o755); err != nil {
		return err
	}
	up := strings.Repeat("../", strings.Count(p, "/")-1)
	if err := r.symlink(up+d.String(), p); err != nil {
		return err
	}
	if err := dir.SyncDir(r.root, imagesDir); err != nil {
		return err
	}
	return r.Sync()
}

// A NamedImage is an EROFS image by a link below images/refs.
type NamedImage struct {
	Name   string
	Digest verity.Digest
}

// NamedImages lists the EROFS images that have a name, sorted by it.
func (r *Repository) NamedImages() ([]NamedImage, error) {
	refs, err := r.refs(imagesDir)
	if err != nil {
		return nil, err
	}
	var all []NamedImage
	for _, ref := range refs {
		d, err := r.linked(imagesDir + "/" + ref.target)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", ref.name, err)
		}
		all = append(all, NamedImage{strings.TrimPrefix(ref.name, imageRefs+"/"), d})
	}
	slices.SortFunc(all, func(a, b NamedImage) int { return strings.Compare(a.Name, b.Name) })
	return all, nil
}

// Digest computes the digest of the EROFS image of a tree.
func Digest(t *tree.Tree, a verity.Algorithm, f Format) (verity.Digest, error) {
	o, err := f.options()
	if err != nil {
		return verity.Digest{}, err
	}
	h := verity.New(a)
	err = erofs.Write(h, t, o)
	return h.Sum(), err
}
