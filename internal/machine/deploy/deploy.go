// Package deploy keeps the state of deployments on the physical root: their
// /etc, their origin, the shared /var, what is staged and what is not to be
// taken again.
//
// It does not know boot entries or images; package machine joins them.
//
// Invariants:
//   - what [State.Create] has returned from is complete, and on disk after the
//     next flush of the file system; before that no name in state/deploy
//     stands for a half-made deployment;
//   - [State.SetStaged] is on disk when it returns: it is the commit point of
//     staging.
//
// The files are specified in docs/formats/state.md.
package deploy

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"

	"github.com/bootc-go/bootc"
	"github.com/bootc-go/bootc/internal/format/tree"
	"github.com/bootc-go/bootc/internal/linux/dir"
	"github.com/bootc-go/bootc/internal/machine/etc"
)

const (
	deployDir = "state/deploy"
	varDir    = "state/os/default/var"
	bootcDir  = "state/bootc"
	varLink   = "../../os/default/var"
)

// A State is the deployment state of one machine.
type State struct {
	root *os.Root
	// bare: /etc and /var of images are not written; see NewBare.
	bare bool
}

// An Opener opens the content of a regular file of an image.
type Opener func(*tree.Node) (io.ReadCloser, error)

// New returns the state kept on the physical root. Nothing is read.
func New(sysroot *os.Root) *State { return &State{root: sysroot} }

// NewBare returns the state of a machine whose root is a directory of an
// ordinary user, who cannot give files to others: /etc and /var of an image stay
// empty there. Who makes a file system of the directory adds [Grafts].
func NewBare(sysroot *os.Root) *State { return &State{root: sysroot, bare: true} }

// Grafts are the directories of an image that belong to the state of a
// deployment, by their paths on the physical root. They are what Create and
// CopyVar write; what those leave out is removed from the image's tree.
func Grafts(id bootc.ID, image *tree.Tree) map[string]*tree.Node {
	etc := image.Lookup("/etc")
	etc.RemoveChild(".updated")
	grafts := map[string]*tree.Node{EtcPath(id): etc}
	if n := image.Lookup("/var"); n != nil && n.IsDir() {
		grafts[VarPath()] = n
	}
	return grafts
}

// Init makes the directories of a machine that is being installed. It can be
// called again.
func (s *State) Init() error {
	for _, name := range []string{deployDir, varDir, bootcDir} {
		if err := s.root.MkdirAll(name, 0o755); err != nil {
			return err
		}
	}
	if s.NoHistory() { // so that a check can tell that it is lost
		return s.ForgetAll()
	}
	return nil
}

// Path returns the directory of a deployment, relative to the physical root.
func Path(id bootc.ID) string { return path.Join(deployDir, string(id)) }

// EtcPath returns the /etc of a deployment, relative to the physical root.
func EtcPath(id bootc.ID) string { return path.Join(Path(id), "etc") }

// VarPath returns the /var of all deployments, relative to the physical root.
func VarPath() string { return varDir }

// Create makes the state of a deployment: /etc as the image has it, the link
// to the shared /var, the origin. A state that exists keeps its /etc and gets
// the new origin. After an error or a power cut a leftover may remain under a
// name that is no deployment ID; [State.RemoveLeftovers] removes it.
func (s *State) Create(ctx context.Context, id bootc.ID, image *tree.Tree, open Opener, o Origin) error {
	if s.Exists(id) {
		return s.WriteOrigin(id, o)
	}
	flusher, err := dir.NewFlusher(s.root)
	if err != nil {
		return err
	}
	defer flusher.Close()
	work := path.Join(deployDir, ".new-"+string(id))
	if err := s.root.RemoveAll(work); err != nil {
		return err
	}
	if err := s.root.MkdirAll(work, 0o755); err != nil {
		return err
	}
	w, err := s.root.OpenRoot(work)
	if err != nil {
		return err
	}
	defer w.Close()
	if err := s.writeEtc(ctx, w, "etc", image, open); err != nil {
		return err
	}
	if err := w.Symlink(varLink, "var"); err != nil {
		return err
	}
	if err := writeOrigin(w, ".", id, o); err != nil {
		return err
	}
	if err := flusher.Flush(); err != nil {
		return err
	}
	if err := s.root.Rename(work, Path(id)); err != nil {
		return err
	}
	return dir.SyncDir(s.root, deployDir)
}

