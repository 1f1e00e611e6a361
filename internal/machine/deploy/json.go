package deploy

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"

	"github.com/bootc-go/bootc/internal/linux/dir"
)

// formatVersion is that of all files in state/bootc. A reader refuses a greater
// one.
const formatVersion = 1

// The permissions of files.
const (
	public  fs.FileMode = 0o644
	private fs.FileMode = 0o600 // it has lines of the journal
)

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

func (s *State) writeJSON(name string, v any, perm fs.FileMode) error {
	data, err := json.Marshal(v)
	if err != nil {
		return err
	}
	if err := s.root.MkdirAll(bootcDir, 0o755); err != nil {
		return err
	}
	return dir.WriteFile(s.root, name, append(data, '\n'), perm)
}
