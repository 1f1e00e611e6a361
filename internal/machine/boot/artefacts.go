package boot

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"path"
	"strconv"
	"strings"

	"github.com/bootc-go/bootc"
	"github.com/bootc-go/bootc/internal/format/uki"
)

// Artefacts are the files on the partition that an entry names. Paths begin
// with a slash.
type Artefacts struct {
	Linux, Initrd string // a kernel and its initrd
	UKI           string // or a unified kernel image
	// UKIKey is the key that names it, "" for "efi": see [KnowsUKI].
	UKIKey string
	// Credentials is another initrd, behind the first; "" if the kernel gets none,
	// or a unified kernel image finds them itself.
	Credentials string
	// Digest is the SHA-256, in hex, of the kernel's bytes followed by the
	// initrd's. A unified kernel image has the digest of the same kernel and
	// initrd outside of one.
	Digest string
}

// A File is a file that is to be written.
type File struct {
	Open func() (io.ReadCloser, error)
	Size int64
}

// A Named is a file with its name in a directory.
type Named struct {
	Name string
	File
}

// WriteKernel writes kernel and initrd of a deployment, unless an entry names
// the same ones: then those are shared. On return they are on disk, under names
// that no entry had before. It begins with [SystemdBoot.Collect].
func (l *SystemdBoot) WriteKernel(ctx context.Context, id bootc.ID, kernel, initrd File) (Artefacts, error) {
	if err := l.Collect(); err != nil {
		return Artefacts{}, err
	}
	digest, err := hashFiles(kernel, initrd)
	if err != nil {
		return Artefacts{}, err
	}
	name, err := l.findKernel(digest, kernel.Size, initrd.Size)
	if err != nil {
		return Artefacts{}, err
	}
	if name == "" {
		name, err = l.writeDir(ctx, linuxDir, dirPrefix+string(id), "", []Named{{"vmlinuz", kernel}, {"initrd", initrd}})
		if err != nil {
			return Artefacts{}, err
		}
	}
	a := Artefacts{Linux: "/" + name + "/vmlinuz", Initrd: "/" + name + "/initrd", Digest: digest}
	a.Credentials = l.credentials()
	return a, nil
}

// findKernel finds a directory with the same kernel and initrd among those that
// entries name: they are complete, others may not be.
func (l *SystemdBoot) findKernel(digest string, kernel, initrd int64) (string, error) {
	named, err := l.named()
	if err != nil {
		return "", err
	}
	for _, e := range l.artefacts(linuxDir) {
		name := path.Join(linuxDir, e.Name())
		if !e.IsDir() || !mentions(named, e.Name()) {
			continue
		}
		got, err := hashFiles(l.file(name+"/vmlinuz", kernel), l.file(name+"/initrd", initrd))
		if err == nil && got == digest {
			return name, nil
		}
	}
	return "", nil
}

