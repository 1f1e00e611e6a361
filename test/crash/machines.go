package crash

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"

	"github.com/bootc-go/bootc/test/vm"
)

// Machines says what real machines do from states that a campaign has found good.
type Machines struct {
	Boots int // how many states are really booted
	Next  int // from how many states each of [NextVerbs] is run
	Seed  uint64
	// Report gets each bad state.
	Report func(Finding)
	// Progress is told every now and then how far they are.
	Progress func(what string, done, all int)
}

// A RealRow counts what came of real machines.
type RealRow struct {
	What      string
	Boots     bool // that was all
	Runs, Bad int
}

// Run chooses states and lets machines, as many as there are cores, go on from them.
func (m Machines) Run(ctx context.Context, lab *vm.Lab, r *Recorded, good []Judged) ([]RealRow, error) {
	rows, err := m.boots(ctx, lab, r, Choose(good, RealBoot, m.Boots, m.Seed))
	if err != nil {
		return rows, err
	}
	verbs := map[string][]Judged{}
	for _, verb := range NextVerbs() {
		verbs[verb] = Choose(good, verb, m.Next, m.Seed)
	}
	next, err := m.nextVerbs(ctx, lab, r, verbs)
	return append(rows, next...), err
}

// A job is something that a real machine does from a state.
type job struct {
	what  string
	state Judged
	fsck  bool
}

// share gives jobs to as many machines as there are cores, each of which a function
// makes, and counts what comes of them.
func (m Machines) share(jobs []job, prefix string, machine func(number int, work func(do func(job) ([]string, error)) error) error) ([]RealRow, error) {
	s := &sharing{m: m, jobs: jobs, all: len(jobs), prefix: prefix}
	var wait sync.WaitGroup
	for n := range min(runtime.NumCPU(), len(jobs)) {
		wait.Go(func() { s.failed(machine(n+1, s.work)) })
	}
	wait.Wait()
	return s.rows, s.err
}

type sharing struct {
	m         Machines
	prefix    string
	all, done int

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
		s.m.Report(Finding{j.state.State, s.prefix + j.what, why})
	}
	s.done++
	if s.done%50 == 0 || s.done == s.all {
		s.m.Progress(s.prefix+j.what, s.done, s.all)
	}
}

func (s *sharing) failed(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.err = errors.Join(s.err, err)
}
