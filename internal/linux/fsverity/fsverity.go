// Package fsverity asks the kernel to make a file read-only for good and to
// verify every read of it, and asks for the digest that it verifies against.
//
// Source: Documentation/filesystems/fsverity.rst of the Linux kernel, "User API".
package fsverity

import (
	"errors"
	"fmt"
	"os"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/bootc-go/bootc/internal/format/verity"
)

var (
	// ErrNotEnabled means that the file has no fs-verity.
	ErrNotEnabled = errors.New("fs-verity is not enabled on the file")
	// ErrNotSupported means that the kernel or the file system cannot do it.
	ErrNotSupported = errors.New("fs-verity is not supported by the kernel or the file system")
)

const (
	ioctlEnable  = 0x40806685 // FS_IOC_ENABLE_VERITY
	ioctlMeasure = 0xc0046686 // FS_IOC_MEASURE_VERITY
	blockSize    = 4096
)

// enableArg is struct fsverity_enable_arg.
type enableArg struct {
	version       uint32 // 1
	hashAlgorithm uint32
	blockSize     uint32
	saltSize      uint32
	saltPtr       uint64
	sigSize       uint32
	_             uint32
	sigPtr        uint64
	_             [11]uint64
}

// digestArg is struct fsverity_digest with room for the longest digest.
type digestArg struct {
	algorithm uint16
	size      uint16 // in: room; out: length
	digest    [64]byte
}

// A child process that was forked while the file was open for writing keeps it
// so until it runs its own program: wait a little.
const (
	busyTries = 20
	busyWait  = 5 * time.Millisecond
)

// Enable makes the kernel verify the file from now on. f must be open for
// reading only and nobody may have it open for writing; while somebody has,
// it is tried again for a tenth of a second. A file that has fs-verity already
// is no error. The flag is on disk after the next flush of the file system.
//
// The error is [ErrNotSupported] where the kernel or the file system cannot do
// it.
func Enable(f *os.File, a verity.Algorithm) error {
	arg := enableArg{version: 1, hashAlgorithm: uint32(a), blockSize: blockSize}
	for try := 1; ; try++ {
		errno := ioctl(f, ioctlEnable, unsafe.Pointer(&arg))
		switch errno {
		case 0, unix.EEXIST:
			return nil
		case unix.ENOTTY, unix.EOPNOTSUPP:
			return ErrNotSupported
		case unix.EINTR:
			continue
		case unix.ETXTBSY:
			if try < busyTries {
				time.Sleep(busyWait)
				continue
			}
		}
		return fmt.Errorf("enabling fs-verity: %w", errno)
	}
}

// Measure returns the digest that the kernel verifies the file against.
//
// The error is [ErrNotEnabled] or [ErrNotSupported] where there is none.
func Measure(f *os.File) (verity.Digest, error) {
	arg := digestArg{size: 64}
	switch errno := ioctl(f, ioctlMeasure, unsafe.Pointer(&arg)); errno {
	case 0:
	case unix.ENODATA:
		return verity.Digest{}, ErrNotEnabled
	case unix.ENOTTY, unix.EOPNOTSUPP:
		return verity.Digest{}, ErrNotSupported
	default:
		return verity.Digest{}, fmt.Errorf("measuring fs-verity: %w", errno)
	}
	return verity.MakeDigest(verity.Algorithm(arg.algorithm), arg.digest[:min(arg.size, 64)])
}

func ioctl(f *os.File, request uintptr, arg unsafe.Pointer) unix.Errno {
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, f.Fd(), request, uintptr(arg))
	return errno
}
