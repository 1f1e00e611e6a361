package block

import (
	"fmt"
	"os"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// sgIO is struct sg_io_hdr of scsi/sg.h, on 64 bits.
type sgIO struct {
	interfaceID int32 // 'S'
	direction   int32 // -1: no data
	commandSize uint8
	senseSize   uint8
	_           uint16
	dataSize    uint32
	data        uintptr
	command     unsafe.Pointer
	sense       unsafe.Pointer
	timeout     uint32 // milliseconds
	flags       uint32
	packID      int32
	_           int32
	user        uintptr
	status      uint8
	_           [3]uint8
	hostStatus  uint16
	driverStat  uint16
	residual    int32
	duration    uint32
	info        uint32
}

const sgIORequest = 0x2285 // SG_IO

// Eject takes the disc out of an optical drive, also where it is in use: the ioctl
// for it would refuse that. Nothing of it can be read afterwards.
func (d *Device) Eject() error {
	fd, err := unix.Open(d.Path, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return &os.PathError{Op: "open", Path: d.Path, Err: err}
	}
	defer unix.Close(fd)
	// PREVENT ALLOW MEDIUM REMOVAL (SPC): allow. A drive that does not lock its door
	// may refuse it.
	_ = scsi(fd, [6]byte{0x1e})
	// START STOP UNIT (MMC): stop, and eject.
	if err := scsi(fd, [6]byte{0x1b, 4: 0x02}); err != nil {
		return fmt.Errorf("ejecting %s: %w", d.Path, err)
	}
	return nil
}

// scsi gives a command without data to a drive.
func scsi(fd int, command [6]byte) error {
	var sense [32]byte
	request := sgIO{
		interfaceID: 'S', direction: -1, commandSize: uint8(len(command)), senseSize: uint8(len(sense)),
		command: unsafe.Pointer(&command), sense: unsafe.Pointer(&sense), timeout: 30_000,
	}
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), sgIORequest, uintptr(unsafe.Pointer(&request)))
	runtime.KeepAlive(&request)
	if errno != 0 {
		return errno
	}
	if request.status != 0 || request.hostStatus != 0 {
		return fmt.Errorf("the drive refuses (status %#x, sense key %#x)", request.status, sense[2]&0xf)
	}
	return nil
}
