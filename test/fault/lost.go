package fault

import (
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// Forget takes from the trees what is not on disk, as if it were not in memory
// any more: the content of files that were written before a flush that failed,
// and not written anew, becomes zeros. The process has ended.
func (r *Run) Forget() error {
	if len(r.lost) == 0 {
		return nil
	}
	for _, t := range r.trees {
		err := filepath.WalkDir(t, func(name string, d fs.DirEntry, err error) error {
			if err != nil || !d.Type().IsRegular() {
				return err
			}
			info, err := d.Info()
			if err != nil {
				return err
			}
			st := info.Sys().(*syscall.Stat_t)
			if !r.lost[fileID{uint64(st.Dev), st.Ino}] {
				return nil
			}
			if err := os.Truncate(name, 0); err != nil {
				return err
			}
			return os.Truncate(name, info.Size())
		})
		if err != nil {
			return err
		}
	}
	return nil
}
