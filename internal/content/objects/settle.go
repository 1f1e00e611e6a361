package objects

import (
	"errors"
	"fmt"
	"io/fs"
	"sync"

	"github.com/bootc-go/bootc/internal/format/verity"
)

// unsettled are the objects that were put and may not be on disk yet.
type unsettled struct {
	flush sync.Mutex // one at a time

	mu   sync.Mutex
	all  []verity.Digest
	lost error // of the flush that failed
}

// Settle calls flush, which flushes the file system: on return everything that
// was put before is on disk, and may be referred to.
//
// A flush that fails has lost something, and nobody says what. So all objects
// that were put since the last flush are removed, and from then on the store
// takes nothing and settles nothing: what is under way may be lost, too. Who
// wants to try again opens the store again.
func (s *Store) Settle(flush func() error) error {
	u := &s.unsettled
	u.flush.Lock()
	defer u.flush.Unlock()
	if err := u.failed(); err != nil {
		return err
	}
	u.mu.Lock()
	n := len(u.all)
	u.mu.Unlock()
	err := flush()
	u.mu.Lock()
	defer u.mu.Unlock()
	if err == nil {
		u.all = append([]verity.Digest(nil), u.all[n:]...)
		return nil
	}
	u.lost = err
	errs := []error{err}
	for _, d := range u.all {
		errs = append(errs, s.drop(d))
	}
	u.all = nil
	return errors.Join(errs...)
}

// failed returns the error of an earlier flush.
func (u *unsettled) failed() error {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.lost != nil {
		return fmt.Errorf("what was written is not on disk: %w", u.lost)
	}
	return nil
}

// add notes an object that has its name now.
func (u *unsettled) add(s *Store, d verity.Digest) error {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.lost != nil {
		return errors.Join(fmt.Errorf("what was written is not on disk: %w", u.lost), s.drop(d))
	}
	u.all = append(u.all, d)
	return nil
}

func (s *Store) drop(d verity.Digest) error {
	err := s.root.Remove(d.ObjectPath())
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}
