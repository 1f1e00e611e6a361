package crash

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
)

// A Choice says which writes of an epoch have reached the disk. Its text is
//
//	none, all         of them
//	first-N, last-N   N of them
//	only-N, without-N the one with number N
//	set-N             those whose bit is set in N
//	random-N          the N-th draw at random, with writes torn at sectors
type Choice string

// systematic lists the choices that are not random: for each place in an epoch of n
// writes, the power fails there; one write overtakes all others; one is late. Of a
// short epoch it takes every subset, up to four times the limit, of a long one places at
// equal distances.
func systematic(n, limit int) []Choice {
	if n == 0 {
		return []Choice{"none"}
	}
	var all []Choice
	if n < 30 && 1<<n <= 4*limit {
		for set := range 1 << n {
			all = append(all, Choice(fmt.Sprint("set-", set)))
		}
		return all
	}
	all = []Choice{"none", "all"}
	step := max(1, 4*n/max(limit, 1))
	for i := 0; i < n; i += step {
		all = append(all, Choice(fmt.Sprint("only-", i)), Choice(fmt.Sprint("without-", i)))
		if i > 1 {
			all = append(all, Choice(fmt.Sprint("first-", i)), Choice(fmt.Sprint("last-", n-i)))
		}
	}
	return all
}

// A part is what reaches the disk of a write: nil for nothing; else for each
// sector.
type part func(sector int) bool

func whole(int) bool { return true }

// parts says what reaches the disk of each of n writes.
func (c Choice) parts(n int, seed uint64, epoch int) (func(i, sectors int) part, error) {
	kind, text, _ := strings.Cut(string(c), "-")
	k := 0
	if text != "" {
		var err error
		if k, err = strconv.Atoi(text); err != nil {
			return nil, fmt.Errorf("choice %q: %w", c, err)
		}
	}
	chosen := map[string]func(i int) bool{
		"none": func(int) bool { return false }, "all": func(int) bool { return true },
		"first": func(i int) bool { return i < k }, "last": func(i int) bool { return i >= n-k },
		"only": func(i int) bool { return i == k }, "without": func(i int) bool { return i != k },
		"set": func(i int) bool { return k>>i&1 == 1 },
	}[kind]
	switch {
	case chosen != nil:
		return func(i, _ int) part {
			if chosen(i) {
				return whole
			}
			return nil
		}, nil
	case kind == "random":
		return random(rand.New(rand.NewPCG(seed, uint64(epoch)<<32|uint64(k)))), nil
	}
	return nil, fmt.Errorf("choice %q is none", c)
}

// random draws: how likely a write is to reach the disk, and to be torn, differs
// from draw to draw.
func random(r *rand.Rand) func(i, sectors int) part {
	likely := []float64{0.1, 0.5, 0.5, 0.9, 0.97}[r.IntN(5)]
	torn := []float64{0, 0.1, 0.5}[r.IntN(3)]
	return func(_, sectors int) part {
		if r.Float64() >= likely {
			return nil
		}
		if sectors == 1 || r.Float64() >= torn {
			return whole
		}
		cut, half := r.IntN(sectors+1), rand.New(rand.NewPCG(r.Uint64(), 1))
		switch r.IntN(3) {
		case 0: // the beginning
			return func(s int) bool { return s < cut }
		case 1: // the end
			return func(s int) bool { return s >= cut }
		}
		return func(int) bool { return half.IntN(2) == 0 }
	}
}

// writes lists the events of an epoch that write.
func (t *Timeline) writes(e Epoch) []Event {
	var all []Event
	for _, event := range t.Events[e.From:e.To] {
		if len(event.IDs) > 0 {
			all = append(all, event)
		}
	}
	return all
}

// cut writes what a choice says to a disk that has all events before the epoch.
func (t *Timeline) cut(d *Disk, e Epoch, c Choice, seed uint64) error {
	writes := t.writes(e)
	parts, err := c.parts(len(writes), seed, e.From)
	if err != nil {
		return err
	}
	for i, w := range writes {
		p := parts(i, len(w.IDs))
		if p == nil {
			continue
		}
		for s, id := range w.IDs {
			if p(s) {
				d.put(w.First+int64(s), id)
			}
		}
	}
	return nil
}
