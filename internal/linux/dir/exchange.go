package dir

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// Exchange swaps two names in one directory of root in a single step
// (RENAME_EXCHANGE, renameat2(2)). On a journaling file system a power cut
// leaves the names as they were or exchanged; on FAT it may leave both names
// with the same content. It is on disk after the next flush.
func Exchange(root *os.Root, a, b string) error {
	f, err := root.Open(".")
	if err != nil {
		return err
	}
	defer f.Close()
	fd := int(f.Fd())
	if err := unix.Renameat2(fd, a, fd, b, unix.RENAME_EXCHANGE); err != nil {
		return fmt.Errorf("exchanging %q and %q: %w", a, b, err)
	}
	return nil
}
