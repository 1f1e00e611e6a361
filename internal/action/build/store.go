package build

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/bootc-go/bootc"
	"github.com/bootc-go/bootc/internal/content/images"
)

// cacheTag marks a directory as a store that was made here, from which images can be
// given up. Programs that make backups pass such a directory over.
//
// Source: Cache Directory Tagging Specification.
const (
	cacheTag     = "CACHEDIR.TAG"
	cacheTagText = "Signature: 8a477f597d28d172789f06886806bc55\n# Images that bootc build-disk has fetched.\n"
)

// openStore opens the repository in which images are kept between builds. It is
// made if it is not there.
func openStore(dir string) (*images.Repository, func() error, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, nil, err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, nil, err
	}
	repo, err := initStore(root)
	if err != nil {
		return nil, nil, errors.Join(err, root.Close())
	}
	return repo, func() error { return errors.Join(repo.Close(), root.Close()) }, nil
}

func initStore(root *os.Root) (*images.Repository, error) {
	entries, err := fs.ReadDir(root.FS(), ".")
	if err != nil {
		return nil, err
	}
	if len(entries) == 0 {
		if err := root.WriteFile(cacheTag, []byte(cacheTagText), 0o644); err != nil {
			return nil, err
		}
	}
	return images.Init(root, images.InitOptions{Unverified: true})
}

// tidy gives up images that were not used for long. The files are made, so what goes
// wrong is only told. A repository that is not a store of ours, such as that of a
// machine, stays as it is.
func (p *Plan) tidy(ctx context.Context, repo *images.Repository, progress bootc.Progress) {
	root, err := os.OpenRoot(p.Options.Store)
	if err == nil {
		defer root.Close()
		if _, err = root.Lstat(cacheTag); err == nil && p.Options.Keep > 0 {
			_, err = repo.KeepRecent(ctx, p.Manifest, p.Options.Keep)
		}
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		progress.Send(bootc.Notice{Text: fmt.Sprintf("notice: tidying up the store %s: %v", p.Options.Store, err)})
	}
}
