package ext4

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io"
)

// ErrNone means that there is no ext4 file system.
var ErrNone = errors.New("no ext4 file system")

// The super block, and what in it says which file system this is.
const (
	superOffset = 1024
	magicOffset = superOffset + 0x38
	magic       = 0xEF53
	uuidOffset  = superOffset + 0x68
)

// ReadUUID returns the UUID of the file system that r holds, in lower case, as
// root=UUID= has it. It is [ErrNone] where r holds none, also when r is too
// short. File systems of other programs have it in the same place.
func ReadUUID(r io.ReaderAt) (string, error) {
	b := make([]byte, uuidOffset+16-magicOffset)
	if n, err := r.ReadAt(b, magicOffset); n < len(b) {
		if errors.Is(err, io.EOF) {
			return "", ErrNone
		}
		return "", fmt.Errorf("reading the super block: %w", err)
	}
	if le.Uint16(b) != magic {
		return "", ErrNone
	}
	s := hex.EncodeToString(b[uuidOffset-magicOffset:])
	return s[:8] + "-" + s[8:12] + "-" + s[12:16] + "-" + s[16:20] + "-" + s[20:], nil
}
