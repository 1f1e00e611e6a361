package images

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"

	"github.com/bootc-go/bootc/internal/format/verity"
	"github.com/bootc-go/bootc/internal/linux/dir"
	"github.com/bootc-go/bootc/internal/linux/fsverity"
)

const (
	metaFile = "meta.json"
	// v1Feature stands in meta.json where new EROFS images are V1.
	v1Feature = "v1_erofs"
)

// meta is what is known of a repository.
type meta struct {
	algorithm verity.Algorithm
	formats   []Format // of new EROFS images; the first is the one that boots
	readOnly  string   // an unknown feature that allows only reading; "" if none
	secure    bool     // meta.json has fs-verity, so all objects must have it
	missing   bool     // there is no meta.json: the rest was found out
	damaged   string   // why that is so although there is one: see OpenDamaged
}

// document is meta.json.
type document struct {
	Version   int      `json:"version"`
	Algorithm string   `json:"algorithm"`
	Features  features `json:"features"`
	Formats   *formats `json:"erofs_formats,omitempty"`
}

type features struct {
	Compatible         []string `json:"compatible"`
	ReadOnlyCompatible []string `json:"read-only-compatible"`
	Incompatible       []string `json:"incompatible"`
}

type formats struct {
	Default Format   `json:"default"`
	Extra   []Format `json:"extra,omitempty"`
}

// text is the meta.json of m.
func (m meta) text() ([]byte, error) {
	doc := document{
		Version: 1, Algorithm: fmt.Sprintf("fsverity-%v-12", m.algorithm),
		Features: features{Compatible: []string{}, ReadOnlyCompatible: []string{}, Incompatible: []string{}},
		Formats:  &formats{Default: m.formats[0], Extra: m.formats[1:]},
	}
	if m.formats[0] == V1 {
		doc.Features.ReadOnlyCompatible = []string{v1Feature}
	}
	data, err := json.MarshalIndent(doc, "", "  ")
	return append(data, '\n'), err
}

// writeMeta writes meta.json, with fs-verity if m is secure. On return it is
// on disk.
func writeMeta(root *os.Root, m meta) error {
	const temp = ".tmp-meta"
	data, err := m.text()
	if err != nil {
		return err
	}
	flusher, err := dir.NewFlusher(root)
	if err != nil {
		return err
	}
	defer flusher.Close()
	if err := dir.WriteFile(root, temp, data, 0o644); err != nil {
		return err
	}
	f, err := root.Open(temp)
	if err != nil {
		return err
	}
	defer f.Close()
	if m.secure {
		err = fsverity.Enable(f, m.algorithm)
	}
	if err == nil {
		err = flusher.Flush()
	}
	if err == nil {
		err = root.Rename(temp, metaFile)
	}
	if err != nil {
		return errors.Join(err, root.Remove(temp))
	}
	return dir.SyncDir(root, ".")
}

// readMeta checks that the repository is one that we can read. For one that was
// made before there was a meta.json it finds out what it would say.
func readMeta(root *os.Root) (meta, error) {
	f, err := root.Open(metaFile)
	if errors.Is(err, fs.ErrNotExist) {
		if m, e := inferMeta(root); e == nil {
			return m, nil
		} else if !errors.Is(e, fs.ErrNotExist) {
			return meta{}, fmt.Errorf("there is no %s: %w", metaFile, e)
		}
	}
	if err != nil {
		return meta{}, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, 1<<20))
	if err != nil {
		return meta{}, err
	}
	m, err := parseMeta(data)
	if err != nil {
		return meta{}, fmt.Errorf("reading %s: %w", metaFile, err)
	}
	m.secure, err = hasVerity(f)
	return m, err
}

// hasVerity reports whether the kernel verifies a file.
func hasVerity(f *os.File) (bool, error) {
	_, err := fsverity.Measure(f)
	if errors.Is(err, fsverity.ErrNotEnabled) || errors.Is(err, fsverity.ErrNotSupported) {
		return false, nil
	}
	return err == nil, err
}

func parseMeta(data []byte) (meta, error) {
	var doc document
	if err := json.Unmarshal(data, &doc); err != nil {
		return meta{}, err
	}
	var m meta
	var err error
	switch m.algorithm, err = ParseAlgorithm(doc.Algorithm); {
	case doc.Version != 1:
		return m, fmt.Errorf("repository version %d is not supported, only 1 is", doc.Version)
	case len(doc.Features.Incompatible) > 0:
		return m, fmt.Errorf("the feature %q is not supported", doc.Features.Incompatible[0])
	case err != nil:
		return m, err
	}
	for _, f := range doc.Features.ReadOnlyCompatible {
		if f != v1Feature {
			m.readOnly = f
		}
	}
	m.formats, err = doc.formats()
	return m, err
}

// formats lists the formats of new images. Where the document names V2 alone,
// or none, the feature decides: it is older than the field.
func (d *document) formats() ([]Format, error) {
	all := []Format{V2}
	if d.Formats != nil {
		all = append([]Format{d.Formats.Default}, d.Formats.Extra...)
	}
	if slices.Equal(all, []Format{V2}) && slices.Contains(d.Features.ReadOnlyCompatible, v1Feature) {
		all = []Format{V1}
	}
	for _, f := range all {
		if f < V0 || f > V2 {
			return nil, fmt.Errorf("the EROFS format %d is not supported, only 0, 1 and 2 are", f)
		}
	}
	slices.Sort(all[1:])
	return append(all[:1], slices.DeleteFunc(slices.Compact(all[1:]), func(f Format) bool { return f == all[0] })...), nil
}

// ParseAlgorithm reads the name of an algorithm as it stands in meta.json,
// "fsverity-sha512-12" or "fsverity-sha256-12".
func ParseAlgorithm(name string) (verity.Algorithm, error) {
	for _, a := range []verity.Algorithm{verity.SHA256, verity.SHA512} {
		if name == fmt.Sprintf("fsverity-%v-12", a) {
			return a, nil
		}
	}
	return 0, fmt.Errorf("the algorithm %q is not supported", name)
}
