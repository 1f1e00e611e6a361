package vm

import (
	"errors"
	"os"
	"path/filepath"
)

// firmware is UEFI. Its variables are kept with the machine.
func (m *Machine) firmware() ([]string, error) {
	const dir = "/usr/share/OVMF/"
	code := dir + "OVMF_CODE_4M.fd"
	if m.hw.SecureBoot {
		code = dir + "OVMF_CODE_4M.secboot.fd"
	}
	vars := filepath.Join(m.dir, "vars.fd")
	if _, err := os.Stat(vars); errors.Is(err, os.ErrNotExist) {
		data, err := os.ReadFile(dir + "OVMF_VARS_4M.fd")
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
