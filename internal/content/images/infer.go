package images

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"github.com/bootc-go/bootc/internal/format/verity"
	"github.com/bootc-go/bootc/internal/linux/dir"
)

// inferMeta finds out what kind of repository it is that has no meta.json: the
// algorithm from the length of an object's name, security from whether the
// object has fs-verity, the format from the EROFS images that are there. The
// error is fs.ErrNotExist where there are no objects at all.
func inferMeta(root *os.Root) (meta, error) {
	m := meta{missing: true}
	d, err := anyObject(root)
	if err != nil {
		return m, err
	}
	m.algorithm = d.Algorithm()
	f, err := root.Open(objectsDir + "/" + d.ObjectPath())
	if err != nil {
		return m, err
	}
	defer f.Close()
	if m.secure, err = hasVerity(f); err != nil {
		return m, err
	}
	format, err := inferFormat(root)
	m.formats = []Format{format}
	return m, err
}

func anyObject(root *os.Root) (verity.Digest, error) {
	dirs, err := dir.ReadDir(root, objectsDir)
	if err != nil {
		return verity.Digest{}, err
	}
	for _, prefix := range dirs {
		if len(prefix.Name()) != 2 || !prefix.IsDir() {
			continue
		}
		files, err := dir.ReadDir(root, objectsDir+"/"+prefix.Name())
		if err != nil {
			return verity.Digest{}, err
		}
		for _, f := range files {
			d, err := verity.ParseDigest(prefix.Name() + f.Name())
			if err == nil && f.Type().IsRegular() {
				return d, nil
			}
		}
	}
	return verity.Digest{}, fs.ErrNotExist
}

// inferFormat returns V1 if an EROFS image has it, else V2: who wrote no
// meta.json knew only that.
func inferFormat(root *os.Root) (Format, error) {
	entries, err := dir.ReadDir(root, imagesDir)
	if errors.Is(err, fs.ErrNotExist) {
		return V2, nil
	}
	if err != nil {
		return V2, err
	}
	for _, e := range entries {
		if _, err := verity.ParseDigest(e.Name()); err != nil {
			continue
		}
		f, err := root.Open(imagesDir + "/" + e.Name())
		if err != nil {
			continue // dangling, which fsck tells
		}
		format, err := formatOf(f)
		f.Close()
		if err == nil && format < V2 {
			return V1, nil
		}
	}
	return V2, nil
}

// formatOf reads the format from the header of an EROFS image (docs/formats/
// composefs.md, "Header"). What it says is not verified.
func formatOf(r io.ReaderAt) (Format, error) {
	var b [16]byte
	if _, err := r.ReadAt(b[:], 0); err != nil {
		return 0, err
	}
	const magic = 0xd078629a
	if got := binary.LittleEndian.Uint32(b[:]); got != magic {
		return 0, fmt.Errorf("its magic is %#x, want %#x", got, magic)
	}
	return Format(binary.LittleEndian.Uint32(b[12:])), nil
}
