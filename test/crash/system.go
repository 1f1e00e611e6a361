package crash

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/bootc-go/bootc/internal/format/cpio"
	"github.com/bootc-go/bootc/test/vm"
)

// A System is what the images have to boot with: the kernel of the guest, an
// initramfs with no more than that kernel and bootc need, and one program in place
// of an operating system (test/crash/init).
type System struct {
	Kernel, Initrd, Loader, Init string
}

// modules are the drivers that the kernel does not have built in, or may not.
var modules = []string{"virtio_pci", "virtio_blk", "ext4", "erofs", "overlay"}

// ReadSystem takes a system from the files of a guest.
func ReadSystem(ctx context.Context, lab *vm.Lab, live *vm.Live) (*System, error) {
	kernel, err := os.ReadFile(live.Kernel)
	if err != nil {
		return nil, err
	}
	program := filepath.Join(lab.Out, "init")
	build := exec.CommandContext(ctx, "go", "build", "-trimpath", "-buildvcs=false", "-ldflags", "-s -w", "-o", program, "./test/crash/init")
	build.Dir, build.Env = lab.Root, append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=")
	if out, err := build.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("building init: %w: %s", err, out)
	}
	init, err := os.ReadFile(program)
	if err != nil {
		return nil, err
	}
	files := guestFiles{ctx, live.Disk.Path}
	loader, err := files.read("/usr/lib/systemd/boot/efi/systemd-bootx64.efi")
	if err != nil {
		return nil, err
	}
	initrd, err := files.initrd(init)
	if err != nil {
		return nil, fmt.Errorf("making an initramfs: %w", err)
	}
	return &System{string(kernel), string(initrd), string(loader), string(init)}, nil
}

// guestFiles reads files of a file system in a file.
type guestFiles struct {
	ctx   context.Context
	image string
}

func (g guestFiles) read(name string) ([]byte, error) {
	out, err := exec.CommandContext(g.ctx, "debugfs", "-R", "cat "+name, g.image).Output()
	if err == nil && len(out) == 0 {
		err = os.ErrNotExist
	}
	if err != nil {
		return nil, fmt.Errorf("reading %s of the guest: %w", name, err)
	}
	return out, nil
}

func (g guestFiles) initrd(init []byte) ([]byte, error) {
	setup, err := g.read("/usr/lib/bootc/initramfs-setup")
	if err != nil {
		return nil, err
	}
	var all []cpio.Member
	for _, dir := range []string{"dev", "modules", "usr", "usr/lib", "usr/lib/bootc"} {
		all = append(all, cpio.Member{Name: dir, Mode: 0o040755})
	}
	all = append(all,
		cpio.Member{Name: "init", Mode: 0o100755, Data: init},
		cpio.Member{Name: "usr/lib/bootc/initramfs-setup", Mode: 0o100755, Data: setup})
	paths, err := g.modules()
	if err != nil {
		return nil, err
	}
	for i, name := range paths {
		data, err := g.read(name)
		if err != nil {
			return nil, err
		}
		all = append(all, cpio.Member{Name: fmt.Sprintf("modules/%02d-%s", i, filepath.Base(name)), Mode: 0o100644, Data: data})
	}
	return cpio.Bytes(all), nil
}

// modules lists the files of the modules, each after those that it depends on.
func (g guestFiles) modules() ([]string, error) {
	list, err := exec.CommandContext(g.ctx, "debugfs", "-R", "ls -p /usr/lib/modules", g.image).Output()
	if err != nil {
		return nil, err
	}
	dir := ""
	for line := range strings.Lines(string(list)) {
		if fields := strings.Split(line, "/"); len(fields) > 5 && fields[5] != "." && fields[5] != ".." {
			dir = "/usr/lib/modules/" + fields[5] + "/"
		}
	}
	dep, err := g.read(dir + "modules.dep")
	if err != nil {
		return nil, err
	}
	var all []string
	for _, module := range modules {
		for line := range bytes.Lines(dep) {
			file, needs, _ := strings.Cut(string(line), ":")
			if name, _, _ := strings.Cut(filepath.Base(file), "."); strings.ReplaceAll(name, "-", "_") != module {
				continue
			}
			needed := strings.Fields(needs) // the nearest first
			slices.Reverse(needed)
			for _, name := range append(needed, file) {
				if !slices.Contains(all, dir+name) {
					all = append(all, dir+name)
				}
			}
		}
	}
	return all, nil
}