// WriteUKI writes the unified kernel image of a deployment and its addons,
// unless they are there and an entry names them. On return they are on disk. It
// begins with [SystemdBoot.Collect].
func (l *SystemdBoot) WriteUKI(ctx context.Context, id bootc.ID, image File, addons ...Named) (Artefacts, error) {
	if err := l.Collect(); err != nil {
		return Artefacts{}, err
	}
	digest, err := ukiDigest(image)
	if err != nil {
		return Artefacts{}, err
	}
	for _, a := range addons {
		if !strings.HasSuffix(a.Name, addonTail) || strings.ContainsAny(a.Name, `/\`) {
			return Artefacts{}, fmt.Errorf("%q is not the name of an addon (want *%s)", a.Name, addonTail)
		}
	}
	name, err := l.freeName(ukiDir, dirPrefix+string(id), ukiSuffix)
	if err != nil {
		return Artefacts{}, err
	}
	// After Collect, what has the name is in use.
	plain := path.Join(ukiDir, dirPrefix+string(id)+ukiSuffix)
	if name != plain && l.hasUKI(plain, image, addons) {
		return Artefacts{UKI: "/" + plain, Digest: digest}, nil
	}
	if err := l.writeUKI(ctx, name, image, addons); err != nil {
		return Artefacts{}, err
	}
	return Artefacts{UKI: "/" + name, Digest: digest}, nil
}

func (l *SystemdBoot) writeUKI(ctx context.Context, name string, image File, addons []Named) error {
	if err := l.checkRoom(append([]Named{{"", image}}, addons...)); err != nil {
		return err
	}
	if err := l.mkdirAll(path.Dir(name)); err != nil {
		return err
	}
	if len(addons) > 0 {
		dir, base := path.Split(name + extraDir)
		if _, err := l.writeDir(ctx, path.Clean(dir), strings.TrimSuffix(base, extraDir), extraDir, addons); err != nil {
			return err
		}
	}
	err := l.copy(ctx, name, image)
	if err == nil {
		err = l.v.Flush()
	}
	if err != nil {
		// No entry names it.
		return errors.Join(err, l.Collect())
	}
	return nil
}

// hasUKI reports whether an image is there with the same content and addons.
func (l *SystemdBoot) hasUKI(name string, image File, addons []Named) bool {
	have, err := l.sizes(name + extraDir)
	if len(addons) != len(have) || len(addons) > 0 && err != nil {
		return false
	}
	for _, a := range addons {
		if !l.hasFile(path.Join(name+extraDir, a.Name), a.File) {
			return false
		}
	}
	return l.hasFile(name, image)
}

func (l *SystemdBoot) hasFile(name string, want File) bool {
	have, err := hashFiles(l.file(name, want.Size))
	if err != nil {
		return false
	}
	wanted, err := hashFiles(want)
	return err == nil && have == wanted
}

// ukiDigest hashes the kernel and the initrd in a unified kernel image.
func ukiDigest(image File) (string, error) {
	r, err := image.Open()
	if err != nil {
		return "", err
	}
	defer r.Close()
	at, ok := r.(io.ReaderAt)
	if !ok {
		return "", errors.New("internal error: a unified kernel image that cannot be read at random")
	}
	u, err := uki.Open(at)
	if err != nil {
		return "", err
	}
	h := sha256.New()
	for _, s := range []io.Reader{u.Linux(), u.Initrd()} {
		if s == nil {
			continue
		}
		if _, err := io.Copy(h, s); err != nil {
			return "", fmt.Errorf("reading the unified kernel image: %w", err)
		}
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// freeName returns the first of BASE+TAIL, BASE.1+TAIL, … that is not there. A
// name that Collect leaves is in use, or leads nowhere and must not be touched.
func (l *SystemdBoot) freeName(dir, base, tail string) (string, error) {
	for n := 0; ; n++ {
		name := path.Join(dir, base+tail)
		if n > 0 {
			name = path.Join(dir, base+"."+strconv.Itoa(n)+tail)
		}
		present, err := l.present(name)
		if err == nil && !present && tail == ukiSuffix {
			present, err = l.present(name + extraDir)
		}
		if err != nil || !present {
			return name, err
		}
	}
}

// writeDir writes files to a new directory of parent and returns its name. They
// are on disk on return; after an error they are gone.
func (l *SystemdBoot) writeDir(ctx context.Context, parent, base, tail string, files []Named) (string, error) {
	if err := l.checkRoom(files); err != nil {
		return "", err
	}
	if err := l.mkdirAll(parent); err != nil {
		return "", err
	}
	name, err := l.freeName(parent, base, tail)
	if err != nil {
		return "", err
	}
	if err := l.mkdir(name); err != nil {
		return "", err
	}
	for _, f := range files {
		if err := l.copy(ctx, path.Join(name, f.Name), f.File); err != nil {
			return "", errors.Join(err, l.removeTree(name))
		}
	}
	return name, l.v.Flush()
}

// copy writes a file that does not exist. It is not flushed.
func (l *SystemdBoot) copy(ctx context.Context, name string, from File) error {
	if d, ok := l.v.(*Described); ok {
		return d.Put(name, from)
	}
	r, err := from.Open()
	if err != nil {
		return err
	}
	defer r.Close()
	w, err := l.v.Create(name)
	if err != nil {
		return err
	}
	n, err := io.Copy(w, &interruptible{ctx, io.LimitReader(r, from.Size+1)})
	if err == nil && n != from.Size {
		err = fmt.Errorf("source has %d bytes or more where %d were expected", n, from.Size)
	}
	if err := errors.Join(err, w.Close()); err != nil {
		return fmt.Errorf("writing %s: %w", name, err)
	}
	return nil
}

// interruptible ends with its context.
type interruptible struct {
	ctx context.Context
	r   io.Reader
}

func (i *interruptible) Read(p []byte) (int, error) {
	if err := i.ctx.Err(); err != nil {
		return 0, err
	}
	return i.r.Read(p)
}

// file is a file of the volume.
func (l *SystemdBoot) file(name string, size int64) File {
	return File{Open: func() (io.ReadCloser, error) { return l.v.Open(name) }, Size: size}
}

// hashFiles hashes files one after the other.
func hashFiles(files ...File) (string, error) {
	h := sha256.New()
	for _, f := range files {
		if err := hashFile(h, f); err != nil {
			return "", err
		}
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

func hashFile(h hash.Hash, f File) error {
	r, err := f.Open()
	if err != nil {
		return err
	}
	defer r.Close()
	n, err := io.Copy(h, io.LimitReader(r, f.Size+1))
	if err == nil && n != f.Size {
		err = fmt.Errorf("source has %d bytes or more where %d were expected", n, f.Size)
	}
	return err
}
