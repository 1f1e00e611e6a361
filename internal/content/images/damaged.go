package images

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"

	"github.com/bootc-go/bootc"
	"github.com/bootc-go/bootc/internal/format/verity"
	"github.com/bootc-go/bootc/internal/linux/dir"
)

// OpenDamaged is [Open] for who checks the repository: a meta.json that cannot be
// read, or that is nearly but not quite the one that was written, counts as
// missing, and what it would say is found out. [Repository.Upgrade] replaces it.
func OpenDamaged(root *os.Root) (*Repository, error) {
	m, err := readMeta(root)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	found, inferErr := inferMeta(root)
	switch {
	case inferErr != nil && err != nil:
		return nil, errors.Join(err, inferErr)
	case inferErr != nil || m.missing:
		return open(root, m)
	case err == nil && !nearly(root, found):
		return open(root, m)
	case err == nil:
		err = errors.New("some bytes are not those that were written")
	}
	if found.secure, inferErr = anySecure(root); inferErr != nil {
		return nil, inferErr
	}
	found.damaged = err.Error()
	return open(root, found)
}

// nearly reports whether meta.json differs from the one of m in a few bytes: it
// says something that nobody has meant.
func nearly(root *os.Root, m meta) bool {
	got, err := root.ReadFile(metaFile)
	if err != nil {
		return true
	}
	want, err := m.text()
	if err != nil || len(got) != len(want) {
		return false
	}
	differ := 0
	for i := range got {
		if got[i] != want[i] {
			differ++
		}
	}
	return differ > 0 && differ <= 16
}

// anySecure reports whether one of the EROFS images has fs-verity: damage that
// takes it from some must not make a repository less strict.
func anySecure(root *os.Root) (bool, error) {
	entries, err := dir.ReadDir(root, imagesDir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return false, err
	}
	for _, e := range entries {
		f, err := root.Open(imagesDir + "/" + e.Name())
		if err != nil {
			continue
		}
		secure, err := hasVerity(f)
		f.Close()
		if err == nil && secure {
			return true, nil
		}
	}
	return false, nil
}

// Tagged reports whether the image has the tag of a deployment's image, and the
// tag leads to it.
func (r *Repository) Tagged(manifest bootc.Digest) bool {
	text, err := r.root.Readlink(tagName(manifest))
	return err == nil && text == "../../"+manifestStream(manifest)
}

// RepairHere is [Repository.Repair] with nothing but what the repository has: EROFS
// images are composed again, and links and streams made again. Where more is
// missing it is an error, and nothing is worse.
func (r *Repository) RepairHere(ctx context.Context, manifest bootc.Digest, ids ...bootc.ID) error {
	src, err := r.Source(manifest)
	if err != nil {
		return err
	}
	return r.Repair(ctx, src, nil, ids...)
}

// Lacks reports whether an object is missing, or condemned.
func (r *Repository) Lacks(d verity.Digest) bool { return !r.objects.Has(d) }

// RemoveMisleading removes what stands where links must be and keeps a repair from
// making them: files, and links of layers that lead to another one. RemoveBroken
// does the same with links that are still broken after it, which are of no use to
// anybody. On disk on return.
func (r *Repository) RemoveMisleading(report *Report) error {
	return r.removeLinks(report, "entry-not-symlink", "stream-content-mismatch")
}

// RemoveBroken is described with [Repository.RemoveMisleading].
func (r *Repository) RemoveBroken(report *Report) error {
	return r.removeLinks(report, "unexpected-link", "broken-symlink", "image-digest-mismatch")
}

func (r *Repository) removeLinks(report *Report, kinds ...string) error {
	removed := false
	for _, p := range report.Problems {
		if !slices.Contains(kinds, p.Kind) || !strings.HasPrefix(p.Path, streamsDir+"/") && !strings.HasPrefix(p.Path, imagesDir+"/") {
			continue
		}
		if st, err := r.root.Lstat(p.Path); err != nil || st.IsDir() {
			continue
		}
		if err := r.root.Remove(p.Path); err != nil {
			return fmt.Errorf("removing %s: %w", p.Path, err)
		}
		removed = true
	}
	if !removed {
		return nil
	}
	for _, d := range []string{imagesDir, streamsDir, tagsDir} {
		if err := dir.SyncDir(r.root, d); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}
