package initramfs

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/bootc-go/bootc/internal/format/cmdline"
	"github.com/bootc-go/bootc/internal/format/ext4"
	"github.com/bootc-go/bootc/internal/format/gpt"
	"github.com/bootc-go/bootc/internal/linux/block"
)

// What is done here is specified in docs/formats/medium.md.

const (
	// rootImage is where the kernel has unpacked a root that came over the
	// network.
	rootImage = "/bootc/root.img"
	// discSector is the size of the sectors that the table on a disc is written
	// for, whatever those of the drive are.
	discSector = 512
)

// errUnread means that a disc cannot be read, as one with music or without
// anything. It is then not what the machine boots from.
var errUnread = errors.New("reading the disc")

// attachMedium attaches loop devices to the places given, or to all that there
// are, and prints which devices these are.
func attachMedium(all []string, stdout, stderr io.Writer) error {
	line, err := os.ReadFile("/proc/cmdline")
	if err != nil {
		return err
	}
	if len(all) == 0 {
		if all, err = mediumPlaces(); err != nil {
			return err
		}
	}
	var errs []error
	for _, path := range all {
		loop, err := AttachMedium(path, string(line))
		switch {
		case errors.Is(err, errUnread):
			fmt.Fprintf(stderr, "warning: %s: %v\n", path, err)
		case err != nil:
			errs = append(errs, fmt.Errorf("%s: %w", path, err))
		case loop != "":
			fmt.Fprintln(stdout, loop)
		}
	}
	return errors.Join(errs...)
}

// mediumPlaces lists where the root of a medium can be.
func mediumPlaces() ([]string, error) {
	var all []string
	if _, err := os.Stat(rootImage); err == nil {
		all = append(all, rootImage)
	}
	drives, err := block.OpticalDrives()
	for _, d := range drives {
		all = append(all, d.Path)
	}
	return all, err
}

// AttachMedium attaches a loop device to a file with a root, or to a disc in a
// drive that has the root that the kernel command line names. It returns the
// path of the loop device; "" when there is nothing to attach, or it was
// attached before.
func AttachMedium(path, line string) (string, error) {
	if _, err := block.LoopOf(path); err == nil || !errors.Is(err, block.ErrNotFound) {
		return "", err
	}
	f, err := os.Open(path)
	if errors.Is(err, unix.ENOMEDIUM) || errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	defer f.Close()
	if is, err := hasRoot(f, line); err != nil || !is {
		return "", err
	}
	loop, err := block.AttachLoop(f, block.LoopOptions{Partitions: true})
	if err != nil {
		return "", err
	}
	return loop.Name(), loop.Close()
}

// hasRoot reports whether a file is to be attached: one of the initramfs always,
// a disc if it has the root that the kernel command line names.
func hasRoot(f *os.File, line string) (bool, error) {
	info, err := f.Stat()
	if err != nil || info.Mode().IsRegular() {
		return err == nil, err
	}
	// The size of a device is where its end is.
	size, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return false, err
	}
	is, err := namesRoot(line, f, size)
	if err != nil {
		return false, fmt.Errorf("%w: %w", errUnread, err)
	}
	return is, nil
}

// namesRoot reports whether the root that a kernel command line names is a
// partition of a disc.
func namesRoot(line string, disc io.ReaderAt, size int64) (bool, error) {
	root, _ := cmdline.Value(line, "root")
	kind, want, _ := strings.Cut(strings.ToLower(root), "=")
	if kind != "uuid" && kind != "partuuid" || want == "" {
		return false, nil
	}
	table, err := gpt.Read(disc, discSector, size)
	if errors.Is(err, gpt.ErrNone) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	for _, p := range table.Partitions {
		is := p.GUID.String()
		if kind == "uuid" {
			is, err = ext4.ReadUUID(io.NewSectionReader(disc, table.Offset(p), table.Size(p)))
			if err != nil && !errors.Is(err, ext4.ErrNone) {
				return false, fmt.Errorf("partition %d: %w", p.Number, err)
			}
		}
		if is == want {
			return true, nil
		}
	}
	return false, nil
}
