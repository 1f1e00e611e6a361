// Package build makes disk images of an image, and media to boot from, without root,
// without mounts and without devices.
//
// It is an installation ([install.Plan.Fill]) on a machine that is only described:
// the image goes into a store of the user's, state and boot entries become file
// trees, and those are written as file systems, front to back, into all formats
// that were asked for at once. Objects are written with fs-verity enabled.
//
// Invariants:
//   - the same image and options give the same bytes, whoever builds;
//   - a file or directory has its name only when it is complete and on disk; after
//     an error there is no new one.
package build

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/bootc-go/bootc"
	"github.com/bootc-go/bootc/internal/action/install"
	"github.com/bootc-go/bootc/internal/format/blueprint"
	"github.com/bootc-go/bootc/internal/machine/custom"
	"github.com/bootc-go/bootc/internal/machine/storage"
)

// DefaultSize is the size of a disk for which none was asked, in bytes. One that
// an image does not fit is made larger.
const DefaultSize = 10 << 30

// Options say what to build. Install.Source, Types, Dir and Store are needed.
type Options struct {
	// Install says which image, and what goes in beside it. Its Device is not
	// used.
	Install install.Options
	Types   []string // names of formats; see Types
	Dir     string   // where the files go; must exist
	Name    string   // what the files are called, without ending; "": after the image
	Size    uint64   // of the disk in bytes; 0: DefaultSize, or what is needed
	Store   string   // a directory that keeps images between builds
	Keep    int      // how many images stay in it, those that were built last; 0: all
	Seed    string   // what identifiers are made of; "": the image
	// Time is when everything that the image does not date was made, in seconds
	// since 1970; nil: when the image was made.
	Time *int64
	// NoCloud is for cloud-init; nil: nothing.
	NoCloud *custom.Seed
	// Customize says what else is on the disk, and how large it must be.
	Customize blueprint.Blueprint
}

// A Plan says what will be built.
type Plan struct {
	Options    Options
	Manifest   bootc.Digest
	Partitions []storage.Partition // of a disk of Options.Size, or DefaultSize; none of a medium

	size    uint64 // of that disk
	formats []format
	install *install.Plan
}

// New looks at the image and at the directory, and changes nothing. The caller
// closes the plan.
func New(ctx context.Context, o Options) (*Plan, error) {
	p := &Plan{Options: o}
	if len(o.Types) == 0 {
		return nil, errors.New("no type of disk image was asked for")
	}
	for _, name := range o.Types {
		f, err := findFormat(name)
		if err != nil {
			return nil, err
		}
		if !slices.ContainsFunc(p.formats, func(g format) bool { return g.name == f.name }) {
			p.formats = append(p.formats, f)
		}
	}
	if p.Options.Name == "" {
		p.Options.Name = baseName(o.Install.Source)
	}
	if strings.ContainsAny(p.Options.Name, "/\x00") || p.Options.Name[0] == '.' {
		return nil, fmt.Errorf("the name %q cannot be that of a file", p.Options.Name)
	}
	if err := unix.Access(o.Dir, unix.W_OK|unix.X_OK); err != nil {
		return nil, fmt.Errorf("output directory %s: %w", o.Dir, err)
	}
	if err := p.checkMedia(); err != nil {
		return nil, err
	}
	var err error
	if p.makesDisks() {
		if p.size, p.Partitions, err = p.divide(needs{volumes: p.volumes()}); err != nil {
			return nil, err
		}
	}
	if err := o.checkKeys(); err != nil {
		return nil, err
	}
	if err := o.checkInstaller(); err != nil {
		return nil, err
	}
	p.Options.Install.Kargs = slices.Concat(o.Install.Kargs, o.Customize.Kargs)
	p.Options.Install.Device = ""
	if p.install, err = install.New(ctx, p.Options.Install); err != nil {
		return nil, err
	}
	p.Manifest = p.install.Manifest
	return p, nil
}

// Close releases the image's source.
func (p *Plan) Close() error { return p.install.Close() }

// String describes the plan.
func (p *Plan) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "Image: %s\nDigest: %s\n", p.Options.Install.Source.Containers(), p.Manifest)
	fmt.Fprintf(&b, "Follows: %s\n", p.install.Options.Target.Containers())
	if p.makesDisks() {
		b.WriteString(storage.Describe(p.size, p.Partitions))
	}
	if p.makesMedia() {
		b.WriteString("Medium: EFI system partition and root, as large as what is in them, never written\n")
	}
	for _, k := range p.Options.Install.Kargs {
		fmt.Fprintf(&b, "Kernel argument: %s\n", k)
	}
	if len(p.Options.Install.SSHKeys) > 0 {
		b.WriteString("SSH keys of root: yes\n")
	}
	for _, c := range p.Options.Install.Credentials {
		fmt.Fprintf(&b, "Credential: %s\n", c.Name)
	}
	if s := p.Options.NoCloud; s != nil {
		fmt.Fprintf(&b, "For cloud-init: %s\n", s.Names())
	}
	describe(&b, &p.Options.Customize)
	for _, f := range p.formats {
		if f.folder != nil {
			for _, name := range f.folder.names {
				if f.folder.has(p, name) {
					fmt.Fprintf(&b, "File: %s\n", filepath.Join(p.file(f.ending), name))
				}
			}
			continue
		}
		fmt.Fprintf(&b, "File: %s\n", p.file(f.ending))
		if f.beside != nil {
			fmt.Fprintf(&b, "File: %s\n", p.file(f.beside.ending))
		}
	}
	return b.String()
}

// file is where the file with an ending goes.
func (p *Plan) file(ending string) string {
	return filepath.Join(p.Options.Dir, p.Options.Name+"."+ending)
}

var notInName = regexp.MustCompile(`[^A-Za-z0-9._-]`)

// baseName is what an image is called without its place and tag.
func baseName(r bootc.Ref) string {
	name, _, _ := strings.Cut(r.Name, "@")
	name = path.Base(name)
	if at := strings.LastIndexByte(name, ':'); at > 0 {
		name = name[:at]
	}
	name = strings.TrimLeft(notInName.ReplaceAllString(name, "_"), ".")
	if name == "" {
		return "disk"
	}
	return name
}

// scratch makes a directory for what is small. remove removes it.
func scratch() (root *os.Root, remove func() error, err error) {
	dir, err := os.MkdirTemp("", "bootc-build-")
	if err != nil {
		return nil, nil, err
	}
	root, err = os.OpenRoot(dir)
	if err != nil {
		return nil, nil, errors.Join(err, os.RemoveAll(dir))
	}
	return root, func() error { return errors.Join(root.Close(), os.RemoveAll(dir)) }, nil
}
