package initramfs

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/bootc-go/bootc"
	"github.com/bootc-go/bootc/internal/linux/dir"
)

// The marker of a physical root that is not written is specified in
// docs/formats/medium.md.

// markerLimit is how much of it is kept in memory. A reader refuses one that is as
// long.
const markerLimit = 1 << 20

// readMarker returns the marker of a physical root on a medium that is not
// written, the beginning of one that is long, and nil for any other physical
// root.
func readMarker(physical *dir.Dir) ([]byte, error) {
	f, err := physical.Open(bootc.MediumMarker)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, markerLimit))
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", bootc.MediumMarker, err)
	}
	return append([]byte{}, data...), nil // also one without content marks
}

// tellMedium leaves a copy of the marker in the directory run.
func tellMedium(run string, marker []byte) error {
	name := filepath.Join(run, bootc.MediumFile)
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return err
	}
	return os.WriteFile(name, marker, 0o644)
}
