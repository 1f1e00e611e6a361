package images

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"

	"github.com/bootc-go/bootc/internal/format/verity"
	"github.com/bootc-go/bootc/internal/linux/dir"
	"github.com/bootc-go/bootc/internal/linux/fsverity"
)

const metaFile = "meta.json"

// metaText is the meta.json of a new repository: SHA-512, EROFS format V1.
const metaText = `{
  "version": 1,
  "algorithm": "fsverity-sha512-12",
  "features": {
    "compatible": [],
    "read-only-compatible": [
      "v1_erofs"
    ],
    "incompatible": []
  },
  "erofs_formats": {
    "default": 1
  }
}
`

// meta is what meta.json says of a repository.
type meta struct {
	algorithm verity.Algorithm
	readOnly  string // an unknown feature that allows only reading; "" if none
	secure    bool   // the file itself has fs-verity, so all objects must have it
}

func writeMeta(root *os.Root, insecure bool) error {
	const temp = ".tmp-meta"
	if err := dir.WriteFile(root, temp, []byte(metaText), 0o644); err != nil {
		return err
	}
	f, err := root.Open(temp)
	if err != nil {
		return err
	}
	defer f.Close()
	err = fsverity.Enable(f, verity.SHA512)
	if errors.Is(err, fsverity.ErrNotSupported) && insecure {
		err = nil
	}
	if err == nil {
		err = dir.SyncFS(root)
	}
	if err == nil {
		err = root.Rename(temp, metaFile)
	}
	if err != nil {
		return errors.Join(err, root.Remove(temp))
	}
	return dir.SyncDir(root, ".")
}

// readMeta checks that the repository is one that we can read.
func readMeta(root *os.Root) (meta, error) {
	f, err := root.Open(metaFile)
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
	_, err = fsverity.Measure(f)
	if errors.Is(err, fsverity.ErrNotEnabled) || errors.Is(err, fsverity.ErrNotSupported) {
		return m, nil
	}
	m.secure = err == nil
	return m, err
}

func parseMeta(data []byte) (meta, error) {
	var doc struct {
		Version   int    `json:"version"`
		Algorithm string `json:"algorithm"`
		Features  struct {
			ReadOnlyCompatible []string `json:"read-only-compatible"`
			Incompatible       []string `json:"incompatible"`
		} `json:"features"`
	}
	if err := json.Unmarshal(data, &doc); err != nil {
		return meta{}, err
	}
	var m meta
	switch doc.Algorithm {
	case "fsverity-sha256-12":
		m.algorithm = verity.SHA256
	case "fsverity-sha512-12":
		m.algorithm = verity.SHA512
	default:
		return m, fmt.Errorf("the algorithm %q is not supported", doc.Algorithm)
	}
	switch {
	case doc.Version != 1:
		return m, fmt.Errorf("repository version %d is not supported, only 1 is", doc.Version)
	case len(doc.Features.Incompatible) > 0:
		return m, fmt.Errorf("the feature %q is not supported", doc.Features.Incompatible[0])
	}
	for _, f := range doc.Features.ReadOnlyCompatible {
		if !slices.Contains([]string{"v1_erofs"}, f) {
			m.readOnly = f
		}
	}
	return m, nil
}
