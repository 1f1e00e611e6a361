package crash

import (
	"context"
	"fmt"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Options say how a campaign is led. The zero value judges every flush boundary
// and nothing else.
type Options struct {
	Seed uint64
	// Time is how long states are drawn at random, after the systematic ones; Draws
	// is how many of each epoch there are at least.
	Time  time.Duration
	Draws int
	// Systematic bounds how many states of an epoch are not drawn at random; 0:
	// only those at the flushes.
	Systematic int
	// PerEpoch is how many distinct states of an epoch suffice: no more are drawn then,
	// so that the number of all is not made by the few epochs that have many writes.
	// 0: no number does.
	PerEpoch int
	// Foreign lets e2fsck and fsck.fat judge one state in so many; 0: none.
	Foreign int
	// Verbs are the windows to look at; nil: all.
	Verbs []string
	// Window is a window to look at, counted from 1; 0: all.
	Window int
	// Epoch is the only one to look at in it; nil: all.
	Epoch *Epoch
	// Workers is how many goroutines judge; 0: one for each core.
	Workers int
	// Keep lists the states that may be in the report.
	Keep bool
	// Stop ends the campaign at the first bad state.
	Stop bool
}

// A State names a state of the disk: the window, the epoch by its first event, and
// the choice.
type State struct {
	Window int
	Epoch  Epoch
	Choice Choice
}

func (s State) String() string { return fmt.Sprintf("%d/%d/%s", s.Window, s.Epoch.From, s.Choice) }

// ParseState reads the name of a state of this timeline.
func (t *Timeline) ParseState(text string) (State, error) {
	var s State
	fields := strings.SplitN(text, "/", 3)
	if len(fields) != 3 {
		return s, fmt.Errorf("state %q is not WINDOW/EPOCH/CHOICE", text)
	}
	window, err := strconv.Atoi(fields[0])
	if err != nil || window < 0 || window >= len(t.Windows) {
		return s, fmt.Errorf("state %q: there are %d windows", text, len(t.Windows))
	}
	for _, e := range t.epochs(t.Windows[window]) {
		if fmt.Sprint(e.From) == fields[1] {
			return State{window, e, Choice(fields[2])}, nil
		}
	}
	return s, fmt.Errorf("state %q: the window has no such epoch", text)
}

// A Report is what a campaign has found.
type Report struct {
	Rows    []Row // one for each verb, in the order of the recording
	Bad     []Finding
	Foreign int // states that e2fsck and fsck.fat agreed about
	// Good are the distinct states that may be, if Options.Keep.
	Good    []Judged
	Elapsed time.Duration
}

// A Row counts the states of a verb.
type Row struct {
	Verb                string
	Epochs, States      int
	Distinct, Different int // see [Run]
	Old, New, Nothing   int
	Between, Torn       int
	Given, Bad          int
}

// A Finding is a bad state.
type Finding struct {
	State State
	Verb  string
	Why   []string
}

// A Judged state is one that may be.
type Judged struct {
	State   State
	Outcome string
}

// maxFindings bounds how many bad states are told one by one.
const maxFindings = 20

// A campaign is under way.
type campaign struct {
	t       *Timeline
	o       Options
	images  []Image
	judges  []*judge
	tasks   []*task
	workers []*worker

	mu     sync.Mutex
	rows   map[string]*Row
	order  []string
	seen   map[digest]struct{} // what was read
	told   map[digest]struct{} // what was found
	report Report
	err    error
	stop   context.CancelFunc
}

// A task is an epoch of a window.
type task struct {
	window int
	epoch  Epoch
	after  bool

	fresh, draws int // distinct states in this round, and how many it draws
	drawn, total int // draws and distinct states so far
	pause, rest  int // rounds to leave out, for nothing new came
}

// Run leads a campaign: it judges states of the disk in all windows. Two of them are
// distinct if they differ in a byte that the judge has read, and different if names,
// sizes, contents on the root or the outcome differ: where something lies does not
// count then, nor what is in unused parts of tables and directories.
func Run(ctx context.Context, t *Timeline, expected *Expected, o Options) (*Report, error) {
	begin := time.Now()
	if o.Workers == 0 {
		o.Workers = runtime.NumCPU()
	}
	c := &campaign{t: t, o: o, images: expected.images, judges: expected.judges, rows: map[string]*Row{}, seen: map[digest]struct{}{}, told: map[digest]struct{}{}}
	ctx, c.stop = context.WithCancel(ctx)
	defer c.stop()
	for range o.Workers {
		c.workers = append(c.workers, &worker{c: c, d: NewDisk(t.Store, t.Sectors), cache: newCache()})
	}
	c.plan()
	c.round(ctx, c.first)
	c.sift()
	over := func() bool { return time.Since(begin) >= o.Time }
	for k := 0; (k < o.Draws || !over()) && ctx.Err() == nil; k += fewest {
		c.round(ctx, func(k *task, n int) []Choice {
			if n == 0 || k.drawn >= o.Draws && over() {
				return nil
			}
			return k.draw(o.PerEpoch)
		})
		if k >= o.Draws {
			c.ease()
		}
	}
	for _, verb := range c.order {
		c.report.Rows = append(c.report.Rows, *c.rows[verb])
	}
	c.report.Elapsed = time.Since(begin)
	return &c.report, c.err
}

// How many states of an epoch are drawn in a round.
const fewest, most = 8, 128

// draw names the next states that are drawn at random.
func (k *task) draw(limit int) []Choice {
	n := k.draws
	if limit > 0 {
		n = min(n, limit-k.total)
	}
	var all []Choice
	for range n {
		all = append(all, Choice(fmt.Sprint("random-", k.drawn)))
		k.drawn++
	}
	return all
}

func (c *campaign) plan() {
	for i, w := range c.t.Windows {
		if !c.wanted(w.Verb) || c.o.Window > 0 && c.o.Window != i+1 {
			continue
		}
		row := c.rows[w.Verb]
		if row == nil {
			row = &Row{Verb: w.Verb}
			c.rows[w.Verb] = row
			c.order = append(c.order, w.Verb)
		}
		for _, e := range c.t.epochs(w) {
			if c.o.Epoch != nil && *c.o.Epoch != e {
				continue
			}
			c.tasks = append(c.tasks, &task{window: i, epoch: e, after: e.To > w.End, draws: fewest})
			row.Epochs++
		}
	}
}

func (c *campaign) wanted(verb string) bool {
	for _, v := range c.o.Verbs {
		if v == verb {
			return true
		}
	}
	return len(c.o.Verbs) == 0
}

// first are the choices of the first round.
func (c *campaign) first(_ *task, n int) []Choice {
	if c.o.Systematic == 0 {
		return []Choice{"none"}
	}
	return systematic(n, c.o.Systematic)
}

// round judges states of every epoch. Each worker goes through the epochs in
// order, so that its disk only needs what was written between two of them.
func (c *campaign) round(ctx context.Context, choices func(k *task, n int) []Choice) {
	next := make(chan *task)
	var wait sync.WaitGroup
	for _, w := range c.workers {
		wait.Add(1)
		go func() {
			defer wait.Done()
			for k := range next {
				if err := w.epoch(ctx, k, choices); err != nil {
					c.fail(err)
				}
			}
		}()
	}
	for _, k := range c.tasks {
		if k.rest > 0 {
			continue
		}
		select {
		case next <- k:
		case <-ctx.Done():
		}
	}
	close(next)
	wait.Wait()
}

// sift lets those epochs rest for long of which the first states were hardly ever new.
func (c *campaign) sift() {
	if c.o.Draws > 0 || c.o.Systematic == 0 {
		return
	}
	for _, k := range c.tasks {
		if n := len(c.first(k, len(c.t.writes(k.epoch)))); 10*k.fresh < n {
			k.pause, k.rest = 16, 16
		}
		k.fresh = 0
	}
}

// ease lets epochs rest of which the last draws gave no new state, longer each time,
// and draws more of those that have more.
func (c *campaign) ease() {
	for _, k := range c.tasks {
		switch {
		case k.rest > 0:
			k.rest--
		case k.fresh == 0:
			k.pause = min(max(1, 2*k.pause), 256)
			k.rest, k.draws = k.pause, fewest
		case 2*k.fresh >= k.draws:
			k.pause, k.draws = 0, min(2*k.draws, most)
		default:
			k.pause, k.draws = 0, fewest
		}
		k.fresh = 0
	}
}

func (c *campaign) fail(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err == nil {
		c.err = err
	}
	c.stop()
}

// A worker judges states on a disk of its own.
type worker struct {
	c     *campaign
	d     *Disk
	cache *cache
	done  int // events that are on the disk
}

func (w *worker) epoch(ctx context.Context, k *task, choices func(k *task, n int) []Choice) error {
	t := w.c.t
	if k.epoch.From < w.done {
		w.d, w.done = NewDisk(t.Store, t.Sectors), 0
	}
	t.apply(w.d, w.done, k.epoch.From)
	w.done = k.epoch.From
	for _, choice := range choices(k, len(t.writes(k.epoch))) {
		if ctx.Err() != nil {
			return nil
		}
		if err := w.state(State{k.window, k.epoch, choice}, k); err != nil {
			return err
		}
	}
	return nil
}

// state judges one state and takes it back.
func (w *worker) state(s State, k *task) error {
	c := w.c
	w.d.hold()
	defer w.d.release()
	if err := c.t.cut(w.d, s.Epoch, s.Choice, c.o.Seed); err != nil {
		return err
	}
	before := len(w.d.undo)
	w.d.read = 0
	v := look(w.d, c.images, w.cache, repairExt4)
	verdict := c.judges[s.Window].judge(v, k.after)
	if c.count(s, verdict, w.d.read, v.found, k) && len(verdict.Bad) == 0 {
		w.d.takeBack(before)
		bad, err := w.foreign(s, k.after)
		if err != nil || len(bad) == 0 {
			return err
		}
		c.found(s, bad)
	}
	return nil
}

// count notes a verdict. It reports whether foreign tools are to judge the state,
// too.
func (c *campaign) count(s State, v Verdict, read, found digest, k *task) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	j := c.judges[s.Window]
	row := c.rows[j.window.Verb]
	row.States++
	if _, ok := c.told[found]; !ok {
		c.told[found] = struct{}{}
		row.Different++
	}
	if _, ok := c.seen[read]; !ok {
		c.seen[read] = struct{}{}
		row.Distinct++
		k.fresh++
		k.total++
		if c.o.Keep && len(v.Bad) == 0 && !v.Torn {
			c.report.Good = append(c.report.Good, Judged{s, v.Outcome})
		}
	}
	switch {
	case len(v.Bad) > 0:
		row.Bad++
		c.note(s, v.Bad)
	case v.Torn:
		row.Torn++
		return false
	case v.Outcome == nothing:
		row.Nothing++
	case v.Outcome == j.new.Outcome:
		row.New++
	case v.Outcome == j.old.Outcome:
		row.Old++
	default:
		row.Between++
	}
	if v.Given {
		row.Given++
	}
	return c.o.Foreign > 0 && v.Outcome != nothing && row.States%c.o.Foreign == 0
}

// found notes a state that foreign tools call bad.
func (c *campaign) found(s State, why []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.rows[c.judges[s.Window].window.Verb].Bad++
	c.note(s, why)
}

func (c *campaign) note(s State, why []string) {
	if len(c.report.Bad) < maxFindings {
		c.report.Bad = append(c.report.Bad, Finding{s, c.judges[s.Window].window.Verb, why})
	}
	if c.o.Stop {
		c.stop()
	}
}
