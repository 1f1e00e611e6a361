package initramfs

import (
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/bootc-go/bootc/internal/format/cmdline"
	"github.com/bootc-go/bootc/internal/linux/efivars"
)

// emergencyDelay lets somebody at the console read why.
const emergencyDelay = 10 * time.Second

// emergency reboots a boot on trial that has come to an emergency shell: the boot
// loader has taken a try for it, and goes back to another deployment when none is
// left. It returns where a person is to decide.
func emergency(stderr io.Writer) int {
	line, err := os.ReadFile("/proc/cmdline")
	if err != nil {
		fmt.Fprintf(stderr, "error: cannot read the kernel command line: %v\n", err)
		return Failed
	}
	vars, err := openVariables()
	if err != nil {
		fmt.Fprintf(stderr, "cannot tell whether this boot is on trial: %v\n", err)
		return OK
	}
	defer vars.Close()
	if !givesUp(string(line), vars.FS()) {
		return OK
	}
	fmt.Fprintf(stderr, "This boot is on trial and has failed. Rebooting in %s.\n", emergencyDelay)
	time.Sleep(emergencyDelay)
	unix.Sync()
	fmt.Fprintf(stderr, "error: cannot reboot: %v\n", unix.Reboot(unix.LINUX_REBOOT_CMD_RESTART))
	return Failed
}

// givesUp reports whether the boot is on trial and nobody has asked for a shell.
func givesUp(line string, vars fs.FS) bool {
	path, err := efivars.Text(vars, "LoaderBootCountPath", efivars.LoaderVendor)
	return err == nil && path != "" && !cmdline.WantsShell(line)
}
