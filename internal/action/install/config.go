package install

import (
	"errors"
	"fmt"
	"path"

	"golang.org/x/sys/unix"

	"github.com/bootc-go/bootc/internal/format/cmdline"
	"github.com/bootc-go/bootc/internal/format/installconfig"
	"github.com/bootc-go/bootc/internal/format/tree"
	"github.com/bootc-go/bootc/internal/linux/dir"
	"github.com/bootc-go/bootc/internal/machine/bootable"
)

// hides is the text of a link that hides a file of its name.
const hides = "/dev/null"

// ReadConfig reads the installation defaults of the running root: in a container,
// those of its image, with what was mounted over them. goarch is the architecture
// as Go names it.
func ReadConfig(root *dir.Dir, goarch string) (*installconfig.Config, error) {
	var files []installconfig.File
	for _, d := range installconfig.Dirs() {
		more, err := readDir(root, d)
		if err != nil {
			return nil, err
		}
		files = append(files, more...)
	}
	return load(files, goarch)
}

func readDir(root *dir.Dir, d string) ([]installconfig.File, error) {
	entries, err := root.ReadDir(d)
	if nowhere(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var files []installconfig.File
	for _, e := range entries {
		f := installconfig.File{Dir: d, Name: e.Name()}
		if !installconfig.Wanted(f.Name) {
			continue
		}
		if text, err := root.Readlink(path.Join(d, f.Name)); err == nil && text == hides {
			files = append(files, f)
			continue
		}
		info, err := root.Stat(path.Join(d, f.Name))
		if nowhere(err) || err == nil && !info.Mode().IsRegular() {
			continue
		}
		if err != nil {
			return nil, err
		}
		if f.Data, err = root.ReadFile(path.Join(d, f.Name)); err != nil {
			return nil, err
		}
		files = append(files, f)
	}
	return files, nil
}

// nowhere reports whether an error says that a path leads nowhere.
func nowhere(err error) bool {
	return errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR) || errors.Is(err, unix.ELOOP)
}

// readImageConfig reads the installation defaults of an image for an
// architecture, which is named as Go does.
func readImageConfig(t *tree.Tree, read bootable.Reader, arch string) (*installconfig.Config, error) {
	var files []installconfig.File
	for _, d := range installconfig.Dirs() {
		in := t.Resolve(d)
		if in == nil || !in.IsDir() {
			continue
		}
		for name, n := range in.Entries() {
			f := installconfig.File{Dir: d, Name: name}
			if !installconfig.Wanted(name) {
				continue
			}
			if n.IsSymlink() && n.Target == hides {
				files = append(files, f)
				continue
			}
			if n = t.Resolve(path.Join(d, name)); n == nil || !n.IsRegular() {
				continue
			}
			var err error
			if f.Data, err = read(n); err != nil {
				return nil, fmt.Errorf("reading %s/%s: %w", d, name, err)
			}
			files = append(files, f)
		}
	}
	return load(files, arch)
}

func load(files []installconfig.File, goarch string) (*installconfig.Config, error) {
	arch, err := cmdline.ArchName(goarch)
	if err != nil {
		return nil, err
	}
	c, err := installconfig.Load(files, arch)
	if err != nil {
		return nil, fmt.Errorf("installation defaults: %w", err)
	}
	return c, nil
}
