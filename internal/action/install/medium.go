package install

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"time"

	"github.com/bootc-go/bootc"
	"github.com/bootc-go/bootc/internal/content/images"
	"github.com/bootc-go/bootc/internal/format/cmdline"
	"github.com/bootc-go/bootc/internal/format/tree"
	"github.com/bootc-go/bootc/internal/format/verity"
	"github.com/bootc-go/bootc/internal/linux/block"
	"github.com/bootc-go/bootc/internal/linux/dirtree"
	"github.com/bootc-go/bootc/internal/machine"
	"github.com/bootc-go/bootc/internal/machine/custom"
	"github.com/bootc-go/bootc/internal/machine/deploy"
)

// fromMedium takes from the medium what it says about the installation, and returns
// its image. It refuses the medium itself as the disk.
func (o *Options) fromMedium() (source, error) {
	m := o.Medium
	origin, err := m.State.Origin(m.Booted.ID)
	if err != nil {
		return nil, err
	}
	o.Source = origin.Ref
	if o.Target == (bootc.Ref{}) {
		o.Target = origin.Ref
	}
	o.Kargs = slices.Concat(m.Settings.Kargs, o.Kargs)
	booted, err := cmdline.Composefs(m.Booted.Cmdline)
	if err != nil {
		return nil, err
	}
	o.AllowMissingVerity = o.AllowMissingVerity || booted.Insecure
	if o.Device != "" {
		if err := refuseMedium(m, o.Device); err != nil {
			return nil, err
		}
	}
	src, err := m.Repo.Source(origin.Manifest)
	if err != nil {
		return nil, fmt.Errorf("image of the medium: %w", err)
	}
	return onMedium{src}, nil
}

// refuseMedium refuses a disk that the running system needs.
func refuseMedium(m *machine.Medium, device string) error {
	d, err := block.Open(device)
	if err != nil {
		return err
	}
	for _, used := range m.Disks {
		if used.Number == d.Number {
			return fmt.Errorf("%s is the medium that this system runs from", device)
		}
	}
	return nil
}

// onMedium is an image that stays open as long as the medium.
type onMedium struct{ images.Source }

func (onMedium) Close() error { return nil }

// A state is what the /etc and the /var of the installed machine are made of, in a
// tree with nothing else.
type state struct {
	tree *tree.Tree
	open deploy.Opener
}

// state returns what the image has, or, from a medium, what the medium has, with what
// was asked for. boots is the tree that boots.
func (p *Plan) state(ctx context.Context, m *machine.Machine, boots *tree.Tree) (state, error) {
	if p.Options.Medium == nil {
		return state{boots, m.Repo.OpenFile}, nil
	}
	sys, files, err := readMedium(ctx, p.Options.Medium, boots, m.Repo)
	if err != nil {
		return state{}, err
	}
	sys.Now, sys.Salt = time.Now().Unix(), rand.Text()
	top := &tree.Node{Mode: tree.TypeDir | 0o755}
	top.SetChild("etc", sys.Etc)
	top.SetChild("var", sys.Var)
	return state{&tree.Tree{Root: top}, files.open}, custom.Apply(&p.Options.Customize, sys)
}

// ReadAccess finds out who can log in to what a medium installs.
func ReadAccess(ctx context.Context, m *machine.Medium) (custom.Access, error) {
	boots, err := m.Repo.ReadImage(m.Booted.ID)
	if err != nil {
		return custom.Access{}, err
	}
	sys, _, err := readMedium(ctx, m, boots, m.Repo)
	if err != nil {
		return custom.Access{}, err
	}
	return custom.ReadAccess(sys)
}

// readMedium reads what a medium has in /etc and /var. boots is the tree that boots,
// repo has its objects.
func readMedium(ctx context.Context, m *machine.Medium, boots *tree.Tree, repo *images.Repository) (custom.System, *mediumFiles, error) {
	files := &mediumFiles{root: m.Sysroot, paths: map[verity.Digest]string{}, repo: repo}
	sys := custom.System{Image: boots, Read: files.readFile}
	for name, to := range map[string]**tree.Node{deploy.EtcPath(m.Booted.ID): &sys.Etc, deploy.VarPath(): &sys.Var} {
		var err error
		if *to, err = files.read(ctx, name); err != nil {
			return sys, nil, fmt.Errorf("reading %s of the medium: %w", name, err)
		}
	}
	return sys, files, nil
}

// mediumFiles opens the files of trees that were read from a medium, by what is in
// them. What is not there is in the image.
type mediumFiles struct {
	root  *os.Root
	paths map[verity.Digest]string
	repo  *images.Repository
}

// read reads a directory of the medium.
func (f *mediumFiles) read(ctx context.Context, name string) (*tree.Node, error) {
	d, err := f.root.Open(name)
	if err != nil {
		return nil, err
	}
	defer d.Close()
	t, err := dirtree.Read(ctx, d, dirtree.Options{Object: dirtree.Hash(verity.SHA512)})
	if err != nil {
		return nil, err
	}
	return t.Root, t.Walk(func(path string, n *tree.Node) error {
		if !n.Object.IsZero() {
			f.paths[n.Object] = name + path
		}
		return nil
	})
}

func (f *mediumFiles) open(n *tree.Node) (io.ReadCloser, error) {
	if path, ok := f.paths[n.Object]; ok {
		return f.root.Open(path)
	}
	return f.repo.OpenFile(n)
}

func (f *mediumFiles) readFile(n *tree.Node) (_ []byte, err error) {
	r, err := f.open(n)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	return io.ReadAll(r)
}
