// Command bench measures what this project does beside other tools, in one run
// on one machine: "make bench". It prints a table for each row; absolute
// figures mean little, the ratios do.
//
// The contenders of a row take turns, so that what else goes on in the machine
// meets all of them. The files that they write stay until the end, empty: to
// remove them at once would cost whoever comes next. Inputs are made once and kept.
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

func main() {
	b := &bench{}
	flag.StringVar(&b.cache, "cache", ".cache/bench", "where inputs are kept and contenders write")
	flag.StringVar(&b.bootc, "bootc", "bin/bootc", "the program")
	flag.StringVar(&b.cfsctl, "cfsctl", "cfsctl", "upstream's tool")
	flag.IntVar(&b.turns, "turns", 5, "how often each contender runs; in rows of minutes once")
	only := flag.String("rows", "", "the rows to run, divided by commas; empty: all")
	flag.Parse()
	if err := b.run(*only); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// A bench knows where everything is.
type bench struct {
	cache, bootc string
	cfsctl       string // a path, or a name to be looked for
	turns        int
	runs         string // where the contenders of the row write
	dirs         int    // directories given to contenders so far
}

// A row is one kind of work.
type row struct {
	name   string
	what   string
	target string
	slow   bool // one turn is enough
	// memory lets the contenders write to a tmpfs: a disk takes longer to remove
	// a million files than anybody waits.
	memory bool
	// contenders makes the inputs that are missing. The first contender is
	// ours.
	contenders func(*bench) ([]contender, error)
}

// A contender does the work in one way.
type contender struct {
	name  string
	needs string // a program; where it is missing there is no such contender
	check string // a script; where it fails there is no such contender
	// Scripts for the shell, in an empty directory: setup is not measured, work
	// is a single command, or a pipe.
	setup, work string
	store       string // a directory whose growth is told
}

func rows() []row {
	return []row{
		dumpRow, pullRow, derivedRow, largeRow, manyRow, digestRow, fsckRow, diskRow,
		formatRow("qcow2", "-O qcow2"), formatRow("qcow2-compressed", "-c -O qcow2"),
		formatRow("vmdk", "-O vmdk -o subformat=streamOptimized"), againRow,
	}
}

func (b *bench) run(only string) error {
	if err := b.find(); err != nil {
		return err
	}
	disk := filepath.Join(b.cache, "runs")
	if err := os.RemoveAll(disk); err != nil {
		return err
	}
	if err := os.Mkdir(disk, 0o755); err != nil {
		return err
	}
	defer os.RemoveAll(disk)
	// ext4 then puts each directory into another part of the disk, where nobody
	// has removed anything: see HACKING.md.
	_ = exec.Command("chattr", "+T", disk).Run()
	known := map[string]bool{}
	for _, r := range rows() {
		known[r.name] = true
		if only != "" && !strings.Contains(","+only+",", ","+r.name+",") {
			continue
		}
		b.runs = disk
		if err := errors.Join(b.row(r), empty(disk)); err != nil {
			return fmt.Errorf("row %s: %w", r.name, err)
		}
	}
	for name := range strings.SplitSeq(only, ",") {
		if name != "" && !known[name] {
			return fmt.Errorf("there is no row %q", name)
		}
	}
	return nil
}

// find makes paths absolute.
func (b *bench) find() (err error) {
	for _, p := range []*string{&b.cache, &b.bootc} {
		if *p, err = filepath.Abs(*p); err != nil {
			return err
		}
	}
	if _, err := os.Stat(b.cfsctl); err != nil {
		b.cfsctl = "cfsctl"
	}
	return os.MkdirAll(b.cache, 0o755)
}

func (b *bench) row(r row) error {
	fmt.Printf("\n%s: %s\nto reach: %s\n", r.name, r.what, r.target)
	all, err := r.contenders(b)
	if err != nil {
		return err
	}
	if r.memory {
		if b.runs, err = os.MkdirTemp("/dev/shm", "bench-"); err != nil {
			return err
		}
		defer os.RemoveAll(b.runs)
	}
	t := newTable()
	var able []contender
	for _, c := range all {
		switch {
		case !b.installed(c):
			t.note(c.name, "not installed, or too old")
		default:
			able = append(able, c)
		}
	}
	turns := b.turns
	if r.slow {
		turns = 1
	}
	failed := map[string]bool{}
	for range turns {
		for _, c := range able {
			if failed[c.name] {
				continue
			}
			m, err := b.measure(c)
			switch {
			case err == nil:
				t.add(c.name, m)
			case c.name == all[0].name:
				return fmt.Errorf("%s: %w", c.name, err)
			default: // what others cannot do is a result, too
				failed[c.name] = true
				text, _, _ := strings.Cut(err.Error(), "\n")
				t.note(c.name, text)
			}
		}
	}
	t.print(os.Stdout, all[0].name)
	return nil
}

func (b *bench) installed(c contender) bool {
	if c.check != "" && shell(b.cache, c.check).Run() != nil {
		return false
	}
	if c.needs == "" {
		return true
	}
	_, err := exec.LookPath(c.needs)
	return err == nil
}
