package initramfs

import (
	"github.com/bootc-go/bootc/internal/format/gpt"
	"github.com/bootc-go/bootc/internal/linux/block"
)

// RootBeside is the part of FindRoot that knows no firmware.
func RootBeside(system block.System, loader gpt.GUID, goarch string) (string, error) {
	return rootBeside(system, loader, goarch)
}

// What handing over does to the firmware's variables and to /run.
var (
	HandOver   = handOver
	Succeeded  = succeeded
	ErrNoOther = errNoOther
	GivesUp    = givesUp
)

// NamesRoot is the part of AttachMedium that knows no devices.
var NamesRoot = namesRoot
