package vm

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// tcg is software emulation, of one processor of 2008, and of the maker whose
// processors need no page tables of their own for each side of a system call:
// changing them is dear to emulate, as is computing what newer ones are faster at.
// It has no virtualization, for which guests would only load modules. There is one
// because QEMU before 8.1 can translate an instruction while another processor
// changes it, and a guest's kernel that changes its own code (jump labels) then
// dies of it now and then.
var tcg = []string{"-accel", "tcg,tb-size=1024", "-cpu", "Nehalem,vendor=AuthenticAMD,family=16,model=4,vmx=off", "-smp", "1"}

var kvm = []string{"-accel", "kvm", "-cpu", "host", "-smp", "2"}

// accel returns the arguments for the best processor that there is.
func (l *Lab) accel(ctx context.Context, live *Live) ([]string, error) {
	l.kvm.Lock()
	defer l.kvm.Unlock()
	if !l.kvm.known {
		works, known := l.rememberedKVM()
		if !known && live == nil {
			return tcg, nil // nothing to probe with yet
		}
		if !known {
			works = probeKVM(ctx, live.Kernel)
			if err := l.rememberKVM(works); err != nil {
				return nil, err
			}
		}
		l.kvm.known, l.kvm.works = true, works
		if works {
			l.logf("KVM works")
		} else {
			l.logf("no KVM that works: emulating the processor in software")
		}
	}
	if l.kvm.works {
		return kvm, nil
	}
	return tcg, nil
}

// probeKVM boots a kernel without a root: it works when the kernel gets as far
// as missing it. A device that is there is not enough, because hosts exist on
// which guests die at their first instructions.
func probeKVM(ctx context.Context, kernel string) bool {
	if f, err := os.OpenFile("/dev/kvm", os.O_RDWR, 0); err != nil {
		return false
	} else {
		f.Close()
	}
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	args := append(append([]string(nil), kvm...), "-machine", "q35", "-m", "512", "-nodefaults", "-no-reboot",
		"-display", "none", "-serial", "stdio", "-kernel", kernel, "-append", "console=ttyS0 panic=-1")
	cmd := exec.CommandContext(ctx, "qemu-system-x86_64", args...)
	cmd.SysProcAttr = dieWithParent()
	out, _ := cmd.Output()
	return strings.Contains(string(out), "Unable to mount root fs")
}

// rememberedKVM is what a probe since the host's boot has found.
func (l *Lab) rememberedKVM() (works, known bool) {
	data, err := os.ReadFile(filepath.Join(l.cache, "kvm"))
	if err != nil {
		return false, false
	}
	boot, answer, _ := strings.Cut(strings.TrimSpace(string(data)), " ")
	return answer == "works", boot == hostBoot()
}

func (l *Lab) rememberKVM(works bool) error {
	answer := "fails"
	if works {
		answer = "works"
	}
	return os.WriteFile(filepath.Join(l.cache, "kvm"), []byte(hostBoot()+" "+answer+"\n"), 0o644)
}

func hostBoot() string {
	id, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return "unknown"
	}
	return strings.TrimSpace(string(id))
}
