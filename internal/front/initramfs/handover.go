package initramfs

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/bootc-go/bootc"
	"github.com/bootc-go/bootc/internal/linux/efivars"
	"github.com/bootc-go/bootc/internal/linux/mount"
)

// What is written here is specified in docs/formats/boot-entries.md, "Handing
// over to another entry".

const (
	failedVar   = "BootcFailedBoots"
	oneShotVar  = "LoaderEntryOneShot"
	ourEntries  = "bootc_"
	reasonLimit = 200 // the firmware has little room
)

// A DeploymentError says that the deployment that was to be booted cannot be
// used. Another one may.
type DeploymentError struct {
	ID  bootc.ID
	Err error
}

func (e *DeploymentError) Error() string {
	return fmt.Sprintf("deployment %s: %v", e.ID.Short(), e.Err)
}

func (e *DeploymentError) Unwrap() error { return e.Err }

// errNoOther means that there is no entry left to hand over to.
var errNoOther = errors.New("there is no other deployment that could be booted")

// handOver makes the next boot take another entry of ours, one that has not
// failed since the last success, and returns its name. Without one the error is
// errNoOther, and what has failed is forgotten.
func handOver(vars *os.Root, reason string) (next string, err error) {
	selected, all, err := efivars.Entries(vars.FS())
	if err != nil {
		return "", err
	}
	failed, err := readFailed(vars)
	if err != nil {
		return "", err
	}
	failed = add(failed, bootc.FailedBoot{Entry: selected, Reason: reason})
	for _, entry := range all {
		if strings.HasPrefix(entry, ourEntries) && !contains(failed, entry) {
			next = entry
			break
		}
	}
	if next == "" || selected == "" {
		return "", errors.Join(errNoOther, efivars.Remove(vars, failedVar, efivars.BootcVendor))
	}
	if err := writeFailed(vars, failed); err != nil {
		return "", err // without a memory two broken entries would take turns for ever
	}
	return next, efivars.SetText(vars, oneShotVar, efivars.LoaderVendor, next)
}

// succeeded moves the memory of entries that have failed to the directory run,
// where the system that boots now finds it.
func succeeded(vars, run *os.Root) error {
	failed, err := readFailed(vars)
	if err != nil || len(failed) == 0 {
		return err
	}
	data, err := json.Marshal(failed)
	if err != nil {
		return err
	}
	if err := run.Mkdir("bootc", 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	if err := run.WriteFile(bootc.FailedBootsFile, append(data, '\n'), 0o644); err != nil {
		return err
	}
	return efivars.Remove(vars, failedVar, efivars.BootcVendor)
}

func readFailed(vars *os.Root) ([]bootc.FailedBoot, error) {
	text, err := efivars.Text(vars.FS(), failedVar, efivars.BootcVendor)
	if err != nil {
		return nil, err
	}
	var failed []bootc.FailedBoot
	for line := range strings.Lines(text) {
		entry, reason, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "\t")
		failed = append(failed, bootc.FailedBoot{Entry: entry, Reason: reason})
	}
	return failed, nil
}

func writeFailed(vars *os.Root, failed []bootc.FailedBoot) error {
	var b strings.Builder
	for _, f := range failed {
		fmt.Fprintf(&b, "%s\t%s\n", f.Entry, short(f.Reason))
	}
	return efivars.SetText(vars, failedVar, efivars.BootcVendor, b.String())
}

// short makes one line of a reason, of at most reasonLimit characters.
func short(reason string) string {
	line := []rune(strings.Join(strings.Fields(reason), " "))
	return string(line[:min(len(line), reasonLimit)])
}

// add puts a failure at the end of the list, in place of an earlier one of the
// same entry.
func add(failed []bootc.FailedBoot, f bootc.FailedBoot) []bootc.FailedBoot {
	var all []bootc.FailedBoot
	for _, g := range failed {
		if g.Entry != f.Entry {
			all = append(all, g)
		}
	}
	return append(all, f)
}

func contains(failed []bootc.FailedBoot, entry string) bool {
	for _, f := range failed {
		if f.Entry == entry {
			return true
		}
	}
	return false
}

// giveWay hands over to another deployment and reboots the machine. It returns
// only if that cannot be done.
func giveWay(cause error, stderr io.Writer) error {
	vars, err := openVariables()
	if err != nil {
		return err
	}
	defer vars.Close()
	next, err := handOver(vars, cause.Error())
	if err != nil {
		return err
	}
	fmt.Fprintf(stderr, "Rebooting into %s.\n", next)
	// Nothing runs that would have to be stopped, and the physical root has a
	// journal.
	unix.Sync()
	return unix.Reboot(unix.LINUX_REBOOT_CMD_RESTART)
}

// tellFailed lets the system that boots know which entries have failed before.
func tellFailed() error {
	vars, err := openVariables()
	if errors.Is(err, efivars.ErrNotEFI) {
		return nil
	}
	if err != nil {
		return err
	}
	defer vars.Close()
	run, err := os.OpenRoot("/run")
	if err != nil {
		return err
	}
	defer run.Close()
	return succeeded(vars, run)
}

// openVariables opens the firmware's variables for changes, through a mount of
// our own where nobody has mounted them yet.
func openVariables() (*os.Root, error) {
	if _, err := os.Stat("/sys/firmware/efi"); err != nil {
		return nil, efivars.ErrNotEFI
	}
	m, err := mount.Device("efivarfs", "efivarfs")
	if err != nil {
		return nil, fmt.Errorf("%w: %w", efivars.ErrNotEFI, err)
	}
	defer m.Close()
	return os.OpenRoot(fmt.Sprintf("/proc/self/fd/%d", m.Fd()))
}
