package crash

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"

	"golang.org/x/sys/unix"
)

// repairExt4 lets e2fsck repair a file system as a boot does it before the root
// is mounted. What it writes is written to the disk.
func repairExt4(v *Volume) error {
	return v.by(func(path string) error {
		out, err := exec.Command("e2fsck", "-p", path).CombinedOutput()
		if code := exitCode(err); code != 0 && code != 1 {
			return fmt.Errorf("e2fsck -p: %w: %s", err, bytes.TrimSpace(out))
		}
		return nil
	})
}

// exitCode returns the exit status of a program, -1 if it did not run.
func exitCode(err error) int {
	var exit *exec.ExitError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &exit):
		return exit.ExitCode()
	}
	return -1
}

// by has a program work on the volume, which it gets as a file.
func (v *Volume) by(work func(path string) error) error {
	f, err := os.CreateTemp("", "bootc-crash-")
	if err != nil {
		return err
	}
	defer func() { f.Close(); os.Remove(f.Name()) }()
	if err := f.Truncate(v.count * sectorSize); err != nil {
		return err
	}
	if err := v.d.WriteTo(f, v.first, v.first+v.count); err != nil {
		return err
	}
	if err := work(f.Name()); err != nil {
		return err
	}
	return v.readBack(f)
}

// readBack takes over what a file has.
func (v *Volume) readBack(f *os.File) error {
	const piece = 1 << 20
	buf := make([]byte, piece)
	for at := int64(0); ; {
		from, err := unix.Seek(int(f.Fd()), at, unix.SEEK_DATA)
		if errors.Is(err, unix.ENXIO) {
			return nil
		}
		if err != nil {
			return err
		}
		if at, err = unix.Seek(int(f.Fd()), from, unix.SEEK_HOLE); err != nil {
			return err
		}
		for ; from < at; from += piece {
			n := min(piece, at-from)
			if _, err := f.ReadAt(buf[:n], from); err != nil {
				return err
			}
			v.take(from/sectorSize, buf[:n])
		}
	}
}

// take writes the sectors that differ.
func (v *Volume) take(first int64, data []byte) {
	for i := 0; i < len(data); i += sectorSize {
		sector := v.first + first + int64(i/sectorSize)
		if !bytes.Equal(v.d.store.Sector(v.d.at[sector]), data[i:i+sectorSize]) {
			v.d.put(sector, v.d.store.Add(data[i:i+sectorSize]))
		}
	}
}
