package lock

import (
	"bytes"
	"fmt"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"golang.org/x/sys/unix"
)

// A Holder is a process that holds a lock.
type Holder struct {
	PID int
	// Command is what it was called with, as far as the first option.
	Command string
	Since   time.Time // it runs
	Unit    string    // the service of the system that it belongs to, "" for none
}

// String is for people: "bootc upgrade (process 812, web.service) since 14:03:12".
func (h Holder) String() string {
	text := fmt.Sprintf("%s (process %d", h.Command, h.PID)
	if h.Unit != "" {
		text += ", " + h.Unit
	}
	return text + ") since " + h.Since.Format("2006-01-02 15:04:05")
}

// Holders lists the other processes that hold a lock on the file. One that has
// ended meanwhile, or that this process may not see, is left out.
func Holders(f *os.File) []Holder {
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		return nil
	}
	table, err := os.ReadFile("/proc/locks")
	if err != nil {
		return nil
	}
	inode := fmt.Sprintf(":%d", st.Ino)
	pids := holding(string(table), fmt.Sprintf("%02x:%02x", unix.Major(st.Dev), unix.Minor(st.Dev))+inode)
	if len(pids) == 0 {
		// On some file systems the kernel names another device here than stat does.
		pids = holding(string(table), inode)
	}
	var all []Holder
	for _, pid := range pids {
		if h, ok := describe(pid); ok && pid != os.Getpid() {
			all = append(all, h)
		}
	}
	return all
}

// holding finds the processes in /proc/locks that hold a lock on a file whose name
// there ends as is said.
func holding(table, file string) []int {
	var pids []int
	for line := range strings.Lines(table) {
		// 1: FLOCK  ADVISORY  WRITE 812 fe:00:395576 0 EOF
		words := strings.Fields(line)
		if len(words) < 6 || words[1] != "FLOCK" || !strings.HasSuffix(words[5], file) {
			continue
		}
		if pid, err := strconv.Atoi(words[4]); err == nil && pid > 0 {
			pids = append(pids, pid)
		}
	}
	slices.Sort(pids)
	return slices.Compact(pids)
}

func describe(pid int) (Holder, bool) {
	h := Holder{PID: pid}
	dir := fmt.Sprintf("/proc/%d/", pid)
	args, err := os.ReadFile(dir + "cmdline")
	if err != nil {
		return h, false
	}
	h.Command = command(args)
	stat, err := os.ReadFile(dir + "stat")
	if err != nil {
		return h, false
	}
	since, ok := started(stat)
	if !ok {
		return h, false
	}
	h.Since = since
	group, _ := os.ReadFile(dir + "cgroup") // not on all systems
	h.Unit = unit(string(group))
	return h, true
}

// command is the name of a program and the words before its first option.
func command(cmdline []byte) string {
	words := []string{}
	for i, w := range bytes.Split(bytes.TrimRight(cmdline, "\x00"), []byte{0}) {
		word := string(w)
		if i == 0 {
			word = path.Base(word)
		}
		if i > 0 && strings.HasPrefix(word, "-") || len(words) == 5 {
			break
		}
		words = append(words, word)
	}
	text := strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return '?'
		}
		return r
	}, strings.ToValidUTF8(strings.Join(words, " "), "?"))
	return text[:min(len(text), 200)]
}

// started reads when a process has started: field 22, in ticks since the boot.
func started(stat []byte) (time.Time, bool) {
	i := bytes.LastIndexByte(stat, ')') // the name before may hold anything
	fields := strings.Fields(string(stat[i+1:]))
	if i < 0 || len(fields) < 20 {
		return time.Time{}, false
	}
	ticks, err := strconv.ParseInt(fields[19], 10, 64)
	var now unix.Timespec
	if err != nil || unix.ClockGettime(unix.CLOCK_BOOTTIME, &now) != nil {
		return time.Time{}, false
	}
	const tick = time.Second / 100 // USER_HZ, of all architectures
	return time.Now().Add(time.Duration(ticks)*tick - time.Duration(now.Nano())).Truncate(time.Second), true
}

// unit finds the service of the system in /proc/PID/cgroup: "0::/system.slice/web.service".
// Services of users are none.
func unit(cgroup string) string {
	for line := range strings.Lines(cgroup) {
		_, group, _ := strings.Cut(strings.TrimSpace(line), "::")
		if !strings.HasPrefix(group, "/system.slice/") {
			continue
		}
		for _, name := range slices.Backward(strings.Split(group, "/")) {
			if strings.HasSuffix(name, ".service") {
				return name
			}
		}
	}
	return ""
}

// Unit returns the service of the system that this process belongs to, "" for
// none.
func Unit() string {
	group, _ := os.ReadFile("/proc/self/cgroup")
	return unit(string(group))
}
