package boot

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/bootc-go/bootc"
	"github.com/bootc-go/bootc/internal/format/uki"
	"github.com/bootc-go/bootc/internal/linux/dir"
)

// Artefacts are the files on the EFI system partition that an entry names.
// Paths begin with a slash.
type Artefacts struct {
	Linux, Initrd string // a kernel and its initrd
	UKI           string // or a unified kernel image
	// Digest is the SHA-256, in hex, of the kernel's bytes followed by the
	// initrd's.
	Digest string
}

// A File is a file that is to be written.
type File struct {
	Open func() (io.ReadCloser, error)
	Size int64
}

// A RoomError means that the EFI system partition is too small.
type RoomError struct{ Free, Needed int64 }

func (e *RoomError) Error() string {
	return fmt.Sprintf("no room on the ESP: %d MiB free, %d MiB needed", e.Free>>20, (e.Needed+1<<20-1)>>20)
}

// WriteKernel writes kernel and initrd of a deployment, unless another one has
// the same: then that one's are shared. On return they are on disk.
func (l *SystemdBoot) WriteKernel(ctx context.Context, id bootc.ID, kernel, initrd File) (Artefacts, error) {
	digest, err := hashFiles(kernel, initrd)
	if err != nil {
		return Artefacts{}, err
	}
	if name, err := l.findKernel(digest, kernel.Size, initrd.Size); err != nil || name != "" {
		return kernelPaths(name, digest), err
	}
	name := path.Join(linuxDir, dirPrefix+string(id))
	if err := l.removeTree(name); err != nil { // a leftover: nothing names it
		return Artefacts{}, err
	}
	if err := l.checkRoom(kernel.Size + initrd.Size); err != nil {
		return Artefacts{}, err
	}
	if err := l.esp.MkdirAll(name, 0o755); err != nil {
		return Artefacts{}, err
	}
	for file, f := range map[string]File{"vmlinuz": kernel, "initrd": initrd} {
		if err := l.copy(ctx, path.Join(name, file), f); err != nil {
			return Artefacts{}, errors.Join(err, l.removeTree(name))
		}
	}
	return kernelPaths(name, digest), dir.SyncFS(l.esp)
}

func kernelPaths(name, digest string) Artefacts {
	return Artefacts{Linux: "/" + name + "/vmlinuz", Initrd: "/" + name + "/initrd", Digest: digest}
}

// WriteUKI writes the unified kernel image of a deployment.
func (l *SystemdBoot) WriteUKI(ctx context.Context, id bootc.ID, image File) (Artefacts, error) {
	r, err := image.Open()
	if err != nil {
		return Artefacts{}, err
	}
	defer r.Close()
	at, ok := r.(io.ReaderAt)
	if !ok {
		return Artefacts{}, errors.New("internal error: a unified kernel image that cannot be read at random")
	}
	u, err := uki.Open(at)
	if err != nil {
		return Artefacts{}, err
	}
	h := sha256.New()
	for _, name := range []string{".linux", ".initrd"} {
		if s := u.Section(name); s != nil {
			if _, err := io.Copy(h, s); err != nil {
				return Artefacts{}, err
			}
		}
	}
	name := path.Join(ukiDir, dirPrefix+string(id)+".efi")
	a := Artefacts{UKI: "/" + name, Digest: hex.EncodeToString(h.Sum(nil))}
	if l.hasFile(name, image) {
		return a, nil
	}
	if err := l.removeTree(name); err != nil {
		return Artefacts{}, err
	}
	if err := l.checkRoom(image.Size); err != nil {
		return Artefacts{}, err
	}
	if err := l.esp.MkdirAll(ukiDir, 0o755); err != nil {
		return Artefacts{}, err
	}
	if err := l.copy(ctx, name, image); err != nil {
		return Artefacts{}, errors.Join(err, l.removeTree(name))
	}
	return a, dir.SyncFS(l.esp)
}

// hasFile compares a file with what is to be written.
func (l *SystemdBoot) hasFile(name string, want File) bool {
	st, err := l.esp.Stat(name)
	if err != nil || st.Size() != want.Size {
		return false
	}
	have, err := hashFiles(l.file(name, want.Size))
	if err != nil {
		return false
	}
	wanted, err := hashFiles(want)
	return err == nil && have == wanted
}

func (l *SystemdBoot) file(name string, size int64) File {
	return File{Open: func() (io.ReadCloser, error) { return l.esp.Open(name) }, Size: size}
}

func hashFiles(files ...File) (string, error) {
	h := sha256.New()
	for _, f := range files {
		r, err := f.Open()
		if err != nil {
			return "", err
		}
		n, err := io.Copy(h, r)
		r.Close()
		if err != nil {
			return "", err
		}
		if n != f.Size {
			return "", fmt.Errorf("%d bytes read where %d were expected", n, f.Size)
		}
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// findKernel finds a directory with the same kernel and initrd.
func (l *SystemdBoot) findKernel(digest string, kernel, initrd int64) (string, error) {
	entries, err := fs.ReadDir(l.esp.FS(), linuxDir)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	for _, e := range entries {
		if !e.IsDir() || !strings.HasPrefix(e.Name(), dirPrefix) {
			continue
		}
		name := path.Join(linuxDir, e.Name())
		got, err := hashFiles(l.file(name+"/vmlinuz", kernel), l.file(name+"/initrd", initrd))
		if err == nil && got == digest {
			return name, nil
		}
	}
	return "", nil
}

// slack is left free on the partition, for directories and entries.
const slack = 1 << 20

func (l *SystemdBoot) checkRoom(size int64) error {
	f, err := l.esp.Open(".")
	if err != nil {
		return err
	}
	defer f.Close()
	var st unix.Statfs_t
	if err := unix.Fstatfs(int(f.Fd()), &st); err != nil {
		return err
	}
	if free := int64(st.Bavail) * st.Bsize; free < size+slack {
		return &RoomError{free, size + slack}
	}
	return nil
}

func (l *SystemdBoot) copy(ctx context.Context, name string, from File) error {
	r, err := from.Open()
	if err != nil {
		return err
	}
	defer r.Close()
	f, err := l.esp.Create(name)
	if err != nil {
		return err
	}
	n, err := io.Copy(f, r)
	if err == nil && n != from.Size {
		err = fmt.Errorf("writing %s: %d bytes where %d were expected", name, n, from.Size)
	}
	if err == nil {
		err = ctx.Err()
	}
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

// Collect removes the kernels that no entry names, neither of the loader nor
// staged. What is not ours is left alone.
func (l *SystemdBoot) Collect() error {
	named := map[string]bool{}
	for _, read := range []func() ([]Entry, error){l.Entries, l.StagedEntries} {
		entries, err := read()
		if err != nil {
			return err
		}
		for _, e := range entries {
			for _, p := range e.paths() {
				named[strings.ToLower(p)] = true
				named[strings.ToLower(path.Dir(p))] = true
			}
		}
	}
	for _, d := range []string{linuxDir, ukiDir} {
		entries, err := fs.ReadDir(l.esp.FS(), d)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		for _, e := range entries {
			name := path.Join(d, e.Name())
			base := strings.TrimSuffix(name, ".extra.d") // addons go with their image
			if strings.HasPrefix(e.Name(), dirPrefix) && !named[strings.ToLower(base)] {
				if err := l.removeTree(name); err != nil {
					return err
				}
			}
		}
	}
	return nil
}
