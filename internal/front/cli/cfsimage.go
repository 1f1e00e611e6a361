package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"path"
	"slices"

	"github.com/spf13/cobra"

	"github.com/bootc-go/bootc/internal/action/cfs"
	"github.com/bootc-go/bootc/internal/content/images"
	"github.com/bootc-go/bootc/internal/format/tree"
	"github.com/bootc-go/bootc/internal/format/verity"
)

func (a *App) cfsImportCommand(f *cfsFlags) *cobra.Command {
	return &cobra.Command{
		Use: "import-image REFERENCE", Short: "Keep an EROFS image from standard input", Args: cobra.ExactArgs(1),
		RunE: f.withRepo(func(_ context.Context, r *cfs.Repository, args []string) error {
			d, err := r.AddImage(os.Stdin, args[0])
			if err != nil {
				return fmt.Errorf("cannot import the image: %w", err)
			}
			fmt.Fprintf(a.Stdout, "%v:%v\n", d.Algorithm(), d)
			return nil
		}),
	}
}

func (a *App) cfsImagesCommand(f *cfsFlags) *cobra.Command {
	var asJSON, noTrunc bool
	cmd := &cobra.Command{
		Use: "images", Aliases: []string{"list-images"}, Short: "List the EROFS images that have a name", Args: cobra.NoArgs,
		RunE: f.withRepo(func(_ context.Context, r *cfs.Repository, _ []string) error {
			all, err := r.NamedImages()
			if err != nil {
				return fmt.Errorf("cannot list the images: %w", err)
			}
			return a.printNamed(all, asJSON, noTrunc)
		}),
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "as JSON")
	cmd.Flags().BoolVar(&noTrunc, "no-trunc", false, "whole digests")
	return cmd
}

func (a *App) printNamed(all []images.NamedImage, asJSON, noTrunc bool) error {
	type row struct {
		Name   string `json:"name"`
		Digest string `json:"digest"`
	}
	rows := []row{}
	table := [][]string{{"NAME", "DIGEST"}}
	for _, i := range all {
		rows = append(rows, row{i.Name, i.Digest.String()})
		short := i.Digest.String()
		if !noTrunc {
			short = short[:12]
		}
		table = append(table, []string{i.Name, short})
	}
	switch {
	case asJSON:
		return a.printJSON(map[string]any{"images": rows})
	case len(rows) == 0:
		fmt.Fprintln(a.Stdout, "No images found")
	default:
		writeTable(a.Stdout, table)
	}
	return nil
}

// printJSON writes a document as upstream's tool does.
func (a *App) printJSON(v any) error {
	e := json.NewEncoder(a.Stdout)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	return e.Encode(v)
}

func (a *App) cfsMountCommand(f *cfsFlags) *cobra.Command {
	cmd := &cobra.Command{
		Use: "mount NAME MOUNTPOINT", Short: "Mount an EROFS image", Args: cobra.ExactArgs(2),
		RunE: f.withRepo(func(_ context.Context, r *cfs.Repository, args []string) error {
			d, err := r.FindImage(args[0])
			if err == nil {
				err = r.Mount(d, args[1])
			}
			if err != nil {
				return fmt.Errorf("cannot mount the image: %w", err)
			}
			return nil
		}),
	}
	refuse(cmd, "upperdir", "workdir", "read-write")
	return cmd
}

func (a *App) cfsObjectsCommand(f *cfsFlags) *cobra.Command {
	return &cobra.Command{
		Use: "image-objects NAME", Short: "List the objects of an EROFS image", Args: cobra.ExactArgs(1),
		RunE: f.withRepo(func(_ context.Context, r *cfs.Repository, args []string) error {
			t, err := findTree(r, args[0])
			if err != nil {
				return fmt.Errorf("cannot list the objects: %w", err)
			}
			all := map[string]bool{}
			_ = t.Walk(func(_ string, n *tree.Node) error {
				if !n.Object.IsZero() {
					all[fmt.Sprintf("%v:%v", n.Object.Algorithm(), n.Object)] = true
				}
				return nil
			})
			for _, line := range slices.Sorted(maps.Keys(all)) {
				fmt.Fprintln(a.Stdout, line)
			}
			return nil
		}),
	}
}

func findTree(r *cfs.Repository, name string) (*tree.Tree, error) {
	d, err := r.FindImage(name)
	if err != nil {
		return nil, err
	}
	return r.ReadComposed(d)
}

func (a *App) cfsDumpFilesCommand(f *cfsFlags) *cobra.Command {
	var backing bool
	cmd := &cobra.Command{
		Use: "dump-files IMAGE [FILE]...", Short: "Show files of an EROFS image as a composefs dump", Args: cobra.MinimumNArgs(1),
		RunE: f.withRepo(func(_ context.Context, r *cfs.Repository, args []string) error {
			t, err := findTree(r, args[0])
			for _, name := range args[1:] {
				if err == nil {
					err = dumpFile(a.Stdout, t, name, backing)
				}
			}
			if err != nil {
				return fmt.Errorf("cannot show the files: %w", err)
			}
			return nil
		}),
	}
	cmd.Flags().BoolVar(&backing, "backing-path-only", false, "only the path of the object, or \"inline\"")
	return cmd
}

