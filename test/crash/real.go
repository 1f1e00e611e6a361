package crash

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"

	"github.com/bootc-go/bootc/internal/format/bls"
	"github.com/bootc-go/bootc/test/vm"
)

// RealBoot is what [RunBoots] does, beside the next verbs.
const RealBoot = "boot"

// RunBoots really boots states: firmware, boot loader, kernel and initramfs program
// from the disk, with a kernel's mount in place of our replay, no fsck, and every file
// of the image read through fs-verity. What is up has to be what the judge had said.
func RunBoots(ctx context.Context, lab *vm.Lab, r *Recorded, states []Judged, seed uint64, report func(Finding)) ([]RealRow, error) {
	var jobs []job
	for _, j := range states {
		jobs = append(jobs, job{what: RealBoot, state: j})
	}
	return share(jobs, "real ", report, func(number int, work func(do func(job) ([]string, error)) error) error {
		name := fmt.Sprint("real-", number)
		file := filepath.Join(lab.Out, name+".raw")
		v, err := r.openDrive(file, seed)
		if err != nil {
			return err
		}
		defer os.Remove(file)
		defer v.close()
		b := &booting{lab: lab, name: name, disk: vm.Disk{Path: file, Format: "raw"}}
		return work(func(j job) ([]string, error) { return v.boot(ctx, b, j.state) })
	})
}

// boot boots a state and says what is wrong.
func (v *drive) boot(ctx context.Context, b *booting, j Judged) ([]string, error) {
	before, err := v.hand(j.State)
	if err != nil {
		return nil, err
	}
	if err := b.forget(); err != nil {
		return nil, err
	}
	version, failed := b.boot(ctx)
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	if err := v.take(); err != nil {
		return nil, err
	}
	if failed != nil {
		return []string{failed.Error()}, nil
	}
	after := v.look(nil)
	why := after.Wrong
	want, outcomes := loaderTakes(j.Outcome)
	if version != want {
		why = append(why, fmt.Sprintf("version %s is up, not %s", version, want))
	}
	if !slices.Contains(outcomes, after.Outcome) {
		why = append(why, fmt.Sprintf("the outcome is %q, not one of %q", after.Outcome, outcomes))
	}
	return append(why, kept(before, after)...), nil
}

// loaderTakes is what systemd-boot boots of an outcome, and what it may leave. Where
// the name that it gives to the entry is there already, it leaves both.
func loaderTakes(outcome string) (version string, after []string) {
	entries, staged, isStaged := strings.Cut(outcome, ", ")
	all := strings.Fields(entries)
	version, _, counted := strings.Cut(all[0], "+")
	if counted {
		n, err := bls.ParseName(all[0] + ".conf")
		if err != nil {
			return version, nil
		}
		if n.Left > 0 {
			n.Left, n.Done = n.Left-1, n.Done+1
		}
		name := n.Base + counter(n)
		rest := all[1:]
		if slices.Contains(rest, name) {
			after = append(after, outcome)
		}
		if n.Left > 0 {
			all = append([]string{name}, rest...)
		} else {
			all = append(slices.Clone(rest), name)
		}
	}
	text := strings.Join(all, " ")
	if isStaged {
		text += ", " + staged
	}
	return version, append(after, text)
}

// share gives jobs to as many machines as there are cores, each of which a function
// makes, and counts what comes of them.
func share(jobs []job, prefix string, report func(Finding), machine func(number int, work func(do func(job) ([]string, error)) error) error) ([]RealRow, error) {
	s := &sharing{jobs: jobs, prefix: prefix, report: report}
	var wait sync.WaitGroup
	for n := range min(runtime.NumCPU(), len(jobs)) {
		wait.Go(func() { s.failed(machine(n+1, s.work)) })
	}
	wait.Wait()
	return s.rows, s.err
}

type sharing struct {
	prefix string
	report func(Finding)

	mu   sync.Mutex
	jobs []job
	rows []RealRow
	err  error
}

// work does jobs until there are none, or one could not be done.
func (s *sharing) work(do func(job) ([]string, error)) error {
	for {
		j, ok := s.take()
		if !ok {
			return nil
		}
		why, err := do(j)
		if err != nil {
			return fmt.Errorf("%s%s from state %s: %w", s.prefix, j.what, j.state.State, err)
		}
		s.count(j, why)
	}
}

func (s *sharing) take() (j job, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.jobs) == 0 || s.err != nil {
		return j, false
	}
	j, s.jobs = s.jobs[0], s.jobs[1:]
	return j, true
}

func (s *sharing) count(j job, why []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	i := slices.IndexFunc(s.rows, func(r RealRow) bool { return r.What == s.prefix+j.what })
	if i < 0 {
		i = len(s.rows)
		s.rows = append(s.rows, RealRow{What: s.prefix + j.what, Boots: j.what == RealBoot})
	}
	s.rows[i].Runs++
	if len(why) > 0 {
		s.rows[i].Bad++
		s.report(Finding{j.state.State, s.prefix + j.what, why})
	}
}

func (s *sharing) failed(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.err = errors.Join(s.err, err)
}
