package deploy

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"time"

	"github.com/bootc-go/bootc"
	"github.com/bootc-go/bootc/internal/linux/dir"
)

const (
	stagedFile    = bootcDir + "/staged.json"
	historyFile   = bootcDir + "/history.json"
	formatVersion = 1
	maxHistory    = 32

	mirrorDir  = "composefs"
	mirrorFile = mirrorDir + "/staged-deployment"
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
	return s.writeJSON(stagedFile, st)
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

// A Rejection is an image that is not to be taken again by itself.
type Rejection struct {
	Manifest bootc.Digest `json:"manifest"`
	Reason   string       `json:"reason"` // "rolled back"
	Time     time.Time    `json:"time"`
}

type history struct {
	Version  int         `json:"version"`
	Rejected []Rejection `json:"rejected"`
}

// Rejected returns why an image is not to be taken again, nil if it may be.
func (s *State) Rejected(manifest bootc.Digest) (*Rejection, error) {
	h, err := s.history()
	if err != nil {
		return nil, err
	}
	for _, r := range h.Rejected {
		if r.Manifest == manifest {
			return &r, nil
		}
	}
	return nil, nil
}

// Reject records that an image is not to be taken again.
func (s *State) Reject(r Rejection) error {
	h, err := s.history()
	if err != nil {
		return err
	}
	h.forget(r.Manifest)
	h.Rejected = append(h.Rejected, r)
	if n := len(h.Rejected); n > maxHistory {
		h.Rejected = h.Rejected[n-maxHistory:]
	}
	return s.writeJSON(historyFile, h)
}

// Accept takes back what [State.Reject] recorded.
func (s *State) Accept(manifest bootc.Digest) error {
	h, err := s.history()
	if err != nil || !h.forget(manifest) {
		return err
	}
	return s.writeJSON(historyFile, h)
}

func (h *history) forget(manifest bootc.Digest) bool {
	n := len(h.Rejected)
	h.Rejected = slices.DeleteFunc(h.Rejected, func(r Rejection) bool { return r.Manifest == manifest })
	return len(h.Rejected) != n
}

func (s *State) history() (*history, error) {
	h := &history{Version: formatVersion}
	_, err := s.readJSON(historyFile, h, &h.Version)
	return h, err
}

// readJSON reports whether the file is there. version points into v.
func (s *State) readJSON(name string, v any, version *int) (bool, error) {
	data, err := s.root.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	if err := json.Unmarshal(data, v); err != nil {
		return false, fmt.Errorf("reading %s: %w", name, err)
	}
	if *version > formatVersion {
		return false, fmt.Errorf("reading %s: format version %d is newer than %d", name, *version, formatVersion)
	}
	return true, nil
}

func (s *State) writeJSON(name string, v any) error {
	data, err := json.Marshal(v)
	if err != nil {
		return err
	}
	if err := s.root.MkdirAll(bootcDir, 0o755); err != nil {
		return err
	}
	return dir.WriteFile(s.root, name, append(data, '\n'), 0o644)
}
