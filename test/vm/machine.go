package vm

import (
	"context"
	"encoding/base64"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"golang.org/x/crypto/ssh"
)

// Hardware says what a machine is made of. Disks, Live or Network is needed.
type Hardware struct {
	Disks  []Disk // in order: /dev/vda, /dev/vdb …
	Memory int    // MiB; 0: 2048
	// Live boots this system straight from its kernel instead of from a disk by
	// the firmware, which is no UEFI then.
	Live *Live
	// Network is a directory that the machine boots from over the network. Its
	// firmware, which is no UEFI, gets the script boot.ipxe in it by TFTP.
	Network string
	// BIOS is a firmware that is no UEFI.
	BIOS bool
	// Key lets the lab in as root, by a systemd credential from the firmware.
	// Without it, a machine has to know the lab's key.
	Key bool
	// Arm64 makes it a 64-bit ARM computer, which is always emulated. It has
	// none of the following, and no Live system.
	Arm64 bool
	// Watchdog is a watchdog timer (i6300ESB), which knows whether it has reset the
	// machine: so a reboot stays in one QEMU.
	Watchdog bool
	// TPM is a TPM 2.0; SecureBoot is firmware that enforces, in setup mode as
	// long as no keys are enrolled.
	TPM, SecureBoot bool
}

// A Machine is a computer. Its methods are for one goroutine.
type Machine struct {
	lab  *Lab
	name string
	dir  string // serial.log, firmware variables, TPM state
	hw   Hardware

	// MayFail is set where boots fail that the machine has to recover from by
	// itself: it is waited for after a line that says so, too.
	MayFail bool

	serial *serial
	boot   string // the boot_id of the running system
	client *ssh.Client
	port   int
	cmd    *exec.Cmd
	tpm    *exec.Cmd
	qmp    *qmp
	exited chan struct{} // closed when QEMU has ended
	said   tail          // of QEMU
}

// Machine puts a machine together. It is off.
func (l *Lab) Machine(name string, hw Hardware) (*Machine, error) {
	if hw.Memory == 0 {
		hw.Memory = 2048
	}
	m := &Machine{lab: l, name: name, dir: filepath.Join(l.Out, name), hw: hw}
	if err := os.MkdirAll(m.dir, 0o755); err != nil {
		return nil, err
	}
	return m, nil
}

// Name returns the machine's name.
func (m *Machine) Name() string { return m.name }

// SerialLog is the file that has all that the serial port said.
func (m *Machine) SerialLog() string { return filepath.Join(m.dir, "serial.log") }

// SerialTail returns the last lines of the serial log.
func (m *Machine) SerialTail() string {
	if m.serial == nil {
		return ""
	}
	return m.serial.tail()
}

// Boot switches the machine on and waits until it answers by SSH.
func (m *Machine) Boot(ctx context.Context) error {
	if err := m.On(ctx); err != nil {
		return err
	}
	boot, err := m.dial(ctx, "")
	if err != nil {
		return err
	}
	m.boot = boot
	return nil
}