// writeEtc makes the directory name as the /etc of the image.
func (s *State) writeEtc(ctx context.Context, w *os.Root, name string, image *tree.Tree, open Opener) error {
	n := image.Lookup("/etc")
	if n == nil || !n.IsDir() {
		return fmt.Errorf("the image has no directory /etc")
	}
	if err := w.Mkdir(name, 0o755); err != nil || s.bare {
		return err
	}
	etcRoot, err := w.OpenRoot(name)
	if err != nil {
		return err
	}
	defer etcRoot.Close()
	if err := etc.Materialize(ctx, etcRoot, n, open); err != nil {
		return fmt.Errorf("writing /etc: %w", err)
	}
	if err := etcRoot.Remove(".updated"); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// MergeEtc gives the deployment a new /etc: the image's own with the changes
// of the plan, which were made against current. The old one is replaced in one
// step, after the new one is on disk. Conflicts are the caller's concern.
func (s *State) MergeEtc(ctx context.Context, id bootc.ID, image *tree.Tree, open Opener, plan *etc.Plan, current *dir.Dir) error {
	d, err := s.root.OpenRoot(Path(id))
	if err != nil {
		return err
	}
	defer d.Close()
	flusher, err := dir.NewFlusher(s.root)
	if err != nil {
		return err
	}
	defer flusher.Close()
	const work = "etc.new"
	if err := d.RemoveAll(work); err != nil {
		return err
	}
	if err := s.writeEtc(ctx, d, work, image, open); err != nil {
		return err
	}
	f, err := d.Open(work)
	if err != nil {
		return err
	}
	next := dir.FromFile(f)
	defer next.Close()
	if err := plan.Apply(ctx, current, next); err != nil {
		return err
	}
	if err := d.Remove(path.Join(work, ".updated")); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := flusher.Flush(); err != nil {
		return err
	}
	if err := dir.Exchange(d, work, "etc"); err != nil {
		return err
	}
	if err := dir.SyncDir(d, "."); err != nil {
		return err
	}
	return d.RemoveAll(work)
}

// CopyVar writes the image's /var into the shared /var. Install calls it once;
// later images do not change /var.
func (s *State) CopyVar(ctx context.Context, image *tree.Tree, open Opener) error {
	n := image.Lookup("/var")
	if n == nil || !n.IsDir() || s.bare {
		return nil
	}
	w, err := s.root.OpenRoot(varDir)
	if err != nil {
		return err
	}
	defer w.Close()
	return etc.Materialize(ctx, w, n, open)
}

// Exists reports whether there is state for the deployment.
func (s *State) Exists(id bootc.ID) bool {
	_, err := s.root.Lstat(path.Join(Path(id), string(id)+".origin"))
	return err == nil
}

// Origin reads where a deployment came from.
func (s *State) Origin(id bootc.ID) (Origin, error) {
	data, err := s.root.ReadFile(path.Join(Path(id), string(id)+".origin"))
	if err != nil {
		return Origin{}, err
	}
	o, err := ParseOrigin(data)
	if err != nil {
		return Origin{}, fmt.Errorf("origin of deployment %s: %w", id.Short(), err)
	}
	return o, nil
}

// WriteOrigin replaces the origin of a deployment, and then its second copy. Without
// kernel arguments those of the copy stay.
func (s *State) WriteOrigin(id bootc.ID, o Origin) error {
	if was, err := s.Recorded(id); err == nil && was != nil && o.Options == "" {
		o.Options = was.Options
	}
	return writeOrigin(s.root, Path(id), id, o)
}

func writeOrigin(root *os.Root, top string, id bootc.ID, o Origin) error {
	if err := dir.WriteFile(root, path.Join(top, string(id)+".origin"), o.Bytes(), public); err != nil {
		return err
	}
	return writeSummed(root, recordPath(top, id), o.record(), public)
}

// WriteEtcFile adds a file to the /etc of a deployment that does not run.
// Directories that are missing are made.
func (s *State) WriteEtcFile(id bootc.ID, name string, data []byte, perm os.FileMode) error {
	p := path.Join(EtcPath(id), name)
	if err := s.root.MkdirAll(path.Dir(p), 0o755); err != nil {
		return err
	}
	return dir.WriteFile(s.root, p, data, perm)
}

// IDs lists the deployments that have state, in no particular order.
func (s *State) IDs() ([]bootc.ID, error) {
	entries, err := dir.ReadDir(s.root, deployDir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var ids []bootc.ID
	for _, e := range entries {
		if id, err := bootc.ParseID(e.Name()); err == nil && e.IsDir() {
			ids = append(ids, id)
		}
	}
	return ids, nil
}

// Remove removes the state of a deployment, its /etc included. The name goes
// first, so that a power cut leaves a leftover and not half a deployment.
func (s *State) Remove(id bootc.ID) error {
	old := path.Join(deployDir, ".old-"+string(id))
	if err := s.root.RemoveAll(old); err != nil {
		return err
	}
	err := s.root.Rename(Path(id), old)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return s.root.RemoveAll(old)
}

// RemoveLeftovers removes what interrupted operations left in state/deploy.
func (s *State) RemoveLeftovers() error {
	entries, err := dir.ReadDir(s.root, deployDir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, e := range entries {
		name := path.Join(deployDir, e.Name())
		switch _, err := bootc.ParseID(e.Name()); {
		case err == nil && e.IsDir():
			name = path.Join(name, "etc.new")
		case err != nil && e.Name()[0] != '.': // a file with the name of a deployment is none
			continue
		}
		if err := s.root.RemoveAll(name); err != nil {
			return err
		}
	}
	return nil
}
