// Package images is the repository of OCI images in the form of composefs:
// objects, the streams from which manifests, configs and layers can be given
// back, and the EROFS images that a machine boots.
//
// It fetches through a [Source] and knows nothing of registries, policies or
// deployments.
//
// Invariants:
//   - what is pulled is verified before anything refers to it: manifest,
//     config, blobs and uncompressed layers against their digests;
//   - a link in streams or images is made after a flush of what it leads to;
//     after a power cut every link leads to a whole object;
//   - an EROFS image is used only through a link in images, and only if its
//     content has the digest that the link is named by;
//   - who reads what has no fs-verity compares its digest.
//
// The layout is specified in docs/formats/repository.md.
package images

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"sync"

	"github.com/bootc-go/bootc"
	"github.com/bootc-go/bootc/internal/content/objects"
	"github.com/bootc-go/bootc/internal/format/verity"
	"github.com/bootc-go/bootc/internal/linux/dir"
	"github.com/bootc-go/bootc/internal/linux/fsverity"
	"github.com/bootc-go/bootc/internal/linux/lock"
)

// ErrNotFound means that the repository does not have the image.
var ErrNotFound = errors.New("the image is not in the repository")

// ErrInUse means that another process uses the repository.
var ErrInUse = errors.New("the image repository is in use")

const (
	objectsDir = "objects"
	imagesDir  = "images"
	streamsDir = "streams"
	tagsDir    = "streams/refs/oci"
)

// A Repository is open until Close, and locked against collection of garbage.
// Its methods may be called from several goroutines.
type Repository struct {
	root     *os.Root
	objRoot  *os.Root
	objects  *objects.Store
	lock     *os.File
	flusher  *dir.Flusher // older than all that is written by way of the handle
	meta     meta
	upgrade  sync.Mutex // guards meta.missing and upgraded
	upgraded bool

	// What changes the disk for good; the power cut test replaces them.
	flush   func() error
	symlink func(target, name string) error
	remove  func(name string) error
}

// InitOptions say what repository to make. The zero value is what machines
// have: SHA-512, format V1, and fs-verity on everything.
type InitOptions struct {
	// Insecure allows a file system without fs-verity.
	Insecure bool
	// Unverified makes a repository that is not secure even where the file
	// system has fs-verity.
	Unverified bool
	Algorithm  verity.Algorithm
	// Formats are those of new EROFS images, the first is the one that boots.
	Formats []Format
}

func (o InitOptions) meta() meta {
	m := meta{algorithm: o.Algorithm, formats: o.Formats, secure: !o.Unverified}
	if m.algorithm == 0 {
		m.algorithm = verity.SHA512
	}
	if len(m.formats) == 0 {
		m.formats = []Format{V1}
	}
	return m
}

// Init makes a repository in an empty directory, or opens the one that is
// there. The repository is secure, with fs-verity on its meta.json and on all
// objects, unless Insecure allows otherwise and the file system cannot do it.
//
// An existing repository of another algorithm or format, or one that is not
// secure although it should be, is an error.
func Init(root *os.Root, o InitOptions) (*Repository, error) {
	want := o.meta()
	if _, err := root.Stat(metaFile); err == nil {
		return initExisting(root, want, o.Insecure || o.Unverified)
	}
	if err := root.Chmod(".", 0o700); err != nil {
		return nil, err
	}
	for _, d := range []string{objectsDir, imagesDir, streamsDir, "streams/refs", tagsDir} {
		if err := root.Mkdir(d, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
			return nil, err
		}
		if err := root.Chmod(d, 0o755); err != nil { // whatever the umask
			return nil, err
		}
	}
	err := writeMeta(root, want)
	if errors.Is(err, fsverity.ErrNotSupported) && o.Insecure {
		want.secure = false
		err = writeMeta(root, want)
	}
	if err != nil {
		return nil, fmt.Errorf("writing %s: %w", metaFile, err)
	}
	return Open(root)
}

func initExisting(root *os.Root, want meta, insecure bool) (*Repository, error) {
	r, err := Open(root)
	if err != nil {
		return nil, err
	}
	switch {
	case r.meta.algorithm != want.algorithm:
		err = fmt.Errorf("there is a repository already, with %v digests", r.meta.algorithm)
	case !slices.Equal(r.meta.formats, want.formats):
		err = fmt.Errorf("there is a repository already, of EROFS format %v", r.meta.formats[0])
	case !r.meta.secure && !insecure:
		err = errors.New("there is a repository already, without fs-verity")
	}
	if err != nil {
		return nil, errors.Join(err, r.Close())
	}
	return r, nil
}

// Open opens the repository in root, which stays the caller's and must stay
// open. It waits while another process collects garbage. A repository that is
// older than meta.json is understood; it gets one from the first call that
// changes something, or from [Repository.Upgrade].
func Open(root *os.Root) (*Repository, error) {
	m, err := readMeta(root)
	if err != nil {
		return nil, err
	}
	return open(root, m)
}

func open(root *os.Root, m meta) (_ *Repository, err error) {
	r := &Repository{root: root, meta: m}
	r.symlink = func(target, name string) error { return dir.Symlink(root, target, name) }
	r.remove = root.Remove
	if err := r.open(); err != nil {
		return nil, errors.Join(err, r.Close())
	}
	return r, nil
}

