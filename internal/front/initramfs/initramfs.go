// Package initramfs is the program of the initramfs: it makes the root file
// system of the deployment that the kernel command line names.
//
// setup-root finds the physical root mounted at /sysroot and puts the new root
// in its place: the deployment's image over the objects, the physical root
// read-only at /sysroot in it, and the deployment's /etc and the shared /var,
// writable. Where the deployment cannot be used it hands over to another one and
// reboots. find-root is for an initramfs without systemd: it names the
// partition that is to be mounted as physical root. attach-medium makes block
// devices of where the kernel sees none: a disc, and a root that came over the
// network. emergency is called before an emergency shell: it reboots a boot that is
// on trial.
//
// What is verified is decided by the kernel command line alone: with
// composefs=ID the image file must itself carry fs-verity with that very
// digest, and every file that it names must. Nothing on the disk, which anyone
// may have changed offline, can lower that.
//
// Invariants:
//   - the file that is measured and the file that is mounted are the same
//     descriptor;
//   - the repository is not changed, and a medium not at all;
//   - after an error /sysroot is as it was, unless it says otherwise.
//
// The package links neither the registry code nor net/http; a test in
// cmd/bootc-initramfs says so.
//
// Source: packaging/README.md says how it is called.
package initramfs

import (
	"errors"
	"flag"
	"fmt"
	"io"

	"golang.org/x/sys/unix"

	"github.com/bootc-go/bootc/internal/linux/block"
)

// The exit statuses. Later tells a caller of find-root to ask again: the disk
// may still appear.
const (
	OK     = 0
	Failed = 1
	Usage  = 2
	Later  = 3
)

// Main runs the program with its arguments, without its name, and returns the
// exit status.
func Main(args []string, stdout, stderr io.Writer) int {
	if len(args) == 0 {
		return usage(stderr)
	}
	switch args[0] {
	case "setup-root":
		return setupRoot(args[1:], stderr)
	case "find-root":
		if len(args) > 1 {
			return usage(stderr)
		}
		return findRoot(stdout, stderr)
	case "attach-medium":
		if err := attachMedium(args[1:], stdout, stderr); err != nil {
			fmt.Fprintf(stderr, "error: cannot attach the medium: %v\n", err)
			return Failed
		}
		return OK
	case "emergency":
		if len(args) > 1 {
			return usage(stderr)
		}
		return emergency(stderr)
	case "help", "-h", "--help":
		usage(stdout)
		return OK
	}
	return usage(stderr)
}

func usage(w io.Writer) int {
	fmt.Fprint(w, `usage: initramfs-setup setup-root [--sysroot DIR] [--target DIR] [--config FILE] [--root-fs DIR] [--cmdline TEXT]
       initramfs-setup find-root
       initramfs-setup attach-medium [PATH...]
       initramfs-setup emergency
`)
	return Usage
}

func setupRoot(args []string, stderr io.Writer) int {
	o := Options{Log: stderr}
	flags := flag.NewFlagSet("setup-root", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.StringVar(&o.Sysroot, "sysroot", DefaultSysroot, "where the physical root is mounted")
	flags.StringVar(&o.Target, "target", "", "where the new root goes (default: in the place of --sysroot)")
	flags.StringVar(&o.Config, "config", DefaultConfig, "configuration file")
	flags.StringVar(&o.RootFS, "root-fs", "", "use this directory as the root instead of an image (for tests)")
	flags.StringVar(&o.Cmdline, "cmdline", "", "kernel command line (default: that of the running kernel)")
	if err := flags.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return OK
		}
		return Usage
	}
	if flags.NArg() > 0 {
		return usage(stderr)
	}
	early := inInitramfs()
	if early {
		o.VolatileRoot = "/run/systemd/volatile-root"
		o.Run = "/run"
	}
	medium, err := Setup(o)
	// The variables are about the system that is installed on the machine.
	installed := early && !medium
	if err == nil && installed {
		if err := tellFailed(); err != nil {
			fmt.Fprintf(stderr, "warning: cannot tell which boot entries have failed: %v\n", err)
		}
	}
	if err == nil {
		return OK
	}
	fmt.Fprintf(stderr, "error: cannot set up the root: %v\n", err)
	if d := (*DeploymentError)(nil); installed && errors.As(err, &d) {
		fmt.Fprintf(stderr, "error: cannot boot another deployment instead: %v\n", giveWay(d, stderr))
	}
	return Failed
}

func findRoot(stdout, stderr io.Writer) int {
	path, err := FindRoot()
	switch {
	case err == nil:
		fmt.Fprintln(stdout, path)
		return OK
	case errors.Is(err, block.ErrNotFound):
		fmt.Fprintf(stderr, "cannot find the root yet: %v\n", err)
		return Later
	}
	fmt.Fprintf(stderr, "error: cannot find the root: %v\n", err)
	return Failed
}

// inInitramfs reports whether the root is what the kernel unpacked into memory.
func inInitramfs() bool {
	var st unix.Statfs_t
	if err := unix.Statfs("/", &st); err != nil {
		return false
	}
	return st.Type == unix.TMPFS_MAGIC || st.Type == unix.RAMFS_MAGIC
}