// dumpFile writes the part of a dump that is below a path.
func dumpFile(w io.Writer, t *tree.Tree, name string, backing bool) error {
	n := t.Lookup(name)
	switch {
	case n == nil:
		return fmt.Errorf("there is no %q in the image", name)
	case !backing:
		return dumpBelow(w, t, path.Clean("/"+name))
	case n.IsDir():
		return fmt.Errorf("%q is a directory", name)
	case n.Object.IsZero():
		fmt.Fprintln(w, "inline")
	default:
		fmt.Fprintln(w, n.Object.ObjectPath())
	}
	return nil
}

func (a *App) cfsOpenDir(cmd *cobra.Command, o *cfs.DirOptions) {
	var xattrs string
	cmd.Flags().BoolVar(&o.Bootable, "bootable", false, "as the tree that boots")
	cmd.Flags().BoolVar(&o.AsIs, "no-propagate-usr-to-root", false, "keep the tree as it is")
	cmd.Flags().Var(&choice{value: &xattrs, of: []string{"allowlist-only", "keep-user-xattrs"}}, "xattrs", "which extended attributes are kept")
	cmd.PreRun = func(*cobra.Command, []string) { o.KeepUserXattrs = xattrs == "keep-user-xattrs" }
}

func (a *App) cfsCreateCommand(f *cfsFlags) *cobra.Command {
	var o cfs.DirOptions
	cmd := &cobra.Command{
		Use: "create-image PATH [NAME]", Short: "Make an EROFS image of a directory", Args: cobra.RangeArgs(1, 2),
		RunE: f.withRepo(func(ctx context.Context, r *cfs.Repository, args []string) error {
			o.Path = args[0]
			d, err := r.CreateImage(ctx, o, append(args, "")[1])
			if err != nil {
				return fmt.Errorf("cannot make the image: %w", err)
			}
			fmt.Fprintf(a.Stdout, "%v:%v\n", d.Algorithm(), d)
			return nil
		}),
	}
	a.cfsOpenDir(cmd, &o)
	return cmd
}

// digestOf computes the digest of the image of a directory. The algorithm is
// that of the repository, if one is named, as the option says otherwise, else
// SHA-512.
func (f *cfsFlags) digestOf(ctx context.Context, o cfs.DirOptions) (verity.Digest, images.Format, error) {
	algorithm, format := f.algorithm(), images.V1
	if f.repo != "" && !f.noRepo {
		r, err := f.open()
		if err != nil {
			return verity.Digest{}, format, err
		}
		algorithm, format = r.Algorithm(), r.Formats()[0]
		if err := r.Close(); err != nil {
			return verity.Digest{}, format, err
		}
	}
	if algorithm == 0 {
		algorithm = verity.SHA512
	}
	if v := f.format(); v != nil {
		format = *v
	}
	t, err := cfs.ReadDir(ctx, o, cfs.Hash(algorithm))
	if err != nil {
		return verity.Digest{}, format, err
	}
	d, err := images.Digest(t, algorithm, format)
	return d, format, err
}

func (a *App) cfsComputeCommand(f *cfsFlags) *cobra.Command {
	var o cfs.DirOptions
	cmd := &cobra.Command{
		Use: "compute-id PATH", Short: "Compute the digest of the EROFS image of a directory", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			o.Path = args[0]
			d, _, err := f.digestOf(cmd.Context(), o)
			if err != nil {
				return fmt.Errorf("cannot compute the digest: %w", err)
			}
			fmt.Fprintln(a.Stdout, d)
			return nil
		},
	}
	a.cfsOpenDir(cmd, &o)
	return cmd
}

func (a *App) cfsKargCommand(f *cfsFlags) *cobra.Command {
	o := cfs.DirOptions{View: cfs.View{Bootable: true}}
	cmd := &cobra.Command{
		Use: "compute-karg PATH", Short: "Compute the kernel argument for the image of a directory", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			o.Path = args[0]
			d, format, err := f.digestOf(cmd.Context(), o)
			if err != nil {
				return fmt.Errorf("cannot compute the argument: %w", err)
			}
			insecure := map[bool]string{true: "?"}[f.insecure]
			if format == images.V2 {
				fmt.Fprintf(a.Stdout, "composefs=%s%v\n", insecure, d)
			} else {
				fmt.Fprintf(a.Stdout, "composefs.digest=%sv1-%v-12:%v\n", insecure, d.Algorithm(), d)
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&o.AsIs, "no-propagate-usr-to-root", false, "keep the tree as it is")
	return cmd
}

func (a *App) cfsDumpfileCommand(f *cfsFlags) *cobra.Command {
	var o cfs.DirOptions
	cmd := &cobra.Command{
		Use: "create-dumpfile PATH", Short: "Write a directory as a composefs dump", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			o.Path = args[0]
			algorithm := f.algorithm()
			if algorithm == 0 {
				algorithm = verity.SHA512
			}
			t, err := cfs.ReadDir(cmd.Context(), o, cfs.Hash(algorithm))
			if err == nil {
				err = upstreamDump.Write(a.Stdout, t)
			}
			if err != nil {
				return fmt.Errorf("cannot write the dump: %w", err)
			}
			return nil
		},
	}
	a.cfsOpenDir(cmd, &o)
	return cmd
}