func (r *Repository) open() (err error) {
	if r.lock, err = r.root.Open("."); err != nil {
		return err
	}
	if err := lock.Wait(r.lock, lock.Shared); err != nil {
		return fmt.Errorf("locking the repository: %w", err)
	}
	if r.flusher, err = dir.NewFlusher(r.root); err != nil {
		return err
	}
	r.flush = r.flusher.Flush
	if r.objRoot, err = openObjects(r.root); err != nil {
		return err
	}
	r.objects, err = objects.Open(r.objRoot, objects.Options{Algorithm: r.meta.algorithm, Insecure: !r.meta.secure})
	return err
}

// openObjects opens the object directory; others make it only when there is a
// first object.
func openObjects(root *os.Root) (*os.Root, error) {
	objects, err := root.OpenRoot(objectsDir)
	if errors.Is(err, fs.ErrNotExist) {
		if err := root.Mkdir(objectsDir, 0o755); err != nil {
			return nil, err
		}
		return root.OpenRoot(objectsDir)
	}
	return objects, err
}

// Close releases the repository.
func (r *Repository) Close() error {
	var errs []error
	if r.objects != nil {
		errs = append(errs, r.objects.Close())
	}
	if r.objRoot != nil {
		errs = append(errs, r.objRoot.Close())
	}
	if r.flusher != nil {
		errs = append(errs, r.flusher.Close())
	}
	if r.lock != nil {
		errs = append(errs, r.lock.Close())
	}
	return errors.Join(errs...)
}

// Secure reports whether all objects must have fs-verity.
func (r *Repository) Secure() bool { return r.meta.secure }

// Formats lists the formats of new EROFS images; the first is the one that
// boots.
func (r *Repository) Formats() []Format { return slices.Clone(r.meta.formats) }

// UseFormat makes this handle write new EROFS images in another format.
func (r *Repository) UseFormat(f Format) { r.meta.formats = []Format{f} }

// HasMeta reports whether there is a meta.json.
func (r *Repository) HasMeta() bool {
	r.upgrade.Lock()
	defer r.upgrade.Unlock()
	return !r.meta.missing
}

// Algorithm returns the hash algorithm of all digests in the repository.
func (r *Repository) Algorithm() verity.Algorithm { return r.meta.algorithm }

// Sync flushes the file system of the repository. After an error what was put
// since the last flush is gone, and the handle publishes nothing any more: see
// [objects.Store.Settle].
func (r *Repository) Sync() error { return r.objects.Settle(r.flush) }

// Exclusive keeps everybody else out, to collect garbage, until release is
// called. It does not wait: the error is [ErrInUse] while another process has
// the repository open.
func (r *Repository) Exclusive() (release func() error, err error) {
	err = lock.Try(r.lock, lock.Exclusive)
	if err == nil {
		return func() error { return lock.Wait(r.lock, lock.Shared) }, nil
	}
	if errors.Is(err, lock.ErrHeld) {
		err = ErrInUse
		for _, h := range lock.Holders(r.lock) {
			err = fmt.Errorf("%w by %s", ErrInUse, h)
			break
		}
	}
	// The attempt may have cost us the shared lock (flock(2)).
	return nil, errors.Join(err, lock.Wait(r.lock, lock.Shared))
}

// writable refuses to change a repository with features that we do not know,
// and brings an older one up to date.
func (r *Repository) writable() error {
	if r.meta.readOnly != "" {
		return fmt.Errorf("the repository has the unknown feature %q, which allows only reading", r.meta.readOnly)
	}
	_, err := r.Upgrade()
	return err
}

// Upgrade makes the directories that are not there yet, and writes the
// meta.json of a repository that is older than that. It reports whether it has
// written it. It is on disk on return.
func (r *Repository) Upgrade() (bool, error) {
	r.upgrade.Lock()
	defer r.upgrade.Unlock()
	if r.upgraded {
		return false, nil
	}
	for _, d := range []string{imagesDir, streamsDir} {
		if err := r.root.Mkdir(d, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
			return false, fmt.Errorf("making the directories of the repository: %w", err)
		}
	}
	wrote := r.meta.missing
	if wrote {
		if err := writeMeta(r.root, r.meta); err != nil {
			return false, fmt.Errorf("writing %s: %w", metaFile, err)
		}
	}
	r.meta.missing, r.upgraded = false, true
	return wrote, nil
}

// link makes a link in the repository to an object.
func (r *Repository) link(name string, d verity.Digest) error {
	return r.symlink(strings.Repeat("../", strings.Count(name, "/"))+objectsDir+"/"+d.ObjectPath(), name)
}

// linked returns the object that a link leads to.
func (r *Repository) linked(name string) (verity.Digest, error) {
	target, err := r.root.Readlink(name)
	if errors.Is(err, fs.ErrNotExist) {
		return verity.Digest{}, ErrNotFound
	}
	if err != nil {
		return verity.Digest{}, err
	}
	_, object, ok := strings.Cut(target, objectsDir+"/")
	d, err := verity.ParseDigest(strings.Replace(object, "/", "", 1))
	if !ok || err != nil || d.ObjectPath() != object || d.Algorithm() != r.meta.algorithm {
		return verity.Digest{}, fmt.Errorf("the link %s leads to %q, not to an object", name, target)
	}
	return d, nil
}

func manifestStream(d bootc.Digest) string { return "oci-manifest-" + string(d) }
func configStream(d bootc.Digest) string   { return "oci-config-" + string(d) }
func layerStream(d bootc.Digest) string    { return "oci-layer-" + string(d) }
