package deploy

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path"

	"github.com/bootc-go/bootc"
	"github.com/bootc-go/bootc/internal/linux/dir"
)

// The files of the state that are not a deployment's, by their paths on the
// physical root.
const (
	StagedFile  = stagedFile
	HistoryFile = historyFile
	TrialFile   = trialFile
)

// NoHistory reports whether there is no history.json. An installation writes one, and
// no verb removes it; machines of upstream, and older ones, may have none.
func (s *State) NoHistory() bool {
	_, err := s.root.Lstat(historyFile)
	return errors.Is(err, fs.ErrNotExist)
}

// CheckFile reads one of the files of the state as far as it can be judged by
// itself: its format, its version, what must be digests and IDs, its sum. One that
// is not there is right.
func (s *State) CheckFile(name string) error {
	data, err := s.root.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	var members map[string]json.RawMessage
	if err := json.Unmarshal(data, &members); err != nil {
		return err
	}
	switch name {
	case stagedFile:
		var st *Staged
		if st, err = s.Staged(); err == nil && st != nil {
			_, err = bootc.ParseDigest(string(st.Manifest))
		}
	case historyFile:
		var h *history
		if h, err = s.history(); err == nil {
			err = h.check()
		}
	case trialFile:
		var t *Trial
		if t, err = s.Trial(); err == nil && t != nil {
			_, err = bootc.ParseID(string(t.ID))
		}
	default:
		return fmt.Errorf("internal error: %s is not a file of the state", name)
	}
	if err != nil {
		return err
	}
	// One of these files over another one would parse.
	must := map[string]string{stagedFile: "locked", historyFile: "rejected", trialFile: "boots"}[name]
	if _, ok := members[must]; !ok {
		return fmt.Errorf("it has no %q", must)
	}
	return checkSum(data)
}

func (h *history) check() error {
	for _, r := range h.Rejected {
		if _, err := bootc.ParseDigest(string(r.Manifest)); err != nil {
			return err
		}
	}
	return nil
}

// damaged ends the name of what has been set aside.
const damaged = ".damaged"

// SetAside gives a file of the state another name, under which nothing looks at
// it, and returns that. It is on disk on return.
func (s *State) SetAside(name string) (string, error) {
	aside := name + damaged
	if err := s.root.RemoveAll(aside); err != nil {
		return "", err
	}
	if err := s.root.Rename(name, aside); err != nil {
		return "", err
	}
	return aside, dir.SyncDir(s.root, path.Dir(name))
}

// A Part is what a deployment must have beside its origin.
type Part string

// The parts of a deployment, and the /var of all of them.
const (
	Etc     Part = "etc"
	VarLink Part = "var"
	Var     Part = varDir
)

// CheckPart reports what is wrong with a part of a deployment. wantEtc is true if
// its image has something in /etc.
func (s *State) CheckPart(id bootc.ID, p Part, wantEtc bool) error {
	name := s.partPath(id, p)
	st, err := s.root.Lstat(name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return errors.New("it is missing")
	case err != nil:
		return err
	case p == VarLink:
		if st.IsDir() {
			return nil // it boots, too; whoever has made it knows why
		}
		if text, err := s.root.Readlink(name); err != nil || text != varLink {
			return errors.New("it is not the link to the /var of all deployments")
		}
		return nil
	case !st.IsDir():
		return errors.New("it is not a directory")
	case p == Etc && wantEtc:
		all, err := dir.ReadDir(s.root, name)
		if err == nil && len(all) == 0 {
			err = errors.New("it is empty")
		}
		return err
	}
	return nil
}

func (s *State) partPath(id bootc.ID, p Part) string {
	if p == Var {
		return varDir
	}
	return path.Join(Path(id), string(p))
}

// RestorePart puts a part that is missing back, empty; what stands in its place and
// is of another kind is set aside. /etc is filled by [State.MergeEtc].
func (s *State) RestorePart(id bootc.ID, p Part) error {
	name := s.partPath(id, p)
	st, err := s.root.Lstat(name)
	if err == nil && !st.IsDir() && (p != VarLink || st.Mode().Type() != fs.ModeSymlink) {
		_, err = s.SetAside(name)
	} else if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	if err != nil {
		return err
	}
	if p == VarLink {
		err = dir.Symlink(s.root, varLink, name)
	} else {
		err = s.root.MkdirAll(name, 0o755)
	}
	if err != nil {
		return err
	}
	return dir.SyncDir(s.root, path.Dir(name))
}

// Has reports whether there is a directory for the deployment, whatever is in it.
func (s *State) Has(id bootc.ID) bool {
	st, err := s.root.Lstat(Path(id))
	return err == nil && st.IsDir()
}

// MakeDir makes the directory of a deployment that has none; a file in its place is
// set aside. What is in it has to be restored.
func (s *State) MakeDir(id bootc.ID) error {
	if _, err := s.root.Lstat(Path(id)); err == nil {
		if _, err := s.SetAside(Path(id)); err != nil {
			return err
		}
	}
	if err := s.root.MkdirAll(Path(id), 0o755); err != nil {
		return err
	}
	return dir.SyncDir(s.root, deployDir)
}
