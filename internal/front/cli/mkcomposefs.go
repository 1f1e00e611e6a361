package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/bootc-go/bootc/internal/action/mkcomposefs"
	"github.com/bootc-go/bootc/internal/format/tree"
	"github.com/bootc-go/bootc/internal/format/verity"
)

// statusOfUsage annotates commands that stand in for another program and end
// with its exit status when the arguments are wrong.
const statusOfUsage = "status-of-usage"

type mkcomposefsFlags struct {
	mkcomposefs.Options
	store                  string
	algorithm              string
	printDigest, printOnly bool
	fromFile               bool
	oldest, newest         int
}

// mkcomposefsCommand is mkcomposefs of the C project: its options, its images.
func (a *App) mkcomposefsCommand() *cobra.Command {
	f := mkcomposefsFlags{algorithm: verity.SHA256.String()}
	cmd := &cobra.Command{
		Use: "mkcomposefs [OPTIONS] SOURCE [IMAGE]", Hidden: true,
		Short: "Make a composefs image of a directory or of a dump",
		Long: "Make a composefs image of a directory, or of a dump with --from-file. IMAGE may be\n" +
			"\"-\" for standard output, the dump may be \"-\" for standard input.",
		Annotations:           map[string]string{statusOfUsage: "1"},
		DisableFlagsInUseLine: true,
		Args: func(_ *cobra.Command, args []string) error {
			switch {
			case len(args) == 0:
				return errors.New("no source path specified")
			case len(args) > 2:
				return errors.New("too many arguments")
			case f.printOnly && len(args) == 2:
				return errors.New("cannot specify destination path with --print-digest-only")
			case !f.printOnly && len(args) == 1:
				return errors.New("no destination path specified")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if cmd.Flags().Changed("threads") && f.Threads < 1 {
				return fmt.Errorf("--threads: invalid number %d, at least 1 is needed", f.Threads)
			}
			if cmd.Flags().Changed("min-version") && !cmd.Flags().Changed("max-version") {
				f.newest = f.oldest
			}
			if err := a.mkcomposefs(cmd.Context(), f, args); err != nil {
				return fmt.Errorf("cannot make the image: %w", err)
			}
			return nil
		},
	}
	fl := cmd.Flags()
	fl.StringVar(&f.store, "digest-store", "", "copy the content of files into this directory")
	fl.BoolVar(&f.Epoch, "use-epoch", false, "make all times zero")
	fl.BoolVar(&f.SkipDevices, "skip-devices", false, "leave out device nodes")
	fl.BoolVar(&f.SkipXattrs, "skip-xattrs", false, "leave out extended attributes")
	fl.BoolVar(&f.UserXattrs, "user-xattrs", false, "leave out extended attributes but user.*")
	fl.BoolVar(&f.printDigest, "print-digest", false, "print the digest of the image")
	fl.BoolVar(&f.printOnly, "print-digest-only", false, "print the digest of the image, and write none")
	fl.BoolVar(&f.fromFile, "from-file", false, "the source is a dump, not a directory")
	fl.IntVar(&f.oldest, "min-version", 0, "version of the image")
	fl.IntVar(&f.newest, "max-version", 1, "version of an image that needs a newer one; by default 1, or --min-version if that is given")
	fl.IntVar(&f.Threads, "threads", 0, "how many files are read at a time; by default one for each processor")
	fl.Var(&choice{&f.algorithm, []string{"sha256", "sha512"}}, "digest-algorithm", "algorithm of all digests: sha256 (default) or sha512")
	cmd.MarkFlagsMutuallyExclusive("skip-xattrs", "user-xattrs")
	return cmd
}

func (a *App) mkcomposefs(ctx context.Context, f mkcomposefsFlags, args []string) error {
	version, err := mkcomposefs.Version(f.oldest, f.newest)
	if err != nil {
		return err
	}
	f.Algorithm = algorithm(f.algorithm)
	t, err := f.source(ctx, args[0])
	if err != nil {
		return err
	}
	write := func(w io.Writer) error {
		d, err := mkcomposefs.Write(w, t, version, f.Algorithm)
		if err == nil && (f.printDigest || f.printOnly) {
			fmt.Fprintln(a.Stdout, d)
		}
		return err
	}
	switch {
	case f.printOnly:
		return write(nil)
	case args[1] == "-":
		return write(a.Stdout)
	}
	return writeImage(args[1], write)
}

// algorithm returns the algorithm of a name that was checked.
func algorithm(name string) verity.Algorithm {
	if name == verity.SHA512.String() {
		return verity.SHA512
	}
	return verity.SHA256
}

// source reads the directory or the dump.
func (f *mkcomposefsFlags) source(ctx context.Context, name string) (*tree.Tree, error) {
	if f.fromFile {
		in := os.Stdin
		if name != "-" {
			var err error
			if in, err = os.Open(name); err != nil {
				return nil, err
			}
			defer in.Close()
		}
		return mkcomposefs.FromDump(in)
	}
	d, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer d.Close()
	if f.store != "" {
		if err := os.MkdirAll(f.store, 0o755); err != nil {
			return nil, err
		}
		if f.Store, err = os.OpenRoot(f.store); err != nil {
			return nil, err
		}
		defer f.Store.Close()
	}
	return mkcomposefs.FromDirectory(ctx, d, f.Options)
}

// writeImage writes a file, which may be a descriptor in /proc or a device. A
// regular file that could not be written does not stay.
func writeImage(name string, write func(io.Writer) error) error {
	out, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o644)
	if err != nil {
		return err
	}
	err = write(out)
	if closing := out.Close(); err == nil {
		err = closing
	}
	if err != nil {
		if info, statErr := os.Lstat(name); statErr == nil && info.Mode().IsRegular() {
			os.Remove(name)
		}
	}
	return err
}
