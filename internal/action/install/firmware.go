package install

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"

	"github.com/bootc-go/bootc/internal/format/gpt"
	"github.com/bootc-go/bootc/internal/format/loadoption"
	"github.com/bootc-go/bootc/internal/linux/block"
	"github.com/bootc-go/bootc/internal/linux/efivars"
	"github.com/bootc-go/bootc/internal/machine/boot"
)

// ErrBIOS means that the machine was started by a BIOS, which cannot start what is
// installed.
var ErrBIOS = errors.New("this machine was not started by EFI firmware, and the disk can be started by nothing else")

// Firmware opens the variables of this machine's firmware, for [Plan.Register]. Where
// there are none the error is [ErrBIOS].
func Firmware() (*os.Root, error) {
	vars, err := efivars.Open()
	if errors.Is(err, efivars.ErrNotEFI) {
		return nil, ErrBIOS
	}
	return vars, err
}

// description is what the firmware's menu calls the disk, as bootctl(1) does.
const description = "Linux Boot Manager"

// Register makes the firmware start the installed disk next, and first from then on.
// What it knew of the partitions that were erased, it forgets. Without it the disk is
// started like one that was put into the machine: when nothing comes before.
func (p *Plan) Register(vars *os.Root) error {
	d, err := block.Open(p.Options.Device)
	if err != nil {
		return err
	}
	t, err := d.Table()
	if err != nil {
		return err
	}
	option, err := loadOption(t, runtime.GOARCH)
	if err != nil {
		return fmt.Errorf("%s: %w", p.Options.Device, err)
	}
	return register(vars, option, p.erased)
}

// loadOption is how the firmware finds the boot loader on a disk.
func loadOption(t *gpt.Table, arch string) (loadoption.Option, error) {
	esp := t.Find(gpt.ESP)
	if esp == nil {
		return loadoption.Option{}, errors.New("there is no EFI system partition")
	}
	_, targets, err := boot.Binaries(arch)
	if err != nil {
		return loadoption.Option{}, err
	}
	return loadoption.Option{
		Description: description, File: targets[0],
		Partition: loadoption.Partition{Number: uint32(esp.Number), Start: esp.First, Size: esp.Last - esp.First + 1, GUID: esp.GUID},
	}, nil
}

// register puts an option first. Options on partitions that were erased are stale.
func register(vars *os.Root, option loadoption.Option, erased []gpt.GUID) error {
	all, err := efivars.BootOptions(vars.FS())
	if err != nil {
		return err
	}
	var stale []uint16
	for n, data := range all {
		o, err := loadoption.Parse(data)
		if err == nil && !o.Partition.GUID.IsZero() && slices.Contains(erased, o.Partition.GUID) {
			stale = append(stale, n)
		}
	}
	slices.Sort(stale)
	return efivars.BootFirst(vars, option.Bytes(), stale)
}

// partitions lists the partitions of a disk, none where that has no table.
func partitions(device string) (all []gpt.GUID) {
	d, err := block.Open(device)
	if err != nil {
		return nil
	}
	t, err := d.Table()
	if err != nil {
		return nil
	}
	for _, p := range t.Partitions {
		all = append(all, p.GUID)
	}
	return all
}
