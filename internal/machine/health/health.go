// Package health judges a boot: it finds and runs the health checks of the
// system, and reads what kernel and hardware have kept of the boot before.
//
// It does not know boot entries, and decides nothing; package assess does.
//
// A check is a program. It is healthy if it ends with status 0 in time. Losing
// the network is not a failure of the system, so nothing here looks at the
// network, nor at units that wait for it.
//
// Checks are found where greenboot has them, too:
// https://github.com/fedora-iot/greenboot-rs, "Health checks with bash scripts".
package health

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/BurntSushi/toml"
)

// A Check is a program that says whether the system is healthy.
type Check struct {
	Path string // absolute
	// Wanted is true for one that may fail: that is told, and no more.
	Wanted bool
	// Executable is false for a script that is given to a shell.
	Executable bool
}

// A directory has checks, or programs that are run after them.
type directory struct {
	path              string
	wanted, greenboot bool
}

// directories are searched in this order.
var directories = []directory{
	{"usr/lib/bootc/health.d", false, false},
	{"usr/lib/greenboot/check/required.d", false, true},
	{"etc/greenboot/check/required.d", false, true},
	{"usr/lib/greenboot/check/wanted.d", true, true},
	{"etc/greenboot/check/wanted.d", true, true},
}

// Find lists the checks of a system, in the order in which they are run: by
// directory, then by name. In the directories of greenboot those are the files
// *.sh and all that are executable, but for those that its configuration disables; in
// ours, all that are executable and whose names do not begin with a dot.
func Find(root fs.FS) ([]Check, error) {
	disabled, err := readDisabled(root)
	if err != nil {
		return nil, err
	}
	all, err := find(root, directories)
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(all, func(c Check) bool {
		return strings.Contains(c.Path, "/greenboot/") && slices.Contains(disabled, path.Base(c.Path))
	}), nil
}

// After lists what greenboot runs after the checks: in green.d if the system is
// healthy, in red.d if it is not.
func After(root fs.FS, healthy bool) ([]Check, error) {
	name := "red.d"
	if healthy {
		name = "green.d"
	}
	return find(root, []directory{{"usr/lib/greenboot/" + name, true, true}, {"etc/greenboot/" + name, true, true}})
}

func find(root fs.FS, in []directory) ([]Check, error) {
	var all []Check
	for _, d := range in {
		entries, err := fs.ReadDir(root, d.path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		for _, e := range entries {
			name := path.Join(d.path, e.Name())
			st, err := fs.Stat(root, name) // a link is followed
			if err != nil || !st.Mode().IsRegular() {
				continue
			}
			c := Check{Path: "/" + name, Wanted: d.wanted, Executable: st.Mode()&0o111 != 0}
			if d.greenboot && strings.HasSuffix(name, ".sh") || c.Executable && e.Name()[0] != '.' {
				all = append(all, c)
			}
		}
	}
	return all, nil
}

// A Config is what image or owner say about health checks.
type Config struct {
	// FailedUnits makes a unit that has failed a failed check.
	FailedUnits bool `toml:"failed-units"`
	// Timeout is the time that one check has.
	Timeout time.Duration `toml:"check-timeout"`
}

// DefaultTimeout is the time that a check has if nothing is said. Checks of
// others are known to wait for two and a half minutes.
const DefaultTimeout = 5 * time.Minute

// ReadConfig reads /usr/lib/bootc/health.toml and then /etc/bootc/health.toml,
// whose keys win. A key that is not known is an error: what was meant would not
// be done.
func ReadConfig(root fs.FS) (Config, error) {
	c := Config{Timeout: DefaultTimeout}
	for _, name := range []string{"usr/lib/bootc/health.toml", "etc/bootc/health.toml"} {
		data, err := fs.ReadFile(root, name)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return c, err
		}
		meta, err := toml.Decode(string(data), &c)
		if err == nil && len(meta.Undecoded()) > 0 {
			err = fmt.Errorf("unknown key %q", meta.Undecoded()[0])
		}
		if err == nil && c.Timeout <= 0 {
			err = fmt.Errorf("check-timeout is %s", c.Timeout)
		}
		if err != nil {
			return c, fmt.Errorf("/%s: %w", name, err)
		}
	}
	return c, nil
}

// A Result is what a check came to.
type Result struct {
	Check  Check
	Output string // the end of what it printed
	Err    error  // nil: healthy
}

// A Runner runs a check, prints what it prints to log, and returns the end of it.
type Runner func(ctx context.Context, c Check, limit time.Duration, log io.Writer) (said string, err error)

// RunAfter runs what [After] has found, one after the other. What fails is told to log,
// and no more.
func RunAfter(ctx context.Context, programs []Check, limit time.Duration, run Runner, log io.Writer) {
	for _, c := range programs {
		if _, err := run(ctx, c, limit, log); err != nil {
			fmt.Fprintf(log, "warning: %s has failed: %v\n", c.Path, err)
		} else {
			fmt.Fprintf(log, "done: %s\n", c.Path)
		}
	}
}

// Run runs all checks, one after the other, and tells log about each. It returns
// what the required ones came to that have failed.
func Run(ctx context.Context, checks []Check, limit time.Duration, run Runner, log io.Writer) []Result {
	var failed []Result
	for _, c := range checks {
		said, err := run(ctx, c, limit, log)
		switch {
		case err == nil:
			fmt.Fprintf(log, "healthy: %s\n", c.Path)
		case c.Wanted:
			fmt.Fprintf(log, "warning: the check %s has failed, which is allowed: %v\n", c.Path, err)
		default:
			fmt.Fprintf(log, "not healthy: %s: %v\n", c.Path, err)
			failed = append(failed, Result{c, said, err})
		}
	}
	return failed
}

// Units leaves out of failed units those that only wait for the network.
func Units(failed []string) []string {
	var all []string
	for _, u := range failed {
		if !strings.Contains(u, "wait-online") && u != "network-online.target" {
			all = append(all, u)
		}
	}
	return all
}
