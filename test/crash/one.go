package crash

import (
	"fmt"
	"strings"
)

// Disk returns the disk in a state.
func (t *Timeline) Disk(s State, seed uint64) (*Disk, error) {
	d := NewDisk(t.Store, t.Sectors)
	t.apply(d, 0, s.Epoch.From)
	return d, t.cut(d, s.Epoch, s.Choice, seed)
}

// Judge judges one state.
func Judge(t *Timeline, expected *Expected, s State, seed uint64) (Verdict, error) {
	d, err := t.Disk(s, seed)
	if err != nil {
		return Verdict{}, err
	}
	v := look(d, expected.images, newCache(), repairExt4)
	return expected.judges[s.Window].judge(v, s.Epoch.To > t.Windows[s.Window].End), nil
}

// Describe tells what was recorded: each window with its writes and flushes.
func (t *Timeline) Describe(expected *Expected) string {
	var b strings.Builder
	for i, w := range t.Windows {
		writes, sectors, flushes := 0, 0, 0
		for _, e := range t.Events[w.Begin:w.End] {
			switch {
			case e.Flush:
				flushes++
			case len(e.IDs) > 0:
				writes++
				sectors += len(e.IDs)
			}
		}
		j := expected.judges[i]
		fmt.Fprintf(&b, "%2d  %-9s %5d writes, %6d KiB, %3d flushes: %s → %s\n", i, w.Verb, writes, sectors/2, flushes, j.old.Outcome, j.new.Outcome)
	}
	return b.String()
}
