// Package bootable reads from an image what is needed to boot it: kernel and
// initrd, or a unified kernel image, the names it gives itself, and the kernel
// arguments it asks for.
//
// It reads only; package boot writes to the loader's partition.
//
// An image has exactly one kernel: /usr/lib/modules/<version>/vmlinuz with
// initramfs.img beside it, or a unified kernel image in /boot/EFI/Linux.
package bootable

import (
	"fmt"
	"strings"

	"github.com/bootc-go/bootc/internal/format/cmdline"
	"github.com/bootc-go/bootc/internal/format/osrelease"
	"github.com/bootc-go/bootc/internal/format/tree"
)

// A System is what an image brings to boot.
type System struct {
	// Version is the kernel's version, or the file name of a UKI without .efi.
	Version string
	// Kernel and Initrd are set for an image with a plain kernel, UKI for one
	// with a unified kernel image.
	Kernel, Initrd, UKI *tree.Node
	// Release is the image's /usr/lib/os-release.
	Release osrelease.Release
	// Kargs are the arguments of /usr/lib/bootc/kargs.d for the architecture.
	Kargs []string
	// Judges is true if the system can say that a boot of it is good.
	Judges bool
}

// judge is the unit that says so: docs/formats/boot-entries.md, "An entry on
// trial".
const judge = "/usr/lib/systemd/system/bootc-bless-boot.service"

// A Reader reads the whole content of a regular file of the image.
type Reader func(*tree.Node) ([]byte, error)

// Read finds the kernel of an image and reads its names and arguments. t is
// the image's plain tree, in which /boot is not emptied, arch the architecture of
// the machine, as Go names it.
func Read(t *tree.Tree, read Reader, arch string) (*System, error) {
	s := &System{}
	if err := s.findKernel(t); err != nil {
		return nil, err
	}
	if n := regular(t, "/usr/lib/os-release"); n != nil {
		data, err := read(n)
		if err != nil {
			return nil, fmt.Errorf("reading /usr/lib/os-release: %w", err)
		}
		s.Release = osrelease.Parse(data)
	}
	s.Judges = regular(t, judge) != nil
	var err error
	if s.Kargs, err = readKargs(t, read, arch); err != nil {
		return nil, err
	}
	return s, nil
}

func (s *System) findKernel(t *tree.Tree) error {
	if name, n := firstUKI(t); n != nil {
		s.Version, s.UKI = strings.TrimSuffix(name, ".efi"), n
		return nil
	}
	modules := t.Lookup("/usr/lib/modules")
	if modules == nil || !modules.IsDir() {
		return fmt.Errorf("the image has no kernel: no directory /usr/lib/modules and no unified kernel image in /boot/EFI/Linux")
	}
	var found []string
	for _, version := range modules.Names() {
		if d := modules.Child(version); d.IsDir() && d.Child("vmlinuz") != nil {
			found = append(found, version)
		}
	}
	switch len(found) {
	case 1:
	case 0:
		return fmt.Errorf("the image has no kernel: no /usr/lib/modules/*/vmlinuz and no unified kernel image in /boot/EFI/Linux")
	default:
		return fmt.Errorf("the image has %d kernels where one is allowed: %s", len(found), strings.Join(found, ", "))
	}
	d := modules.Child(found[0])
	s.Version, s.Kernel, s.Initrd = found[0], d.Child("vmlinuz"), d.Child("initramfs.img")
	for name, n := range map[string]*tree.Node{"vmlinuz": s.Kernel, "initramfs.img": s.Initrd} {
		if n == nil || !n.IsRegular() || n.Size == 0 {
			return fmt.Errorf("the image has no regular file /usr/lib/modules/%s/%s", s.Version, name)
		}
	}
	return nil
}

// firstUKI returns the first unified kernel image in byte order.
func firstUKI(t *tree.Tree) (string, *tree.Node) {
	d := t.Lookup("/boot/EFI/Linux")
	if d == nil || !d.IsDir() {
		return "", nil
	}
	for _, name := range d.Names() {
		if n := d.Child(name); strings.HasSuffix(name, ".efi") && n.IsRegular() {
			return name, n
		}
	}
	return "", nil
}

const kargsDir = "/usr/lib/bootc/kargs.d"

func readKargs(t *tree.Tree, read Reader, arch string) ([]string, error) {
	d := t.Lookup(kargsDir)
	if d == nil || !d.IsDir() {
		return nil, nil
	}
	var files []cmdline.File
	for _, name := range d.Names() {
		if !strings.HasSuffix(name, ".toml") || name == ".toml" {
			continue
		}
		n := d.Child(name)
		if !n.IsRegular() {
			return nil, fmt.Errorf("%s/%s is not a regular file", kargsDir, name)
		}
		data, err := read(n)
		if err != nil {
			return nil, fmt.Errorf("reading %s/%s: %w", kargsDir, name, err)
		}
		files = append(files, cmdline.File{Name: name, Data: data})
	}
	return cmdline.ParseKargsD(files, arch)
}

func regular(t *tree.Tree, path string) *tree.Node {
	if n := t.Lookup(path); n != nil && n.IsRegular() {
		return n
	}
	return nil
}
