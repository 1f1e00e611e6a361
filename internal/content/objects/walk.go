package objects

import (
	"errors"
	"io/fs"
	"strings"

	"github.com/bootc-go/bootc/internal/format/verity"
	"github.com/bootc-go/bootc/internal/linux/dir"
)

// Walk calls object for every object, by the order of digests, and stray for
// the path of everything else in the store that is no temporary file; stray may
// be nil. An error of theirs ends it.
func (s *Store) Walk(object func(verity.Digest) error, stray func(path string) error) error {
	if stray == nil {
		stray = func(string) error { return nil }
	}
	dirs, err := dir.ReadDir(s.root, ".")
	if err != nil {
		return err
	}
	for _, prefix := range dirs {
		if strings.HasPrefix(prefix.Name(), ".tmp-object-") {
			continue
		}
		if !prefix.IsDir() || !isPrefix(prefix.Name()) {
			err = stray(prefix.Name())
		} else {
			err = s.walkDir(prefix.Name(), object, stray)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (s *Store) walkDir(prefix string, object func(verity.Digest) error, stray func(string) error) error {
	files, err := dir.ReadDir(s.root, prefix)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, f := range files {
		path := prefix + "/" + f.Name()
		d, err := verity.ParseDigest(prefix + f.Name())
		if err == nil && f.Type().IsRegular() && d.Algorithm() == s.algorithm && d.ObjectPath() == path {
			err = object(d)
		} else {
			err = stray(path)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func isPrefix(name string) bool {
	return len(name) == 2 && strings.Trim(name, "0123456789abcdef") == ""
}
