package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// A measurement is one run of a contender.
type measurement struct {
	wall, cpu time.Duration
	peak      int64 // memory of the largest process, in bytes
	// Bytes that went through read and write, and their like, of all processes.
	read, written int64
	stored        int64 // growth of the store, in bytes of the disk; -1: there is none
}

// measure lets a contender do its work once.
func (b *bench) measure(c contender) (m measurement, err error) {
	dir := filepath.Join(b.runs, strconv.Itoa(b.dirs))
	b.dirs++
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return m, err
	}
	if c.setup != "" {
		if out, err := shell(dir, c.setup).CombinedOutput(); err != nil {
			return m, fmt.Errorf("setting up: %w: %s", err, out)
		}
	}
	var before int64
	if c.store != "" {
		if before, err = usage(dir, c.store); err != nil {
			return m, err
		}
	}
	unix.Sync() // what the setup wrote is not the contender's to flush
	work := shell(dir, c.work)
	var stderr strings.Builder
	work.Stderr = &stderr
	begin := time.Now()
	if err := work.Start(); err != nil {
		return m, err
	}
	// The counts of a process can be read until it is waited for.
	for {
		err = unix.Waitid(unix.P_PID, work.Process.Pid, nil, unix.WEXITED|unix.WNOWAIT, nil)
		if !errors.Is(err, unix.EINTR) {
			break
		}
	}
	m.wall = time.Since(begin)
	m.read, m.written = transferred(work.Process.Pid)
	if e := work.Wait(); e != nil {
		return m, fmt.Errorf("%w: %s", e, strings.TrimSpace(stderr.String()))
	}
	m.cpu = work.ProcessState.UserTime() + work.ProcessState.SystemTime()
	m.peak = work.ProcessState.SysUsage().(*syscall.Rusage).Maxrss << 10
	m.stored = -1
	if c.store != "" {
		after, err := usage(dir, c.store)
		m.stored = after - before
		return m, err
	}
	return m, nil
}

// usage is how much of the disk the files in a directory take; one that is not
// there takes nothing.
func usage(dir, name string) (sum int64, err error) {
	err = filepath.WalkDir(filepath.Join(dir, name), func(_ string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		sum += info.Sys().(*syscall.Stat_t).Blocks * 512
		return nil
	})
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	return sum, err
}

// empty frees what files in a directory take of the disk. They stay: see
// HACKING.md.
func empty(dir string) error {
	return filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		info, err := d.Info()
		if err != nil || info.Size() < 64<<10 {
			return err
		}
		return os.Truncate(name, 0)
	})
}

func shell(dir, script string) *exec.Cmd {
	c := exec.Command("sh", "-euc", script)
	c.Dir = dir
	return c
}

// transferred reads proc_pid_io(5): of a process and the children it has waited
// for.
func transferred(pid int) (read, written int64) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/io", pid))
	if err != nil {
		return 0, 0
	}
	for line := range strings.Lines(string(data)) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), ": ")
		n, _ := strconv.ParseInt(value, 10, 64)
		switch name {
		case "rchar":
			read = n
		case "wchar":
			written = n
		}
	}
	return read, written
}
