package health

import (
	"fmt"
	"io/fs"
	"strconv"
	"strings"
	"time"
)

// A Trace is what has been kept of a boot that failed.
type Trace struct {
	Watchdog bool // else a panic of the kernel
	Text     string
}

// cardReset is WDIOF_CARDRESET of linux/watchdog.h: the watchdog has reset the
// machine.
const cardReset = 0x20

// Before tells what kernel and hardware have kept of the boot before this one:
// records of a panic that are newer than since, in pstore or where
// systemd-pstore(8) has moved them, and a reset by a watchdog.
func Before(root fs.FS, since time.Time) []Trace {
	var all []Trace
	if name := panicRecord(root, since); name != "" {
		all = append(all, Trace{Text: "the kernel has left the record of a panic, /" + name})
	}
	dogs, _ := fs.Glob(root, "sys/class/watchdog/watchdog*/bootstatus")
	for _, name := range dogs {
		text, err := fs.ReadFile(root, name)
		if err != nil {
			continue
		}
		if n, err := strconv.ParseUint(strings.TrimSpace(string(text)), 0, 32); err == nil && n&cardReset != 0 {
			return append(all, Trace{Watchdog: true, Text: fmt.Sprintf("the machine was reset by a watchdog (/%s is %#x)", name, n)})
		}
	}
	return all
}

// panicRecord returns the path of the first record of a panic. systemd-pstore
// gives what it moves the time of the move.
func panicRecord(root fs.FS, since time.Time) (found string) {
	if names, _ := fs.Glob(root, "sys/fs/pstore/dmesg-*"); len(names) > 0 {
		return names[0]
	}
	_ = fs.WalkDir(root, "var/lib/systemd/pstore", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasPrefix(d.Name(), "dmesg") {
			return nil
		}
		if st, err := d.Info(); err == nil && st.ModTime().After(since) {
			found = name
			return fs.SkipAll
		}
		return nil
	})
	return found
}
