package deploy

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/bootc-go/bootc"
	"github.com/bootc-go/bootc/internal/linux/dir"
)

const (
	stagedFile = bootcDir + "/staged.json"

	mirrorDir  = "composefs"
	mirrorFile = mirrorDir + "/staged-deployment"

	// MirrorFile is what [Mirror] writes, below /run.
	MirrorFile = mirrorFile
)

// A Staged update waits for a shutdown that makes it the default.
type Staged struct {
	Version  int          `json:"version"`
	ID       bootc.ID     `json:"id"`
	Locked   bool         `json:"locked"` // downloaded only
	Manifest bootc.Digest `json:"manifest"`
	// Conflicts are the paths in /etc that stopped the last finalize.
	Conflicts []string `json:"conflicts,omitempty"`
	// Failure says why the last finalize failed, "" if it has not.
	Failure string `json:"failure,omitempty"`
}

// Staged returns the staged update, nil if there is none.
func (s *State) Staged() (*Staged, error) {
	var st Staged
	ok, err := s.readJSON(stagedFile, &st, &st.Version)
	if err != nil || !ok {
		return nil, err
	}
	if _, err := bootc.ParseID(string(st.ID)); err != nil {
		return nil, fmt.Errorf("reading %s: %w", stagedFile, err)
	}
	return &st, nil
}

// SetStaged records the staged update. It is on disk on return.
func (s *State) SetStaged(st Staged) error {
	st.Version = formatVersion
	return s.writeJSON(stagedFile, st, public)
}

// ClearStaged forgets the staged update. It is on disk on return.
func (s *State) ClearStaged() error {
	err := s.root.Remove(stagedFile)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return dir.SyncDir(s.root, bootcDir)
}

// Mirror makes /run tell what is staged, as upstream's tools read it; nil
// removes the mirror.
func Mirror(run *os.Root, st *Staged) error {
	if st == nil {
		if err := run.Remove(mirrorFile); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return nil
	}
	if err := run.MkdirAll(mirrorDir, 0o755); err != nil {
		return err
	}
	text := fmt.Appendf(nil, `{"depl_id":"%s","finalization_locked":%t}`, st.ID, st.Locked)
	return dir.WriteFile(run, mirrorFile, text, 0o644)
}
