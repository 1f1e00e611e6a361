package vm

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
)

// emulator is the QEMU for the hardware.
func (hw Hardware) emulator() string {
	if hw.Arm64 {
		return "qemu-system-aarch64"
	}
	return "qemu-system-x86_64"
}

// board is what QEMU calls the kind of computer.
func (hw Hardware) board() string {
	switch {
	case hw.Arm64:
		return "virt"
	case hw.SecureBoot:
		return "q35,smm=on"
	}
	return "q35"
}

// arm64 is one processor without what is dear to emulate, as the authentication of
// pointers.
var arm64 = []string{"-accel", "tcg,tb-size=1024", "-cpu", "cortex-a72", "-smp", "1"}

// processor returns the arguments for the processor and what it runs by.
func (m *Machine) processor(ctx context.Context) ([]string, error) {
	if m.hw.Arm64 {
		return slices.Clone(arm64), nil
	}
	accel, err := m.lab.accel(ctx, m.hw.Live)
	return slices.Clone(accel), err
}

// firmware is UEFI. Its variables are kept with the machine.
func (m *Machine) firmware() ([]string, error) {
	code, variables := "/usr/share/OVMF/OVMF_CODE_4M.fd", "/usr/share/OVMF/OVMF_VARS_4M.fd"
	switch {
	case m.hw.Arm64:
		code, variables = "/usr/share/AAVMF/AAVMF_CODE.fd", "/usr/share/AAVMF/AAVMF_VARS.fd"
	case m.hw.SecureBoot:
		code = "/usr/share/OVMF/OVMF_CODE_4M.secboot.fd"
	}
	vars := filepath.Join(m.dir, "vars.fd")
	if _, err := os.Stat(vars); errors.Is(err, os.ErrNotExist) {
		data, err := os.ReadFile(variables)
		if err != nil {
			return nil, err
		}
		if err := os.WriteFile(vars, data, 0o644); err != nil {
			return nil, err
		}
	}
	args := []string{
		"-drive", "if=pflash,unit=0,format=raw,readonly=on,file=" + code,
		"-drive", "if=pflash,unit=1,format=raw,file=" + vars,
	}
	if m.hw.SecureBoot {
		args = append(args, "-global", "driver=cfi.pflash01,property=secure,value=on")
	}
	return args, nil
}
