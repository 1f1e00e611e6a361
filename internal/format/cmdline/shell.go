package cmdline

import "slices"

// shellWords ask systemd or dracut for a shell when they stand alone.
//
// Source: systemd(1), "Kernel Command Line"; dracut.cmdline(7).
var shellWords = []string{"emergency", "rd.emergency", "rescue", "rd.rescue", "single", "s", "S", "1", "-b", "-s", "rd.break", "rd.shell"}

// WantsShell reports whether somebody has asked on a command line for a shell,
// or for another unit than the usual one.
func WantsShell(line string) bool {
	for _, p := range Split(line) {
		if slices.Contains(shellWords, p.Text) {
			return true
		}
		switch p.Key {
		case "systemd.unit", "rd.systemd.unit", "rd.break":
			return true
		}
	}
	return false
}
