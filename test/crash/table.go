package crash

import (
	"fmt"
	"strings"
	"text/tabwriter"
	"time"
)

// String prints the table.
func (r *Report) String() string {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "verb\tepochs\tstates\tdistinct\tdifferent\told\tnew\tnothing\tbetween\text4 torn\thanded over\tbad\t")
	for _, row := range r.Rows {
		row.print(w)
	}
	all := r.Total()
	all.print(w)
	w.Flush()
	fmt.Fprintf(&b, "%d boots simulated in %v, %d of the states also repaired by e2fsck and fsck.fat\n", all.States, r.Elapsed.Round(time.Second), r.Foreign)
	return b.String()
}

// Total adds the rows up.
func (r *Report) Total() Row {
	all := Row{Verb: "all"}
	for _, row := range r.Rows {
		all.add(row)
	}
	return all
}

func (r Row) print(w *tabwriter.Writer) {
	fmt.Fprintf(w, "%s\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t\n", r.Verb, r.Epochs, r.States, r.Distinct, r.Different, r.Old, r.New, r.Nothing, r.Between, r.Torn, r.Given, r.Bad)
}

func (r *Row) add(o Row) {
	r.Epochs += o.Epochs
	r.States += o.States
	r.Distinct += o.Distinct
	r.Different += o.Different
	r.Old += o.Old
	r.New += o.New
	r.Nothing += o.Nothing
	r.Between += o.Between
	r.Torn += o.Torn
	r.Given += o.Given
	r.Bad += o.Bad
}
