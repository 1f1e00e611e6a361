package initramfs

import (
	"errors"
	"fmt"
	"os"
	"runtime"

	"github.com/bootc-go/bootc/internal/format/gpt"
	"github.com/bootc-go/bootc/internal/linux/block"
	"github.com/bootc-go/bootc/internal/linux/efivars"
)

// FindRoot returns the device with the physical root: the first root partition
// for this architecture, by the Discoverable Partitions Specification, on the
// disk that the boot loader was started from. [block.ErrNotFound] means that
// the disk is not there (yet).
func FindRoot() (string, error) {
	text, err := loaderPartition()
	if err != nil {
		return "", err
	}
	if text == "" {
		return "", errors.New("the boot loader does not say which partition it was started from (EFI variable LoaderDevicePartUUID); root= on the kernel command line can name the root")
	}
	loader, err := gpt.ParseGUID(text)
	if err != nil {
		return "", fmt.Errorf("EFI variable LoaderDevicePartUUID: %w", err)
	}
	return rootBeside(block.System{}, loader, runtime.GOARCH)
}

// loaderPartition reads the variable, through a mount of our own where nobody
// has mounted the variables yet.
func loaderPartition() (string, error) {
	_, part, err := efivars.Loader()
	if !errors.Is(err, efivars.ErrNotEFI) {
		return part, err
	}
	vars, err := openVariables()
	if err != nil {
		return "", err
	}
	defer vars.Close()
	_, part, err = efivars.LoaderIn(vars.FS())
	return part, err
}

func rootBeside(system block.System, loader gpt.GUID, goarch string) (string, error) {
	kind, err := gpt.Root(goarch)
	if err != nil {
		return "", err
	}
	disk, table, err := system.DiskOf(loader)
	if err != nil {
		return "", err
	}
	root := table.Find(kind)
	if root == nil {
		return "", fmt.Errorf("%s has no root partition (type %s)", disk.Path, kind)
	}
	d, err := disk.Partition(root.Number)
	if err != nil {
		return "", err
	}
	if _, err := os.Stat(d.Path); err != nil {
		return "", fmt.Errorf("%s: %w", d.Path, block.ErrNotFound)
	}
	return d.Path, nil
}
