package mount

import (
	"errors"
	"fmt"
	"os"
	"runtime"

	"golang.org/x/sys/unix"

	"github.com/bootc-go/bootc/internal/linux/block"
)

// ComposefsOptions are the options of [Composefs].
type ComposefsOptions struct {
	// Source is what /proc/mounts shows as the device, "composefs:" and the id.
	Source string
	// Verity makes the kernel refuse a file of the objects that does not carry
	// the fs-verity digest that the image names. The mount succeeds even where
	// nothing can be verified; files can then not be opened.
	Verity bool
}

// Composefs mounts a composefs image, detached and read-only: an EROFS image
// file, with the contents of its files in the object directory.
//
// It needs Linux 6.5, with Verity 6.6. Linux 6.12 mounts the image file itself,
// older ones through a loop device. Linux 6.15 takes layers by descriptor;
// before that the EROFS mount has a place in /run for a moment, as the layers
// of an overlay had to be reachable by a path.
func Composefs(image, objects *os.File, o ComposefsOptions) (*os.File, error) {
	e, err := erofs(image)
	if err != nil {
		return nil, fmt.Errorf("mounting the image: %w", err)
	}
	defer e.Close()
	m, err := Overlay(OverlayOptions{Source: o.Source, Lower: e, Data: objects, Verity: o.Verity})
	if err != nil {
		return nil, fmt.Errorf("mounting the objects below the image: %w", err)
	}
	return m, nil
}

func erofs(image *os.File) (*os.File, error) {
	m, err := erofsFrom(procPath(image))
	if errors.Is(err, unix.ENOTBLK) {
		m, err = erofsLoop(image)
	}
	runtime.KeepAlive(image)
	return m, err
}

func erofsFrom(source string) (*os.File, error) { return Device("erofs", source, "ro") }

func erofsLoop(image *os.File) (*os.File, error) {
	loop, err := block.AttachLoop(image, block.LoopOptions{Release: true, Direct: true, SectorSize: 4096})
	if err != nil {
		return nil, err
	}
	// The device clears itself when the file system is unmounted.
	defer loop.Close()
	return erofsFrom(loop.Name())
}

// OverlayOptions are the layers of [Overlay].
type OverlayOptions struct {
	Source string // shown in /proc/mounts
	Lower  *os.File
	// Data is a layer of which only contents are used, by redirects. May be nil.
	Data   *os.File
	Verity bool // contents in Data are verified
	// Upper and Work make the overlay writable; both or none. They must not be
	// on a detached mount before Linux 6.15.
	Upper, Work *os.File
}

// Overlay mounts directories on top of each other, detached.
func Overlay(o OverlayOptions) (*os.File, error) {
	defer runtime.KeepAlive(o)
	m, err := o.byDescriptor()
	if err == nil || !unsupported(err) {
		return m, err
	}
	// A lower layer with a place in the tree needs no other one.
	if m, err := o.byPath(); err == nil || !unsupported(err) {
		return m, err
	}
	err = withPlace(o.Lower, func() error {
		var err error
		m, err = o.byPath()
		return err
	})
	return m, err
}

// byDescriptor hands the layers over as descriptors: Linux 6.13, for detached
// ones and those opened as a mere place 6.15.
func (o OverlayOptions) byDescriptor() (*os.File, error) {
	return o.mount(func(c *fsContext) error {
		err := c.setFile("lowerdir+", o.Lower)
		if o.Data != nil {
			err = errors.Join(err, c.setFile("datadir+", o.Data))
		}
		if o.Upper != nil {
			err = errors.Join(err, c.setFile("upperdir", o.Upper), c.setFile("workdir", o.Work))
		}
		return err
	})
}

// byPath names the layers: each by itself (Linux 6.7) or in one string (6.5).
func (o OverlayOptions) byPath() (*os.File, error) {
	m, err := o.mount(func(c *fsContext) error {
		err := c.set("lowerdir+", procPath(o.Lower))
		if o.Data != nil {
			err = errors.Join(err, c.set("datadir+", procPath(o.Data)))
		}
		return errors.Join(err, o.writablePath(c))
	})
	if err == nil || !unsupported(err) {
		return m, err
	}
	return o.byOnePath()
}

func (o OverlayOptions) byOnePath() (*os.File, error) {
	return o.mount(func(c *fsContext) error {
		layers := procPath(o.Lower)
		if o.Data != nil {
			layers += "::" + procPath(o.Data)
		}
		return errors.Join(c.set("lowerdir", layers), o.writablePath(c))
	})
}

func (o OverlayOptions) writablePath(c *fsContext) error {
	if o.Upper == nil {
		return nil
	}
	return errors.Join(c.set("upperdir", procPath(o.Upper)), c.set("workdir", procPath(o.Work)))
}

func (o OverlayOptions) mount(layers func(*fsContext) error) (*os.File, error) {
	c, err := open("overlay")
	if err != nil {
		return nil, err
	}
	defer c.close()
	settings := [][2]string{{"source", o.Source}}
	if o.Data != nil {
		settings = append(settings, [2]string{"metacopy", "on"}, [2]string{"redirect_dir", "on"})
	}
	if o.Verity {
		settings = append(settings, [2]string{"verity", "require"})
	}
	for _, s := range settings {
		if err := c.set(s[0], s[1]); err != nil {
			return nil, err
		}
	}
	if err := layers(c); err != nil {
		return nil, err
	}
	attrs := 0
	if o.Upper == nil {
		attrs = unix.MOUNT_ATTR_RDONLY
	}
	return c.mount(o.Source, attrs)
}

// withPlace gives a detached mount a place while do runs.
func withPlace(m *os.File, do func() error) (err error) {
	place, err := os.MkdirTemp("/run", "bootc-mount-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.Remove(place)) }()
	if err := Attach(m, place); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, Detach(place)) }()
	return do()
}
