package cli

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"github.com/bootc-go/bootc/internal/format/dumpfile"
	"github.com/bootc-go/bootc/internal/format/tree"
)

// writeTable writes rows in a frame; the first is the head. It is the table of
// upstream's tool.
func writeTable(w io.Writer, rows [][]string) {
	widths := make([]int, len(rows[0]))
	for _, row := range rows {
		for i, cell := range row {
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	line := func(left, fill, cross, right string) {
		var cells []string
		for _, n := range widths {
			cells = append(cells, strings.Repeat(fill, n+2))
		}
		fmt.Fprintln(w, left+strings.Join(cells, cross)+right)
	}
	line("┌", "─", "┬", "┐")
	for n, row := range rows {
		var cells []string
		for i, cell := range row {
			cells = append(cells, " "+cell+strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell)+1))
		}
		fmt.Fprintln(w, "│"+strings.Join(cells, "┆")+"│")
		switch n {
		case len(rows) - 1:
			line("└", "─", "┴", "┘")
		case 0:
			line("╞", "═", "╪", "╡")
		default:
			line("├", "╌", "┼", "┤")
		}
	}
}

// upstreamDump is the form in which upstream's tool writes dumps.
var upstreamDump = dumpfile.Options{BareLinks: true}

// dumpBelow writes the lines of a dump that are those of a path, which the tree
// has, and of what is below it.
func dumpBelow(w io.Writer, t *tree.Tree, name string) error {
	above := 0
	if name != "/" {
		above = strings.Count(name, "/")
	}
	var text bytes.Buffer
	if err := upstreamDump.Write(&text, &tree.Tree{Root: chain(t.Root, strings.Split(name, "/")[1:])}); err != nil {
		return err
	}
	r := bufio.NewReader(&text)
	for range above {
		if _, err := r.ReadString('\n'); err != nil {
			return err
		}
	}
	_, err := io.Copy(w, r)
	return err
}

// chain copies the directories on a path, with nothing in them beside it.
func chain(n *tree.Node, names []string) *tree.Node {
	if len(names) == 0 || names[0] == "" {
		return n
	}
	c := *n
	c.RemoveChildren()
	c.SetChild(names[0], chain(n.Child(names[0]), names[1:]))
	return &c
}
