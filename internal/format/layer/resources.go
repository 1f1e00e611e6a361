package layer

import (
	"fmt"
	"strings"

	"github.com/bootc-go/bootc/internal/format/tree"
)

// checkResources refuses an image whose boot files are not what they must be:
// an entry of the loader that names a file which is not in the image, a unified
// kernel image that is not a regular file. Which kernel is booted is not its
// concern.
func checkResources(t *tree.Tree, read Reader) error {
	if err := checkEntries(t, read); err != nil {
		return err
	}
	linux, err := subdirectory(t, "/boot/EFI/Linux")
	if err != nil {
		return err
	}
	if linux != nil {
		if err := checkUKIs("/boot/EFI/Linux", linux); err != nil {
			return err
		}
	}
	modules, err := subdirectory(t, "/usr/lib/modules")
	if modules == nil || err != nil {
		return err
	}
	for _, version := range modules.Names() {
		if d := modules.Child(version); d.IsDir() {
			if err := checkUKIs("/usr/lib/modules/"+version, d); err != nil {
				return err
			}
		}
	}
	return nil
}

// checkEntries checks what the entries of /boot/loader/entries name.
//
// Source: Boot Loader Specification, "Type #1 Boot Loader Specification
// Entries".
func checkEntries(t *tree.Tree, read Reader) error {
	const dir = "/boot/loader/entries"
	entries, err := subdirectory(t, dir)
	if entries == nil || err != nil {
		return err
	}
	for _, name := range entries.Names() {
		if !strings.HasSuffix(name, ".conf") {
			continue
		}
		n := entries.Child(name)
		if !n.IsRegular() {
			return fmt.Errorf("%s/%s of the image is not a regular file", dir, name)
		}
		data, err := read(n)
		if err != nil {
			return fmt.Errorf("reading %s/%s: %w", dir, name, err)
		}
		if missing := missingFile(t, string(data)); missing != "" {
			return fmt.Errorf("%s/%s of the image names %s, which is not a regular file in the image: correct the entry or remove it", dir, name, quote(missing))
		}
	}
	return nil
}

// missingFile returns the first file an entry names that is not a regular file
// of the image, "" if there is none. Paths are from the image's root.
func missingFile(t *tree.Tree, entry string) string {
	for line := range strings.Lines(entry) {
		i := strings.IndexAny(line, " \t")
		if i < 0 {
			continue
		}
		switch line[:i] {
		case "linux", "initrd", "efi":
		default:
			continue
		}
		path := strings.TrimSpace(line[i:])
		if n := t.Lookup(path); n == nil || !n.IsRegular() {
			return path
		}
	}
	return ""
}

// checkUKIs checks that what is called .efi, however deep, is a regular file.
func checkUKIs(path string, d *tree.Node) error {
	for _, name := range d.Names() {
		switch n := d.Child(name); {
		case n.IsDir():
			if err := checkUKIs(path+"/"+name, n); err != nil {
				return err
			}
		case strings.HasSuffix(name, ".efi") && !n.IsRegular():
			return fmt.Errorf("%s of the image is not a regular file", quote(path+"/"+name))
		}
	}
	return nil
}

// subdirectory returns a directory that may be missing.
func subdirectory(t *tree.Tree, path string) (*tree.Node, error) {
	n, err := lookup(t, path)
	if n != nil && !n.IsDir() {
		return nil, fmt.Errorf("%s of the image is not a directory", path)
	}
	return n, err
}
