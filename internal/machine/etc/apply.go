package etc

import (
	"context"
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"github.com/bootc-go/bootc/internal/format/tree"
	"github.com/bootc-go/bootc/internal/linux/dir"
)

// Apply changes next in place: the directory must hold the tree that was
// merged as next. Contents come from current, the live /etc; what has vanished
// there since it was scanned is removed from next. The caller flushes. After an
// error or a power cut next is half merged; callers merge into a fresh copy.
func (p *Plan) Apply(ctx context.Context, current, next *dir.Dir) error {
	if len(p.conflicts) > 0 {
		return fmt.Errorf("merging /etc: %d conflicts, first %v", len(p.conflicts), p.conflicts[0])
	}
	if p.root == nil {
		return nil
	}
	from, err := uncovered(current.File())
	if err != nil {
		return err
	}
	defer from.Close()
	fd, err := openEntry(int(next.File().Fd()), ".", unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return fmt.Errorf("opening the directory to merge into: %w", err)
	}
	to := os.NewFile(uintptr(fd), next.File().Name())
	defer to.Close()
	if err := p.root.fill(ctx, "", from, to); err != nil {
		return err
	}
	if p.root.meta != nil {
		return writeMeta(fd, ".", p.root.meta)
	}
	return nil
}

// fill does the edits of the entries of a directory; from is the machine's
// directory, nil if that has vanished.
func (e *edit) fill(ctx context.Context, path string, from, to *os.File) error {
	for _, name := range e.names() {
		if err := ctx.Err(); err != nil {
			return err
		}
		below := name
		if path != "" {
			below = path + "/" + name
		}
		if err := e.children[name].do(ctx, below, name, from, to); err != nil {
			return err
		}
	}
	return nil
}

// do makes the edit of the entry name of the directory to.
func (e *edit) do(ctx context.Context, path, name string, from, to *os.File) error {
	parent := int(to.Fd())
	switch e.act {
	case remove:
		return named("removing", path, removeAll(to, name))
	case copyLeaf:
		return named("carrying over", path, carryLeaf(ctx, from, to, name))
	case makeDir:
		if err := removeAll(to, name); err != nil {
			return named("replacing", path, err)
		}
		if err := unix.Mkdirat(parent, name, 0o700); err != nil {
			return named("making directory", path, err)
		}
	}
	sub, err := openSubdir(to, name)
	if err != nil {
		return named("opening", path, err)
	}
	defer sub.Close()
	source, err := sourceDir(from, name)
	if err != nil {
		return named("opening the machine's", path, err)
	}
	if source != nil {
		defer source.Close()
	}
	if err := e.fill(ctx, path, source, sub); err != nil {
		return err
	}
	meta := e.meta
	if e.act == makeDir {
		meta = e.from
	}
	if meta == nil {
		return nil
	}
	return named("setting metadata of", path, writeMeta(parent, name, meta))
}

// sourceDir opens a directory of the machine, nil if it is not there any more.
func sourceDir(from *os.File, name string) (*os.File, error) {
	if from == nil {
		return nil, nil
	}
	f, err := openSubdir(from, name)
	if vanished(err) || errors.Is(err, unix.ENOTDIR) || errors.Is(err, unix.ELOOP) {
		return nil, nil
	}
	return f, err
}

// carryLeaf replaces the entry name of to by the file or symbolic link that the
// machine has under that name now.
func carryLeaf(ctx context.Context, from, to *os.File, name string) error {
	if err := removeAll(to, name); err != nil {
		return err
	}
	if from == nil {
		return nil
	}
	fd, err := openEntry(int(from.Fd()), name, unix.O_PATH)
	if vanished(err) {
		return nil
	}
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	n, err := readMeta(fd)
	if err != nil {
		return err
	}
	switch n.Type() {
	case tree.TypeSymlink:
		if err := unix.Symlinkat(n.Target, int(to.Fd()), name); err != nil {
			return err
		}
	case tree.TypeRegular:
		in, err := reopen(fd, 0)
		if err != nil {
			return err
		}
		defer in.Close()
		out, err := createFile(int(to.Fd()), name)
		if err != nil {
			return err
		}
		if err := errors.Join(copyFile(ctx, out, in), out.Close()); err != nil {
			return err
		}
	default:
		return fmt.Errorf("it became %s while /etc was merged", kind(n))
	}
	return writeMeta(int(to.Fd()), name, n)
}

func named(doing, path string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s %s: %w", doing, Quote(path), err)
}
