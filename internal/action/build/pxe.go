package build

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/bootc-go/bootc/internal/format/cmdline"
	"github.com/bootc-go/bootc/internal/format/cpio"
	"github.com/bootc-go/bootc/internal/machine/boot"
	"github.com/bootc-go/bootc/internal/machine/storage"
)

// The files of a network boot.
const (
	pxeKernel      = "vmlinuz"
	pxeInitrd      = "initrd"
	pxeCredentials = "credentials.cpio"
	pxeRoot        = "root.cpio"
	pxeIPXE        = "boot.ipxe"
	pxeGRUB        = "grub.cfg"
)

func pxeNames() []string {
	return []string{pxeKernel, pxeInitrd, pxeCredentials, pxeRoot, pxeIPXE, pxeGRUB}
}

func pxeHas(p *Plan, name string) bool {
	return name != pxeCredentials || len(p.Options.Install.Credentials) > 0
}

// rootInInitramfs is where the initramfs finds the root.
const rootInInitramfs = "bootc/root.img"

// layOutPXE lays out the archive of the root, if one is needed, and refuses what cannot
// come over the network.
func (p *Plan) layOutPXE(d *disk) (err error) {
	if !p.makes("pxe") {
		return nil
	}
	if d.medium.kernel == nil {
		return errors.New("type pxe: the image has a unified kernel image, whose fixed command line and initrd leave no place for the root; kernel and initrd are needed")
	}
	if err := checkScripted(d.medium.options); err != nil {
		return fmt.Errorf("type pxe: %w", err)
	}
	if d.medium.archive, err = cpio.New(rootInInitramfs, int64(d.parts["ext4"].Size), d.time); err != nil {
		return fmt.Errorf("type pxe: %w", err)
	}
	return nil
}

// checkScripted refuses kernel arguments that a script of iPXE or of GRUB would take
// for something else.
func checkScripted(line string) error {
	for _, a := range cmdline.Split(line) {
		if k := strings.IndexAny(a.Text, "$&|;<>{}'\\#"); k >= 0 {
			return fmt.Errorf("the kernel argument %q has the character %q, which the scripts of a network boot cannot have", a.Text, a.Text[k])
		}
	}
	return nil
}

// makePXE begins the files of a network boot, and completes all but the root.
func makePXE(dir *output, d *disk) (all outputs, err error) {
	m := d.medium
	type file struct {
		name string
		file *boot.File
		text string
	}
	files, initrds := []file{{pxeKernel, m.kernel, ""}}, []string{pxeInitrd, pxeCredentials}[:len(m.initrds)]
	for k, name := range initrds {
		files = append(files, file{name, m.initrds[k], ""})
	}
	initrds = append(initrds, pxeRoot)
	files = append(files, file{pxeIPXE, nil, ipxeScript(initrds, m.options)}, file{pxeGRUB, nil, grubConfig(initrds, m.options)})
	for _, f := range files {
		o, err := dir.create(f.name)
		if err != nil {
			return all, err
		}
		all = append(all, o)
		if f.file != nil {
			err = copyTo(o.file, f.file)
		} else {
			_, err = o.file.WriteString(f.text)
		}
		if err != nil {
			return all, fmt.Errorf("writing %s: %w", f.name, err)
		}
	}
	o, err := dir.create(pxeRoot)
	if err != nil {
		return all, err
	}
	o.disk = &archived{o.file, m.archive, d.parts["ext4"]}
	return append(all, o), nil
}

// copyTo copies a file that has the size that it says.
func copyTo(w io.Writer, f *boot.File) error {
	r, err := f.Open()
	if err != nil {
		return err
	}
	defer r.Close()
	n, err := io.Copy(w, r)
	if err == nil && n != f.Size {
		err = fmt.Errorf("%d bytes instead of %d", n, f.Size)
	}
	return err
}

// ipxeScript starts from where the script itself came from. A kernel that was started
// by UEFI asks for what initrd= names; the BIOS gets all of them in one piece.
func ipxeScript(initrds []string, options string) string {
	var b strings.Builder
	b.WriteString("#!ipxe\nkernel " + pxeKernel)
	for _, name := range initrds {
		b.WriteString(" initrd=" + name)
	}
	b.WriteString(" " + options + "\n")
	for _, name := range initrds {
		b.WriteString("initrd " + name + "\n")
	}
	b.WriteString("boot\n")
	return b.String()
}

// grubConfig starts from where the file itself came from.
func grubConfig(initrds []string, options string) string {
	const dir = " $config_directory/"
	return "linux" + dir + pxeKernel + " " + options + "\ninitrd" + dir + strings.Join(initrds, dir) + "\nboot\n"
}

// An archived disk keeps one of its partitions, as the file of an archive.
type archived struct {
	file    *os.File
	archive *cpio.Archive
	part    storage.Partition
}

// WriteAt writes what is in the partition.
func (a *archived) WriteAt(b []byte, at int64) (int, error) {
	start, end := int64(a.part.Start), int64(a.part.Start+a.part.Size)
	from, to := max(at, start), min(at+int64(len(b)), end)
	if from >= to {
		return len(b), nil
	}
	if _, err := a.file.WriteAt(b[from-at:to-at], a.archive.Start()+from-start); err != nil {
		return 0, err
	}
	return len(b), nil
}

// Close completes the archive.
func (a *archived) Close() error {
	return errors.Join(a.archive.WriteStart(a.file), a.archive.WriteEnd(a.file))
}
