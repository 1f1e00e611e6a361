package images

import (
	"cmp"
	"context"
	"errors"
	"io/fs"
	"slices"
	"time"

	"github.com/bootc-go/bootc"
)

// KeepRecent is for a repository that keeps images between uses: it dates the tag of
// the image that was used now, gives up all images but the n that were used last,
// and collects what only those needed. While another process uses the repository, it
// gives up nothing: the next use does.
//
// After a power cut the image may be without its tag.
func (r *Repository) KeepRecent(ctx context.Context, used bootc.Digest, n int) (Garbage, error) {
	if err := r.Untag(used); err != nil { // a link that is made again has a new time
		return Garbage{}, err
	}
	if err := r.Tag(used); err != nil {
		return Garbage{}, err
	}
	release, err := r.Exclusive()
	if errors.Is(err, ErrInUse) {
		return Garbage{}, nil
	}
	if err != nil {
		return Garbage{}, err
	}
	given, err := r.giveUp(n)
	if err := errors.Join(err, release()); err != nil || !given {
		return Garbage{}, err
	}
	g, err := r.Collect(ctx, CollectOptions{})
	if errors.Is(err, ErrInUse) {
		return Garbage{}, nil // somebody was quicker; it is garbage for the next time
	}
	return g, err
}

// giveUp removes the tags of all images but the n whose tags were made last, and
// reports whether there were any.
func (r *Repository) giveUp(n int) (bool, error) {
	all, err := r.Tags()
	if err != nil {
		return false, err
	}
	times := map[bootc.Digest]time.Time{}
	for _, d := range all {
		info, err := r.root.Lstat(tagName(d))
		if errors.Is(err, fs.ErrNotExist) { // under another spelling
			continue
		}
		if err != nil {
			return false, err
		}
		times[d] = info.ModTime()
	}
	slices.SortStableFunc(all, func(a, b bootc.Digest) int {
		return cmp.Or(times[b].Compare(times[a]), cmp.Compare(a, b))
	})
	if len(all) <= n {
		return false, nil
	}
	for _, d := range all[n:] {
		if err := r.Untag(d); err != nil {
			return false, err
		}
	}
	return true, nil
}