// On switches the machine on without waiting for anything. It takes one of the
// places that the lab has for running machines.
func (m *Machine) On(ctx context.Context) error {
	if m.cmd != nil {
		return fmt.Errorf("machine %s is on", m.name)
	}
	select {
	case m.lab.slots <- struct{}{}:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	return m.startOrOff(ctx)
}

// startOrOff starts a machine that has its place, or gives the place up.
func (m *Machine) startOrOff(ctx context.Context) error {
	err := m.start(ctx)
	if err == nil {
		return nil
	}
	if m.cmd != nil {
		m.kill()
	}
	m.off()
	return fmt.Errorf("starting machine %s: %w", m.name, err)
}

// Reboot asks the guest to reboot and waits for the next boot to answer.
func (m *Machine) Reboot(ctx context.Context) error {
	return m.RebootBy(ctx, "systemctl reboot")
}

// RebootBy runs a command that makes the guest reboot, and waits for the next
// boot to answer.
func (m *Machine) RebootBy(ctx context.Context, command string) error {
	m.serial.forget()
	// The command may not see its end.
	r, err := m.Run(ctx, command)
	if err == nil && r.Exit > 0 && r.Exit != 143 {
		return r.Failed()
	}
	return m.AwaitBoot(ctx)
}

// AwaitBoot waits for a guest that reboots by itself to answer again.
func (m *Machine) AwaitBoot(ctx context.Context) error {
	m.hangUp()
	boot, err := m.dial(ctx, m.boot)
	if err != nil {
		return err
	}
	m.boot = boot
	return nil
}

// Shutdown asks the guest to power off and waits until it has.
func (m *Machine) Shutdown(ctx context.Context) error {
	if m.cmd == nil {
		return nil
	}
	if _, err := m.Run(ctx, "systemctl poweroff"); err != nil && ctx.Err() != nil {
		return err
	}
	return m.AwaitOff(ctx)
}

// AwaitOff waits until the machine has switched itself off.
func (m *Machine) AwaitOff(ctx context.Context) error {
	select {
	case <-m.exited:
	case <-ctx.Done():
		return fmt.Errorf("waiting for machine %s to go off: %w", m.name, context.Cause(ctx))
	}
	if m.reboots() {
		return fmt.Errorf("machine %s rebooted instead of going off", m.name)
	}
	m.off()
	return nil
}

// PowerCut takes the power away: what the guest had not written is lost. On a
// machine that is off it does nothing.
func (m *Machine) PowerCut() {
	if m.cmd != nil {
		m.kill()
		m.off()
	}
}

// IsOn says whether the machine is on, and did not go off by itself.
func (m *Machine) IsOn() bool {
	if m.cmd == nil {
		return false
	}
	select {
	case <-m.exited:
		return false
	default:
		return true
	}
}

func (m *Machine) kill() {
	m.cmd.Process.Kill()
	<-m.exited
}

// off puts down what a running machine has, its place in the lab included.
func (m *Machine) off() {
	m.putDown()
	<-m.lab.slots
}

// putDown puts down what a running machine has, except its place in the lab.
func (m *Machine) putDown() {
	m.hangUp()
	m.qmp.close()
	m.qmp = nil
	if m.tpm != nil {
		m.tpm.Process.Kill()
		m.tpm.Wait()
		m.tpm = nil
	}
	m.cmd = nil
	if m.serial != nil {
		m.serial.close()
	}
}

func (m *Machine) hangUp() {
	if m.client != nil {
		m.client.Close()
		m.client = nil
	}
}

// start runs QEMU and learns at which port its guest's SSH is.
func (m *Machine) start(ctx context.Context) (err error) {
	if m.serial, err = newSerial(m.SerialLog()); err != nil {
		return err
	}
	// The paths of sockets are short in the kernel, those of checkouts are not.
	run, err := os.MkdirTemp("", "bootc-vm-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(run)
	args, err := m.arguments(ctx, run)
	if err != nil {
		return err
	}
	cmd := exec.Command(m.hw.emulator(), args...)
	cmd.Stdout = m.serial
	m.said = tail{}
	cmd.Stderr = &m.said
	cmd.SysProcAttr = dieWithParent()
	if err := cmd.Start(); err != nil {
		return err
	}
	exited := make(chan struct{})
	go func() { cmd.Wait(); close(exited) }()
	m.cmd, m.exited = cmd, exited
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	if m.qmp, err = dialQMP(ctx, filepath.Join(run, "qmp"), exited); err != nil {
		return fmt.Errorf("%w: %s", err, m.said.text())
	}
	if m.port, err = m.qmp.forwardedPort(); err != nil {
		return err
	}
	return m.qmp.watch()
}

// reboots reports whether QEMU, which has ended, did so because the guest
// rebooted.
func (m *Machine) reboots() bool {
	<-m.qmp.ended
	return m.qmp.reset
}

// switchedOff is for a machine whose QEMU has ended. After a reboot of the guest
// it begins the next boot, in a QEMU of its own: a reset inside of one has hung
// in the firmware now and then. Otherwise it is an error.
func (m *Machine) switchedOff(ctx context.Context) error {
	if !m.reboots() {
		return fmt.Errorf("machine %s went off", m.name)
	}
	m.putDown()
	return m.startOrOff(ctx)
}

// arguments are QEMU's. Sockets go to the directory run.
func (m *Machine) arguments(ctx context.Context, run string) ([]string, error) {
	processor, err := m.processor(ctx)
	if err != nil {
		return nil, err
	}
	args := append(processor,
		"-name", m.name, "-machine", m.hw.board(), "-m", fmt.Sprint(m.hw.Memory),
		"-nodefaults", "-no-user-config", "-display", "none", "-serial", "stdio",
		"-qmp", "unix:"+filepath.Join(run, "qmp")+",server=on,wait=off",
		"-object", "rng-random,id=rng0,filename=/dev/urandom", "-device", "virtio-rng-pci,rng=rng0")
	if m.hw.Watchdog {
		args = append(args, "-device", "i6300esb", "-action", "watchdog=reset")
	} else {
		args = append(args, "-no-reboot")
	}
	args = append(args, m.network()...)
	for i, d := range m.hw.Disks {
		args = append(args, d.arguments(i)...)
	}
	if live := m.hw.Live; live != nil {
		args = append(args, "-kernel", live.Kernel, "-initrd", live.Initrd, "-append", live.Cmdline)
	} else if m.hw.Network == "" && !m.hw.BIOS {
		firmware, err := m.firmware()
		if err != nil {
			return nil, err
		}
		args = append(args, firmware...)
	}
	if m.hw.Key {
		key := base64.StdEncoding.EncodeToString([]byte(m.lab.AuthorizedKey()))
		args = append(args, "-smbios", "type=11,value=io.systemd.credential.binary:ssh.authorized_keys.root="+key)
	}
	if m.hw.TPM {
		tpm, err := m.startTPM(ctx, run)
		if err != nil {
			return nil, err
		}
		args = append(args, tpm...)
	}
	return args, nil
}

// network is an adapter with the guest's SSH behind a port of the host. It has a
// program to boot with where the machine does so.
func (m *Machine) network() []string {
	const netdev, device = "user,id=net0,hostfwd=tcp:127.0.0.1:0-:22", "virtio-net-pci,netdev=net0"
	if dir := m.hw.Network; dir != "" {
		return []string{"-netdev", netdev + ",tftp=" + dir + ",bootfile=boot.ipxe", "-device", device + ",bootindex=1"}
	}
	return []string{"-netdev", netdev, "-device", device + ",romfile="}
}

// startTPM runs a software TPM, whose state is kept with the machine. Each run
// of QEMU needs a fresh one.
func (m *Machine) startTPM(ctx context.Context, run string) ([]string, error) {
	state := filepath.Join(m.dir, "tpm")
	if err := os.MkdirAll(state, 0o700); err != nil {
		return nil, err
	}
	socket := filepath.Join(run, "tpm")
	m.tpm = exec.Command("swtpm", "socket", "--tpm2", "--tpmstate", "dir="+state,
		"--ctrl", "type=unixio,path="+socket, "--terminate", "--log", "file="+filepath.Join(m.dir, "tpm.log"))
	m.tpm.SysProcAttr = dieWithParent()
	if err := m.tpm.Start(); err != nil {
		m.tpm = nil
		return nil, err
	}
	for {
		if _, err := os.Stat(socket); err == nil {
			break
		}
		if err := pause(ctx, 20*time.Millisecond); err != nil {
			return nil, fmt.Errorf("waiting for swtpm: %w", err)
		}
	}
	return []string{
		"-chardev", "socket,id=tpm0,path=" + socket,
		"-tpmdev", "emulator,id=tpm0,chardev=tpm0", "-device", "tpm-tis,tpmdev=tpm0",
	}, nil
}

// AwaitSerial waits until the serial port has said a text, in one of the last
// lines of a boot.
func (m *Machine) AwaitSerial(ctx context.Context, text string) error {
	for !m.serial.said(text) {
		if !m.IsOn() && !m.serial.said(text) {
			if err := m.switchedOff(ctx); err != nil {
				return fmt.Errorf("waiting for the serial port to say %q: %w", text, err)
			}
		}
		if err := pause(ctx, 5*time.Millisecond); err != nil {
			return fmt.Errorf("waiting for the serial port of %s to say %q: %w", m.name, text, err)
		}
	}
	return nil
}
