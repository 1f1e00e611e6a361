package machine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"github.com/moby/sys/mountinfo"
	"golang.org/x/sys/unix"

	"github.com/bootc-go/bootc"
	"github.com/bootc-go/bootc/internal/content/images"
	cmdlines "github.com/bootc-go/bootc/internal/format/cmdline"
	"github.com/bootc-go/bootc/internal/linux/block"
	"github.com/bootc-go/bootc/internal/linux/dir"
	"github.com/bootc-go/bootc/internal/linux/efivars"
	"github.com/bootc-go/bootc/internal/linux/mount"
	"github.com/bootc-go/bootc/internal/machine/boot"
	"github.com/bootc-go/bootc/internal/machine/deploy"
)

// ErrNotBooted means that the running system was not booted by bootc.
var ErrNotBooted = errors.New("system not booted via bootc")

// ErrContainer means that the program runs in a container.
var ErrContainer = errors.New("running in a container; this needs a booted host system")

// ErrMedium means that the running system cannot be changed, because it runs
// from a medium: docs/formats/medium.md.
var ErrMedium = errors.New("/sysroot is on a medium that is not written (e.g. a live ISO)")

// onMedium reports whether the running system runs from a medium that is not
// written.
func onMedium(run *os.Root) (bool, error) {
	_, err := run.Stat(bootc.MediumFile)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

// InContainer reports whether the program runs in a container: the files that
// container engines leave, or the environment variable of systemd's
// CONTAINER_INTERFACE.
func InContainer() bool {
	for _, name := range []string{"/run/.containerenv", "/.dockerenv", "/run/systemd/container"} {
		if _, err := os.Lstat(name); err == nil {
			return true
		}
	}
	return os.Getenv("container") != ""
}

// ReadBooted tells what runs, from the mount of the root and the kernel
// command line. It needs no privilege.
func ReadBooted() (*Booted, error) {
	mounts, err := mountinfo.GetMounts(mountinfo.SingleEntryFilter("/"))
	if err != nil {
		return nil, err
	}
	if len(mounts) == 0 {
		return nil, ErrNotBooted
	}
	root := mounts[len(mounts)-1]
	source := strings.TrimPrefix(root.Source, "transient:")
	name, ok := strings.CutPrefix(source, "composefs:")
	if !ok {
		name, ok = strings.CutPrefix(source, "composefs=")
	}
	if !ok || root.FSType != "overlay" {
		return nil, ErrNotBooted
	}
	id, err := bootc.ParseID(name)
	if err != nil {
		return nil, err
	}
	cmdline, err := os.ReadFile("/proc/cmdline")
	if err != nil {
		return nil, err
	}
	loader, _, err := efivars.Loader()
	if err != nil {
		loader = "" // another firmware, or another loader
	}
	b := &Booted{ID: id, Loader: loader, Verity: hasOption(root.VFSOptions, "verity=require"), Cmdline: strings.TrimSpace(string(cmdline))}
	if source != root.Source { // a transient layer lies over the verified one
		asked, err := cmdlines.Composefs(b.Cmdline)
		b.Verity = err == nil && !asked.Insecure
	}
	return b, nil
}

func hasOption(options, want string) bool {
	for o := range strings.SplitSeq(options, ",") {
		if o == want {
			return true
		}
	}
	return false
}

// OpenRunning takes the lock and opens the running computer for changes; Close
// gives the lock back. Its file systems are reached through mounts of our own,
// which no other process sees; what is mounted read-only for others stays so.
// Where the system runs from a medium the error is [ErrMedium], where another
// verb is at work a [*LockedError].
func OpenRunning(ctx context.Context, o LockOptions) (*Machine, error) {
	return openRunning(locking(ctx, o), images.Open)
}

// OpenReading opens the running computer to look at it. Nothing is written,
// not even what a file system writes when it is mounted. Of a system that runs
// from a medium the boot entries are left out.
func OpenReading() (*Machine, error) { return openRunning(nil, images.Open) }

// OpenDamaged is [OpenRunning], and OpenDamagedReading [OpenReading], for who checks
// the computer: see [images.OpenDamaged].
func OpenDamaged(ctx context.Context, o LockOptions) (*Machine, error) {
	return openRunning(locking(ctx, o), images.OpenDamaged)
}

// OpenDamagedReading is described with [OpenDamaged].
func OpenDamagedReading() (*Machine, error) { return openRunning(nil, images.OpenDamaged) }

// locking makes sure that a computer may be changed: it takes the lock.
func locking(ctx context.Context, o LockOptions) func(*Machine) error {
	return func(m *Machine) error {
		if m.Medium {
			return ErrMedium
		}
		// First of all: who waits for the lock must not keep others from the
		// repository meanwhile.
		l, err := TakeLock(ctx, m.Run, o)
		if err == nil {
			m.onClose(l.Release)
		}
		return err
	}
}

// A repositoryOpener is images.Open, or like it.
type repositoryOpener func(*os.Root) (*images.Repository, error)

// openRunning opens the running computer, for changes if there is a function that
// makes sure that it may be changed.
func openRunning(toWrite func(*Machine) error, repository repositoryOpener) (*Machine, error) {
	if InContainer() {
		return nil, ErrContainer
	}
	if os.Geteuid() != 0 {
		return nil, errors.New("this command must be run as root")
	}
	booted, err := ReadBooted()
	if err != nil {
		return nil, err
	}
	m := &Machine{Booted: booted}
	if err := m.open(toWrite, repository); err != nil {
		return nil, errors.Join(err, m.Close())
	}
	return m, nil
}

func (m *Machine) open(toWrite func(*Machine) error, repository repositoryOpener) (err error) {
	if err := m.openRun("/run"); err != nil {
		return err
	}
	write := toWrite != nil
	if write {
		if err := toWrite(m); err != nil {
			return err
		}
	}
	if err := m.openSysroot("/sysroot", write, repository); err != nil {
		return fmt.Errorf("opening /sysroot: %w", err)
	}
	if m.Etc, err = dir.Open("/etc"); err != nil {
		return err
	}
	m.onClose(m.Etc.Close)
	if m.Medium {
		return nil
	}
	if err := m.openLoader("/sysroot", write); err != nil {
		return fmt.Errorf("opening the EFI system partition: %w", err)
	}
	return nil
}

// openRun opens /run, and learns from it whether the system runs from a medium.
func (m *Machine) openRun(path string) (err error) {
	if m.Run, err = os.OpenRoot(path); err != nil {
		return err
	}
	m.onClose(m.Run.Close)
	m.Medium, err = onMedium(m.Run)
	return err
}

func (m *Machine) openSysroot(path string, write bool, repository repositoryOpener) error {
	clone, err := mount.Clone(path)
	if err != nil {
		return err
	}
	m.onClose(clone.Close)
	if err := mount.SetReadOnly(clone, !write); err != nil {
		return err
	}
	root, err := rootOf(clone)
	if err != nil {
		return err
	}
	m.onClose(root.Close)
	return m.useSysroot(root, repository)
}

func (m *Machine) useSysroot(root *os.Root, repository repositoryOpener) error {
	m.Sysroot, m.State = root, deploy.New(root)
	repoRoot, err := root.OpenRoot("composefs")
	if err != nil {
		return err
	}
	m.onClose(repoRoot.Close)
	if m.Repo, err = repository(repoRoot); err != nil {
		return fmt.Errorf("opening the image repository: %w", err)
	}
	m.onClose(m.Repo.Close)
	return nil
}

func (m *Machine) openLoader(sysroot string, write bool) error {
	var st unix.Stat_t
	if err := unix.Stat(sysroot, &st); err != nil {
		return err
	}
	esp, err := block.ESPOf(st.Dev)
	if err != nil {
		return err
	}
	options := espOptions()
	var root *os.Root
	if !write {
		root, err = m.mountRoot("vfat", esp, append(options, "ro")...)
	}
	if write || errors.Is(err, unix.EBUSY) { // mounted for writing elsewhere
		root, err = m.mountRoot("vfat", esp, options...)
	}
	if err != nil {
		return err
	}
	m.Loader = boot.New(root)
	return nil
}

// espOptions are the mount options of an EFI system partition. A leftover of a
// power cut that cannot be removed must not make it read-only for all others.
func espOptions() []string { return []string{"fmask=0077", "dmask=0077", "errors=continue"} }

// rootOf makes a directory handle of a mount that has no path.
func rootOf(mnt *os.File) (*os.Root, error) {
	return os.OpenRoot(fmt.Sprintf("/proc/self/fd/%d", mnt.Fd()))
}

// OpenPublic opens the running computer as far as an ordinary user can read
// it: what is booted and where it came from. Repository and boot entries are
// root's.
func OpenPublic() (*Machine, error) {
	booted, err := ReadBooted()
	if err != nil {
		return nil, err
	}
	m := &Machine{Booted: booted}
	root, err := os.OpenRoot("/sysroot")
	if err != nil {
		return nil, err
	}
	m.onClose(root.Close)
	if err := m.openRun("/run"); err != nil {
		return nil, errors.Join(err, m.Close())
	}
	m.Sysroot, m.State = root, deploy.New(root)
	return m, nil
}

// FailedBoots lists the boot entries that could not be booted before this boot,
// which took over from them.
func (m *Machine) FailedBoots() ([]bootc.FailedBoot, error) {
	data, err := m.Run.ReadFile(bootc.FailedBootsFile)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var failed []bootc.FailedBoot
	if err := json.Unmarshal(data, &failed); err != nil {
		return nil, fmt.Errorf("reading /run/%s: %w", bootc.FailedBootsFile, err)
	}
	return failed, nil
}
