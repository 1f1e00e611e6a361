// Init is the first program of the machines that the crash campaign really boots,
// twice: in the initramfs, where it mounts the physical root, has bootc's program
// make the root and goes there; and in that root, where it says on the serial port
// what it is, reads every file of the image, and switches the machine off.
//
// It stands for systemd, which would take a minute. docs/crash-campaign.md says what
// is said here: lines that begin with "CRASH:".
package main

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// The physical root is the third partition of the only disk: install makes it so.
const rootDevice = "/dev/vda3"

func main() {
	run := system
	if _, err := os.Stat("/modules"); err == nil {
		run = initramfs
	}
	if err := run(); err != nil {
		say("failed: %v", err)
	}
	unix.Sync()
	unix.Reboot(unix.LINUX_REBOOT_CMD_POWER_OFF)
}

// say writes a line to the serial port. Before it may be one that is not ended.
func say(format string, args ...any) {
	line := "\nCRASH: " + fmt.Sprintf(format, args...) + "\n"
	console, err := os.OpenFile("/dev/console", os.O_WRONLY, 0)
	if err != nil {
		return
	}
	defer console.Close()
	io.WriteString(console, line)
}

// initramfs goes on to the system. It returns only if that does not come about.
func initramfs() error {
	for dir, kind := range map[string]string{"/dev": "devtmpfs", "/proc": "proc", "/sys": "sysfs"} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
		if err := unix.Mount(kind, dir, kind, 0, ""); err != nil && !errors.Is(err, unix.EBUSY) {
			return fmt.Errorf("mounting %s: %w", dir, err)
		}
	}
	if err := loadModules("/modules"); err != nil {
		return err
	}
	if err := os.MkdirAll("/sysroot", 0o755); err != nil {
		return err
	}
	if err := mountRoot(time.Now().Add(time.Minute)); err != nil {
		return err
	}
	out, err := exec.Command("/usr/lib/bootc/initramfs-setup", "setup-root").CombinedOutput()
	if err != nil {
		return fmt.Errorf("setup-root: %w: %s", err, out)
	}
	if err := os.Chdir("/sysroot"); err != nil {
		return err
	}
	if err := unix.Mount("/dev", "dev", "", unix.MS_MOVE, ""); err != nil {
		return fmt.Errorf("moving /dev: %w", err)
	}
	if err := unix.Mount("/proc", "proc", "", unix.MS_MOVE, ""); err != nil {
		return fmt.Errorf("moving /proc: %w", err)
	}
	if err := unix.Mount(".", "/", "", unix.MS_MOVE, ""); err != nil {
		return fmt.Errorf("moving the root: %w", err)
	}
	if err := unix.Chroot("."); err != nil {
		return err
	}
	return unix.Exec("/sbin/init", []string{"init"}, nil)
}

// loadModules loads what is there, in the order of the names.
func loadModules(dir string) error {
	all, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range all {
		f, err := os.Open(filepath.Join(dir, e.Name()))
		if err != nil {
			return err
		}
		flags := 0
		if !strings.HasSuffix(e.Name(), ".ko") {
			flags = unix.MODULE_INIT_COMPRESSED_FILE
		}
		err = unix.FinitModule(int(f.Fd()), "", flags)
		f.Close()
		if err != nil && !errors.Is(err, unix.EEXIST) {
			return fmt.Errorf("loading %s: %w", e.Name(), err)
		}
	}
	return nil
}

// mountRoot mounts the physical root as soon as its disk has been found.
func mountRoot(until time.Time) error {
	for {
		err := unix.Mount(rootDevice, "/sysroot", "ext4", 0, "")
		if err == nil || !errors.Is(err, unix.ENOENT) || time.Now().After(until) {
			return err
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// system tells what was booted, when all of it has been read.
func system() error {
	release, err := os.ReadFile("/usr/lib/os-release")
	if err != nil {
		return err
	}
	files, bytes, err := read("/usr")
	if err != nil {
		return err
	}
	say("usr: %d files, %d bytes", files, bytes)
	if err := tell("/etc"); err != nil {
		return err
	}
	if err := tell("/var/lib"); err != nil {
		return err
	}
	// What can be written, is.
	if err := unix.Mount("", "/sysroot", "", unix.MS_REMOUNT|unix.MS_RDONLY, ""); err != nil {
		return fmt.Errorf("making the physical root read-only: %w", err)
	}
	_, version, _ := strings.Cut(string(release), "VERSION_ID=")
	version, _, _ = strings.Cut(version, "\n")
	say("version %s is up", version)
	return nil
}

// read reads every file below a directory: the kernel checks each byte.
func read(dir string) (files int, bytes int64, err error) {
	err = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		defer f.Close()
		n, err := io.Copy(io.Discard, f)
		files, bytes = files+1, bytes+n
		return err
	})
	return files, bytes, err
}

// tell says what is below a directory: a line for each file, and one for all.
func tell(dir string) error {
	h := sha256.New()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		fmt.Fprintln(h, path, info.Mode())
		if !d.Type().IsRegular() {
			return nil
		}
		data, err := os.ReadFile(path)
		h.Write(data)
		return err
	})
	if err == nil {
		say("%s: %x", dir, h.Sum(nil))
	}
	return err
}
