package main

import (
	"fmt"
	"io"
	"slices"
	"text/tabwriter"
	"time"
)

// A table is what the contenders of a row took.
type table struct {
	names []string
	runs  map[string][]measurement
	notes map[string]string
}

func newTable() *table {
	return &table{runs: map[string][]measurement{}, notes: map[string]string{}}
}

// note says why a contender has no figures.
func (t *table) note(name, text string) {
	if len(t.runs[name]) == 0 {
		t.names = append(t.names, name)
	}
	t.notes[name] = text
}

func (t *table) add(name string, m measurement) {
	if len(t.runs[name]) == 0 {
		t.names = append(t.names, name)
	}
	t.runs[name] = append(t.runs[name], m)
}

// print compares all with ours: the ratio of two contenders is the median of
// their ratios in each turn.
func (t *table) print(w io.Writer, ours string) {
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(tw, "\tfastest\tmedian\tours is\tCPU\tours is\tpeak\tread\twritten\tstored\t")
	for _, name := range t.names {
		all := t.runs[name]
		if len(all) == 0 {
			fmt.Fprintf(tw, "%s\t%s\t\t\t\t\t\t\t\t\n", name, t.notes[name])
			continue
		}
		wall := column(all, func(m measurement) time.Duration { return m.wall })
		cpu := column(all, func(m measurement) time.Duration { return m.cpu })
		fmt.Fprintf(tw, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t\n", name,
			seconds(slices.Min(wall)), seconds(median(wall)),
			ratio(column(t.runs[ours], func(m measurement) time.Duration { return m.wall }), wall),
			seconds(median(cpu)),
			ratio(column(t.runs[ours], func(m measurement) time.Duration { return m.cpu }), cpu),
			mebibytes(slices.Max(column(all, func(m measurement) int64 { return m.peak }))),
			mebibytes(median(column(all, func(m measurement) int64 { return m.read }))),
			mebibytes(median(column(all, func(m measurement) int64 { return m.written }))),
			mebibytes(median(column(all, func(m measurement) int64 { return m.stored }))))
	}
	tw.Flush()
}

func column[T any](all []measurement, f func(measurement) T) []T {
	var c []T
	for _, m := range all {
		c = append(c, f(m))
	}
	return c
}

func median[T ~int64 | ~float64](all []T) T {
	s := slices.Sorted(slices.Values(all))
	return s[len(s)/2]
}

// ratio of ours to theirs; "" where one did not run.
func ratio(ours, theirs []time.Duration) string {
	var all []float64
	for i := range min(len(ours), len(theirs)) {
		all = append(all, float64(ours[i])/float64(theirs[i]))
	}
	if len(all) == 0 {
		return ""
	}
	return fmt.Sprintf("× %.2f", median(all))
}

func seconds(d time.Duration) string { return fmt.Sprintf("%.2f s", d.Seconds()) }

// mebibytes is "" for what is negative.
func mebibytes(n int64) string {
	if n < 0 {
		return ""
	}
	return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20))
}
