// Package dirdiff compares three directories as an update compares the
// versions of /etc: that of the image that runs, that of the machine, that of
// the next image. It can also merge them. Nothing else of a machine is looked
// at. The rules are those of package etc.
package dirdiff

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/bootc-go/bootc/internal/linux/dir"
	"github.com/bootc-go/bootc/internal/machine/etc"
)

// A ConflictError lists the paths that keep the directories from being merged.
type ConflictError struct{ Conflicts []etc.Conflict }

func (e *ConflictError) Error() string {
	text := make([]string, len(e.Conflicts))
	for i, c := range e.Conflicts {
		text[i] = c.String()
	}
	if len(text) == 1 {
		return "one conflict: " + text[0]
	}
	return fmt.Sprintf("%d conflicts: %s", len(text), strings.Join(text, "; "))
}

// Run prints to w what was added, modified and removed in current since
// pristine, and which paths cannot be merged with next, one line each. With
// merge it then changes next to the merged tree; conflicts are a
// [*ConflictError], and next stays as it is.
func Run(ctx context.Context, w io.Writer, pristine, current, next *dir.Dir, merge bool) error {
	p, err := etc.Scan(pristine)
	if err != nil {
		return fmt.Errorf("reading the pristine directory: %w", err)
	}
	c, err := etc.Scan(current)
	if err != nil {
		return fmt.Errorf("reading the current directory: %w", err)
	}
	n, err := etc.Scan(next)
	if err != nil {
		return fmt.Errorf("reading the new directory: %w", err)
	}
	plan, conflicts := etc.Merge(p, c, n)
	var out strings.Builder
	for _, change := range etc.DiffNext(p, c, n) {
		fmt.Fprintln(&out, change)
	}
	for _, conflict := range conflicts {
		fmt.Fprintf(&out, "Unmergable %v\n", conflict)
	}
	if _, err := io.WriteString(w, out.String()); err != nil {
		return err
	}
	switch {
	case !merge:
		return nil
	case len(conflicts) > 0:
		return &ConflictError{conflicts}
	}
	return plan.Apply(ctx, current, next)
}
