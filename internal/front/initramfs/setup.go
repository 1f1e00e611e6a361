package initramfs

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/bootc-go/bootc/internal/format/cmdline"
	"github.com/bootc-go/bootc/internal/format/verity"
	"github.com/bootc-go/bootc/internal/linux/dir"
	"github.com/bootc-go/bootc/internal/linux/fsverity"
	"github.com/bootc-go/bootc/internal/linux/mount"
)

// DefaultSysroot is where an initramfs with systemd mounts the physical root.
const DefaultSysroot = "/sysroot"

// Options are the options of [Setup].
type Options struct {
	Sysroot string // where the physical root is mounted
	Target  string // where the new root goes; "": in the place of Sysroot
	Config  string
	RootFS  string // a directory to use instead of the image, for tests
	Cmdline string // "": that of the running kernel
	// VolatileRoot is a link to make to the device of the physical root, which
	// lets systemd-gpt-auto-generator find its disk; "": none.
	VolatileRoot string
	// Run is a directory for the marker of a medium, which will be /run; "": none.
	Run string
	Log io.Writer // for warnings; nil: none
}

// Setup makes the new root. Where the deployment cannot be used, the error is a
// [*DeploymentError]. medium says, also beside an error, that the physical root
// is on a medium that is not written.
func Setup(o Options) (medium bool, err error) {
	c, err := readConfig(o.Config)
	if err != nil {
		return false, err
	}
	if o.Cmdline == "" {
		data, err := os.ReadFile("/proc/cmdline")
		if err != nil {
			return false, err
		}
		o.Cmdline = string(data)
	}
	if o.Log == nil {
		o.Log = io.Discard
	}
	image, err := cmdline.Composefs(o.Cmdline)
	if err != nil {
		return false, err
	}
	physical, err := dir.Open(o.Sysroot)
	if err != nil {
		return false, fmt.Errorf("opening the physical root: %w", err)
	}
	defer physical.Close()
	marker, err := readMarker(physical)
	if err != nil {
		return true, err
	}
	if err := o.tell(physical.File(), marker); err != nil {
		return marker != nil, err
	}
	if err := o.setup(c, physical, image, marker != nil); err != nil {
		return marker != nil, &DeploymentError{image.ID, err}
	}
	return marker != nil, nil
}

// tell leaves for the new system what it cannot find out by itself: that it is on
// a medium, or else which disk it is on.
func (o Options) tell(physical *os.File, marker []byte) error {
	if marker == nil {
		if err := linkVolatile(o.VolatileRoot, physical); err != nil {
			fmt.Fprintf(o.Log, "warning: %v\n", err)
		}
		return nil
	}
	if o.Run == "" {
		return nil
	}
	if err := tellMedium(o.Run, marker); err != nil {
		return fmt.Errorf("telling that this is a medium: %w", err)
	}
	return nil
}

// setup makes the root of an image, on a medium or not.
func (o Options) setup(c *config, physical *dir.Dir, image cmdline.Image, medium bool) error {
	root, err := o.mountRoot(physical, image)
	if err != nil {
		return err
	}
	defer root.Close()
	if err := o.assemble(c, physical, image, root, medium); err != nil {
		return err
	}
	required := "fs-verity required"
	if image.Insecure {
		required = "fs-verity not required"
	}
	where := ""
	if medium {
		where = ", on a medium that is not written"
	}
	fmt.Fprintf(o.Log, "The root is deployment %s, %s%s.\n", image.ID.Short(), required, where)
	return nil
}

// mountRoot mounts the image, after it has shown that it is the right one.
func (o Options) mountRoot(physical *dir.Dir, image cmdline.Image) (*os.File, error) {
	if o.RootFS != "" {
		m, err := mount.Clone(o.RootFS)
		if err != nil {
			return nil, err
		}
		return m, mount.SetReadOnly(m, true)
	}
	repository, err := physical.OpenDir("composefs")
	if err != nil {
		return nil, fmt.Errorf("opening the image repository: %w", err)
	}
	defer repository.Close()
	f, err := repository.Open("images/" + string(image.ID))
	if err != nil {
		return nil, fmt.Errorf("opening the image: %w", err)
	}
	defer f.Close()
	if !image.Insecure {
		if err := verifyImage(f, string(image.ID)); err != nil {
			return nil, err
		}
	}
	objects, err := repository.OpenDir("objects")
	if err != nil {
		return nil, fmt.Errorf("opening the objects: %w", err)
	}
	defer objects.Close()
	return mount.Composefs(f, objects.File(), mount.ComposefsOptions{Source: "composefs:" + string(image.ID), Verity: !image.Insecure})
}

