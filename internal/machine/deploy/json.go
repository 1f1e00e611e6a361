package deploy

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/bootc-go/bootc/internal/linux/dir"
)

// formatVersion is that of all JSON files of the state. A reader refuses a greater
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
	if err := s.root.MkdirAll(bootcDir, 0o755); err != nil {
		return err
	}
	return writeSummed(s.root, name, v, perm)
}

// writeSummed writes an object that has members, with its sum.
func writeSummed(root *os.Root, name string, v any, perm fs.FileMode) error {
	data, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return dir.WriteFile(root, name, append(withSum(data), '\n'), perm)
}

// sumKey begins the last member of an object: docs/formats/state.md, "The sum".
const sumKey = `,"sum":"`

// withSum adds the sum to the text of an object that has members.
func withSum(object []byte) []byte {
	open := object[:len(object)-1]
	return append(bytes.Clone(open), sumKey+sum(open)+`"}`...)
}

// checkSum compares the text of an object with its sum. One that has none is
// right.
func checkSum(text []byte) error {
	text = bytes.TrimSpace(text)
	i := bytes.LastIndex(text, []byte(sumKey))
	if i < 0 {
		return nil
	}
	if want := sumKey + sum(text[:i]) + `"}`; string(text[i:]) != want {
		return errors.New("its content does not have the sum that it names")
	}
	return nil
}

func sum(text []byte) string {
	h := sha256.Sum256(text)
	return hex.EncodeToString(h[:16])
}
