package build

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"

	"github.com/bootc-go/bootc"
	"github.com/bootc-go/bootc/internal/format/tree"
	"github.com/bootc-go/bootc/internal/machine"
	"github.com/bootc-go/bootc/internal/machine/deploy"
)

// root makes the tree of the physical root: what stands in the directory of the
// described machine, owned by root; /etc and /var of the image; the repository.
func root(m *machine.Machine, manifest bootc.Digest, id bootc.ID, boots *tree.Tree, mtime tree.Time) (*tree.Tree, error) {
	top, err := readDir(m.Sysroot, ".", mtime)
	if err != nil {
		return nil, err
	}
	t := &tree.Tree{Root: top}
	repository, err := m.Repo.Snapshot(manifest, mtime)
	if err != nil {
		return nil, fmt.Errorf("listing the contents of the image: %w", err)
	}
	graft(t.Lookup("composefs"), repository)
	for name, n := range deploy.Grafts(id, boots) {
		graft(t.Lookup(name), n)
	}
	return t, nil
}

// readDir reads what a described machine has in its directory: directories,
// links and small files. Owner and permissions are those of an installation,
// whatever the user and the umask.
func readDir(root *os.Root, name string, mtime tree.Time) (*tree.Node, error) {
	dir := &tree.Node{Mode: tree.TypeDir | 0o755, Mtime: mtime}
	entries, err := fs.ReadDir(root.FS(), name)
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		below := path.Join(name, e.Name())
		n := &tree.Node{Mode: tree.TypeRegular | 0o644, Mtime: mtime}
		switch {
		case e.IsDir():
			n, err = readDir(root, below, mtime)
		case e.Type() == fs.ModeSymlink:
			n.Mode = tree.TypeSymlink | 0o777
			n.Target, err = root.Readlink(below)
		case e.Type().IsRegular():
			n.Content, err = root.ReadFile(below)
			n.Size = uint64(len(n.Content))
		default:
			err = errors.New("internal error: neither file, directory nor link")
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", below, err)
		}
		dir.SetChild(e.Name(), n)
	}
	return dir, nil
}

// graft gives a directory the metadata and the entries of another one, whose
// files with several names become several files, as in an installation. Entries
// that it has already stay.
func graft(dir, from *tree.Node) {
	dir.Mode, dir.UID, dir.GID, dir.Mtime, dir.Xattrs = from.Mode, from.UID, from.GID, from.Mtime, from.Xattrs
	for name, n := range from.Entries() {
		here := dir.Child(name)
		switch {
		case n.IsDir():
			if here == nil || !here.IsDir() {
				here = &tree.Node{}
				dir.SetChild(name, here)
			}
			graft(here, n)
		case here == nil:
			c := *n
			c.Nlink = 1
			dir.SetChild(name, &c)
		}
	}
}
