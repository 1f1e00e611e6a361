package vm

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// The generators of initramfs that base images come with.
const (
	Dracut         = "dracut"
	InitramfsTools = "initramfs-tools"
)

// An Image is a container image in the lab's storage.
type Image struct {
	lab  *Lab
	arch string // as Go calls it; empty: the host's
	Name string // in buildah's storage, with a tag that is the hash of its input
}

// Key is the image's tag: the hash of what it was built from.
func (i *Image) Key() string { return i.Name[strings.LastIndexByte(i.Name, ':')+1:] }

func (l *Lab) buildah(ctx context.Context, args ...string) (string, error) {
	return l.command(ctx, filepath.Join(l.Root, "images/debian/buildah"), append([]string{l.cache}, args...)...)
}

// Base builds the Debian base image of images/debian with this program in it.
// Its packages are those of the last point release, so that there is something
// to upgrade to.
func (l *Lab) Base(ctx context.Context, initramfs string) (*Image, error) {
	product, err := l.product()
	if err != nil {
		return nil, err
	}
	return l.base(ctx, "", product, initramfs)
}

// BaseArm64 is Base, with dracut, for 64-bit ARM. What runs while it is built is
// emulated.
func (l *Lab) BaseArm64(ctx context.Context) (*Image, error) {
	product, err := l.install(ctx, "arm64")
	if err != nil {
		return nil, err
	}
	return l.base(ctx, "arm64", product, Dracut)
}

func (l *Lab) base(ctx context.Context, arch, product, initramfs string) (*Image, error) {
	l.logf("building the base image (%s)", strings.TrimSpace(initramfs+" "+arch))
	args := []string{"--cache", l.cache, "--bootc", product, "--initramfs", initramfs, "--release-only"}
	if arch != "" {
		args = append(args, "--arch", arch)
	}
	name, err := l.command(ctx, filepath.Join(l.Root, "images/debian/build"), args...)
	if err != nil {
		return nil, fmt.Errorf("building the base image: %w", err)
	}
	return &Image{lab: l, arch: arch, Name: name}, nil
}

// Derive builds the Containerfile in a directory upon an image, which it names
// "FROM $BASE". What has been built from the same input in the same week is not
// built again: packages are of that age at most.
func (l *Lab) Derive(ctx context.Context, from *Image, dir string, buildArgs ...string) (*Image, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	h := sha256.New()
	year, week := time.Now().UTC().ISOWeek()
	fmt.Fprintln(h, from.Key(), year, week, buildArgs)
	if err := hashTree(h, dir); err != nil {
		return nil, err
	}
	name := fmt.Sprintf("localhost/lab/%s:%s", filepath.Base(dir), hex.EncodeToString(h.Sum(nil))[:16])
	img := &Image{lab: l, arch: from.arch, Name: name}
	built := func() bool { _, err := l.buildah(ctx, "inspect", "--type", "image", name); return err == nil }
	err = l.once(ctx, "image-"+img.Key(), built, func() error {
		l.logf("building the image %s", filepath.Base(dir))
		args := []string{"bud", "--isolation", "chroot", "--quiet", "--format", "oci", "--tag", name, "--build-arg", "BASE=" + from.Name}
		for _, a := range buildArgs {
			args = append(args, "--build-arg", a)
		}
		if from.arch != "" {
			args = append(args, "--arch", from.arch)
		}
		_, err := l.buildah(ctx, append(args, dir)...)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("building %s: %w", dir, err)
	}
	return img, nil
}

// hashTree hashes the names, modes and contents of a directory.
func hashTree(h io.Writer, dir string) error {
	return filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		fmt.Fprintln(h, rel, info.Mode())
		if !info.Mode().IsRegular() {
			return nil
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		_, err = h.Write(data)
		return err
	})
}

// A Live is an image made bootable without being installed: a disk with its
// files as they are, and its kernel.
type Live struct {
	Disk                    Disk
	Kernel, Initrd, Cmdline string
}

// Live makes a live system of an image.
func (l *Lab) Live(ctx context.Context, img *Image) (*Live, error) {
	dir := filepath.Join(l.cache, "disks", "live-"+img.Key())
	live := &Live{
		Disk:    Disk{Path: filepath.Join(dir, "root.img"), Format: "raw", Volatile: true},
		Kernel:  filepath.Join(dir, "vmlinuz"),
		Initrd:  filepath.Join(dir, "initramfs.img"),
		Cmdline: "root=/dev/vda rw console=ttyS0 systemd.show_status=1 systemd.condition_needs_update=no",
	}
	made := func() bool { _, err := os.Stat(dir); return err == nil }
	err := l.once(ctx, "live-"+img.Key(), made, func() error {
		l.logf("making a live system of %s", img.Name)
		return l.makeLive(ctx, img, dir)
	})
	if err != nil {
		return nil, fmt.Errorf("making a live system of %s: %w", img.Name, err)
	}
	return live, nil
}

func (l *Lab) makeLive(ctx context.Context, img *Image, dir string) error {
	work := fmt.Sprintf("%s.%d", dir, os.Getpid())
	if err := os.MkdirAll(work, 0o755); err != nil {
		return err
	}
	defer os.RemoveAll(work)
	err := l.mounted(ctx, img, func(root string) error {
		modules, err := kernelDir(root)
		if err != nil {
			return err
		}
		for _, name := range []string{"vmlinuz", "initramfs.img"} {
			data, err := os.ReadFile(filepath.Join(modules, name))
			if err != nil {
				return err
			}
			if err := os.WriteFile(filepath.Join(work, name), data, 0o644); err != nil {
				return err
			}
		}
		_, err = l.command(ctx, "mkfs.ext4", "-q", "-F", "-d", root, filepath.Join(work, "root.img"), "3G")
		return err
	})
	if err != nil {
		return err
	}
	return os.Rename(work, dir)
}

// RunContainer runs a command in a new container of an image, without a boot,
// and returns what it prints.
func (l *Lab) RunContainer(ctx context.Context, img *Image, command ...string) (string, error) {
	container, err := l.buildah(ctx, "from", img.Name)
	if err != nil {
		return "", err
	}
	defer l.buildah(context.WithoutCancel(ctx), "rm", container)
	return l.buildah(ctx, append([]string{"run", "--isolation", "chroot", container, "--"}, command...)...)
}

// mounted calls a function with the directory of an image's files.
func (l *Lab) mounted(ctx context.Context, img *Image, do func(root string) error) error {
	container, err := l.buildah(ctx, "from", img.Name)
	if err != nil {
		return err
	}
	defer l.buildah(context.WithoutCancel(ctx), "rm", container)
	root, err := l.buildah(ctx, "mount", container)
	if err != nil {
		return err
	}
	return do(root)
}

// kernelDir finds the directory of an image's kernel.
func kernelDir(root string) (string, error) {
	kernels, err := filepath.Glob(filepath.Join(root, "usr/lib/modules/*/vmlinuz"))
	if err != nil {
		return "", err
	}
	if len(kernels) != 1 {
		return "", fmt.Errorf("the image has %d kernels", len(kernels))
	}
	return filepath.Dir(kernels[0]), nil
}