// verifyImage refuses a file that does not carry fs-verity with the digest, and
// reads all of it, so that the kernel checks each byte: a damaged one is found
// here, where another deployment can still take over, and not when the running
// system needs it. It is metadata, some megabytes that will be needed anyway.
func verifyImage(f *os.File, id string) error {
	want, err := verity.ParseDigest(id)
	if err != nil {
		return err
	}
	got, err := fsverity.Measure(f)
	if err == nil && got != want {
		err = fmt.Errorf("its fs-verity digest is %v", got)
	}
	if err == nil {
		var n int64
		if n, err = io.Copy(io.Discard, f); err != nil {
			err = fmt.Errorf("after %d bytes: %w", n, err)
		}
	}
	if err != nil {
		return fmt.Errorf("verifying the image objects/%s: %w", want.ObjectPath(), err)
	}
	return nil
}

// assemble puts the parts together in a place that nobody sees, then moves the
// whole to the target.
func (o Options) assemble(c *config, physical *dir.Dir, image cmdline.Image, root *os.File, medium bool) (err error) {
	s, err := newStage()
	if err != nil {
		return err
	}
	s.medium = medium
	defer func() { err = errors.Join(err, s.close()) }()
	if err := s.attachPhysical(physical.File(), o.Log); err != nil {
		return err
	}
	if err := s.attach(root, "image"); err != nil {
		return err
	}
	top := root
	if c.Root.Transient {
		if top, err = s.overlayTransient("image", "root", "transient:composefs="+string(image.ID)); err != nil {
			return fmt.Errorf("making the root transient: %w", err)
		}
		defer top.Close()
		if err := s.attach(top, "root"); err != nil {
			return err
		}
		s.root = "root"
	}
	if err := s.fill(physical.File(), c.etc(), c.variable(o.Cmdline), string(image.ID)); err != nil {
		return err
	}
	target := o.Target
	if target == "" {
		target = o.Sysroot
		// EINVAL: it was a directory, not a mount.
		if err := mount.Detach(target); err != nil && !errors.Is(err, unix.EINVAL) {
			return err
		}
	}
	if err := mount.Attach(top, target); err != nil {
		return fmt.Errorf("%w; the physical root is not mounted any more", err)
	}
	return nil
}

// fill attaches to the new root what is not part of the image.
func (s *stage) fill(physical *os.File, etc, variable mode, id string) error {
	clone, err := mount.CloneFile(physical)
	if err != nil {
		return err
	}
	defer clone.Close()
	if err := mount.SetReadOnly(clone, true); err != nil {
		return err
	}
	// An image without the directory has no access to the physical root.
	if err := s.attachIn(clone, "sysroot"); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	for _, d := range []struct {
		name string
		mode mode
	}{{"etc", etc}, {"var", variable}} {
		if err := s.state(d.name, d.mode, id); err != nil {
			return fmt.Errorf("setting up /%s: %w", d.name, err)
		}
	}
	return nil
}

// linkVolatile makes the link that tells systemd which device the root is on.
func linkVolatile(link string, physical *os.File) error {
	if link == "" {
		return nil
	}
	var st unix.Stat_t
	if err := unix.Fstat(int(physical.Fd()), &st); err != nil {
		return err
	}
	number := uint64(st.Dev)
	if unix.Major(number) == 0 {
		return nil // btrfs and others: no device number of a disk
	}
	if err := os.MkdirAll(filepath.Dir(link), 0o755); err != nil {
		return err
	}
	target := fmt.Sprintf("/dev/block/%d:%d", unix.Major(number), unix.Minor(number))
	if err := os.Symlink(target, link); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return nil
}
