package initramfs

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"github.com/bootc-go/bootc/internal/linux/dir"
	"github.com/bootc-go/bootc/internal/linux/mount"
)

// A stage is a place for mounts that are being put together: a tmpfs whose
// mounts do not spread to other places. Before Linux 6.15 mounts could not be
// put into one that has no place yet, and a mount could never be moved out of a
// place whose mounts spread, as all do under systemd.
type stage struct {
	path string
	at   *os.File // the directory path
	root string   // name of the new root, a mount in the stage
	// medium: the physical root is not written, and its state is transient.
	medium bool
}

func newStage() (_ *stage, err error) {
	tmp, err := mount.Tmpfs("mode=0700")
	if err != nil {
		return nil, err
	}
	defer tmp.Close()
	path, err := os.MkdirTemp("/run", "bootc-root-")
	if err != nil {
		return nil, err
	}
	s := &stage{path: path, root: "image"}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.close())
		}
	}()
	if err := mount.Attach(tmp, path); err != nil {
		return nil, err
	}
	if err := mount.Private(tmp); err != nil {
		return nil, err
	}
	s.at, err = os.Open(path)
	return s, err
}

// close takes the stage away. A root that was moved to its target stays.
func (s *stage) close() error {
	var err error
	if s.at != nil {
		err = s.at.Close()
		err = errors.Join(err, mount.Detach(s.path))
	}
	return errors.Join(err, os.Remove(s.path))
}

// attach gives a mount the place name in the stage.
func (s *stage) attach(m *os.File, name string) error {
	if err := os.Mkdir(s.path+"/"+name, 0o755); err != nil {
		return err
	}
	return mount.AttachAt(m, s.at, name)
}

// attachIn gives a mount the place name in the new root. A symbolic link there
// is not followed.
func (s *stage) attachIn(m *os.File, name string) error {
	root, err := os.Open(s.path + "/" + s.root)
	if err != nil {
		return err
	}
	defer root.Close()
	return mount.AttachAt(m, root, name)
}

// attachPhysical gives the physical root a second mount in the stage, which is
// writable except on a medium. Its file system is made writable: /etc and /var
// are on it, whether or not the kernel command line has rw. A disk that cannot
// be written boots all the same.
func (s *stage) attachPhysical(physical *os.File, log io.Writer) error {
	if !s.medium {
		if err := mount.MakeWritable(physical); err != nil {
			fmt.Fprintf(log, "warning: /etc and /var will be read-only: %v\n", err)
		}
	}
	m, err := mount.CloneFile(physical)
	if err != nil {
		return err
	}
	defer m.Close()
	if err := mount.SetReadOnly(m, s.medium); err != nil {
		return err
	}
	return s.attach(m, "physical")
}

// state sets up the directory name, etc or var, of the new root.
func (s *stage) state(name string, how mode, id string) error {
	if how == none {
		return nil
	}
	m, err := s.mountState(name, how, id)
	if err != nil {
		return err
	}
	defer m.Close()
	return s.attachIn(m, name)
}

func (s *stage) mountState(name string, how mode, id string) (*os.File, error) {
	if s.medium && how == overlay {
		how = transient
	}
	// Also below a transient root the layer is the image's directory: the kernel
	// stacks overlays two high.
	lower := "image/" + name
	if how == transient {
		return s.overlayTransient(lower, name, "transient")
	}
	physical, err := dir.Open(s.path + "/physical")
	if err != nil {
		return nil, err
	}
	defer physical.Close()
	// The link state/deploy/ID/var leads upwards, so the path is resolved in the
	// physical root.
	d, err := physical.OpenDir("state/deploy/" + id + "/" + name)
	if err != nil {
		return nil, err
	}
	defer d.Close()
	switch {
	case how == bind && s.medium:
		return s.forget(d.File(), name, "transient")
	case how == bind:
		return mount.CloneFile(d.File())
	}
	root, err := os.OpenRoot(fmt.Sprintf("/proc/self/fd/%d", d.File().Fd()))
	if err != nil {
		return nil, err
	}
	defer root.Close()
	return s.overlayChanges(lower, root, "overlay")
}

// overlayTransient lays a new tmpfs over a directory of the stage.
func (s *stage) overlayTransient(lower, name, source string) (*os.File, error) {
	below, err := dir.FromFile(s.at).OpenDir(lower)
	if err != nil {
		return nil, err
	}
	defer below.Close()
	return s.forget(below.File(), name, source)
}

// forget lays a new tmpfs over a directory that has a place in the stage.
func (s *stage) forget(below *os.File, name, source string) (*os.File, error) {
	tmp, err := mount.Tmpfs("mode=0755")
	if err != nil {
		return nil, err
	}
	defer tmp.Close()
	if err := s.attach(tmp, "transient-"+name); err != nil {
		return nil, err
	}
	root, err := os.OpenRoot(s.path + "/transient-" + name)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	return layOver(below, root, source)
}

// overlayChanges lays changes over a directory of the stage.
func (s *stage) overlayChanges(lower string, changes *os.Root, source string) (*os.File, error) {
	below, err := dir.FromFile(s.at).OpenDir(lower)
	if err != nil {
		return nil, err
	}
	defer below.Close()
	return layOver(below.File(), changes, source)
}

// layOver lays the directory upper of changes over a directory. The merged
// directory has the mode of upper, so that one must let people in.
func layOver(below *os.File, changes *os.Root, source string) (*os.File, error) {
	for name, perm := range map[string]fs.FileMode{"upper": 0o755, "work": 0o700} {
		if err := changes.Mkdir(name, perm); err != nil && !errors.Is(err, fs.ErrExist) {
			return nil, err
		}
	}
	upper, err := changes.Open("upper")
	if err != nil {
		return nil, err
	}
	defer upper.Close()
	work, err := changes.Open("work")
	if err != nil {
		return nil, err
	}
	defer work.Close()
	return mount.Overlay(mount.OverlayOptions{Source: source, Lower: below, Upper: upper, Work: work})
}
