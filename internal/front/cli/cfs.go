package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/bootc-go/bootc/internal/action/cfs"
	"github.com/bootc-go/bootc/internal/action/gc"
	"github.com/bootc-go/bootc/internal/content/images"
	"github.com/bootc-go/bootc/internal/format/verity"
)

// cfsFlags are the options that every verb of bootc internals cfs takes: those
// of upstream's cfsctl.
type cfsFlags struct {
	repo, hash, erofs         string
	user, system              bool
	insecure                  bool // of old, ignored
	verity, noUpgrade, noRepo bool
}

// cfsCommand is upstream's tool for image repositories, with its names,
// arguments and output.
func (a *App) cfsCommand() *cobra.Command {
	f := &cfsFlags{}
	cmd := &cobra.Command{
		Use: "cfs", Short: "Work with image repositories, as cfsctl does",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	p := cmd.PersistentFlags()
	p.StringVar(&f.repo, "repo", "", "the repository at this path")
	p.BoolVar(&f.user, "user", false, "the repository of the user, ~/.var/lib/composefs")
	p.BoolVar(&f.system, "system", false, "the repository of the system, /sysroot/composefs")
	p.Var(&choice{value: &f.hash, of: []string{"sha256", "sha512"}}, "hash", "the algorithm that the repository must have")
	p.Var(&choice{value: &f.erofs, of: []string{"0", "1", "2"}}, "erofs-version", "the format of new EROFS images")
	p.BoolVar(&f.insecure, "insecure", false, "accepted: meta.json says whether fs-verity is required")
	p.BoolVar(&f.verity, "require-verity", false, "fail if the repository does not require fs-verity")
	p.BoolVar(&f.noUpgrade, "no-upgrade", false, "fail if the repository has no meta.json")
	p.BoolVar(&f.noRepo, "no-repo", false, "accepted by verbs that need no repository")
	_ = p.MarkHidden("insecure") // it is there
	cmd.MarkFlagsMutuallyExclusive("repo", "user", "system")
	cmd.AddCommand(
		a.cfsInitCommand(f), a.cfsTransactionCommand(f), a.cfsCatCommand(f), a.cfsGCCommand(f), a.cfsFsckCommand(f),
		a.cfsImportCommand(f), a.cfsImagesCommand(f), a.cfsMountCommand(f), a.cfsObjectsCommand(f), a.cfsDumpFilesCommand(f),
		a.cfsCreateCommand(f), a.cfsComputeCommand(f), a.cfsKargCommand(f), a.cfsDumpfileCommand(f), a.cfsOCICommand(f),
	)
	for _, name := range []string{"ostree", "fetch", "varlink"} {
		cmd.AddCommand(missing(name))
	}
	return cmd
}

// path is where the repository is.
func (f *cfsFlags) path() (string, error) {
	switch {
	case f.repo != "":
		return f.repo, nil
	case f.user:
		home, err := os.UserHomeDir()
		return filepath.Join(home, ".var/lib/composefs"), err
	}
	return "/sysroot/composefs", nil
}

func (f *cfsFlags) algorithm() verity.Algorithm {
	switch f.hash {
	case "sha256":
		return verity.SHA256
	case "sha512":
		return verity.SHA512
	}
	return 0
}

// format is the format that was asked for, nil if none was.
func (f *cfsFlags) format() *images.Format {
	if f.erofs == "" {
		return nil
	}
	v := images.Format(f.erofs[0] - '0')
	return &v
}

func (f *cfsFlags) open() (*cfs.Repository, error) {
	if f.noRepo {
		return nil, errors.New("this command needs a repository, --no-repo does not go with it")
	}
	path, err := f.path()
	if err != nil {
		return nil, err
	}
	return cfs.Open(cfs.Options{
		Path: path, Algorithm: f.algorithm(), Format: f.format(), RequireVerity: f.verity, NoUpgrade: f.noUpgrade,
	})
}

// withRepo makes a verb that opens the repository.
func (f *cfsFlags) withRepo(do func(ctx context.Context, r *cfs.Repository, args []string) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		r, err := f.open()
		if err != nil {
			return fmt.Errorf("cannot open the repository: %w", err)
		}
		return errors.Join(do(cmd.Context(), r, args), r.Close())
	}
}

func (a *App) cfsInitCommand(f *cfsFlags) *cobra.Command {
	o := cfs.InitOptions{}
	var algorithm, format string
	cmd := &cobra.Command{
		Use: "init [PATH]", Short: "Make a repository", Args: cobra.MaximumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			var err error
			if o.Path, err = f.path(); err != nil {
				return err
			}
			if len(args) > 0 {
				o.Path = args[0]
			}
			if o.Algorithm, err = images.ParseAlgorithm(algorithm); err != nil {
				return fmt.Errorf("--algorithm: %w", err)
			}
			o.Format = images.V1
			if format != "" {
				f.erofs = format
			}
			if v := f.format(); v != nil {
				o.Format = *v
			}
			o.Insecure = o.Insecure || f.insecure
			return a.cfsInit(o, algorithm)
		},
	}
	cmd.Flags().StringVar(&algorithm, "algorithm", "fsverity-sha512-12", "fsverity-sha512-12 or fsverity-sha256-12")
	cmd.Flags().BoolVar(&o.Insecure, "insecure", false, "do not require fs-verity")
	cmd.Flags().BoolVar(&o.Reset, "reset-metadata", false, "keep only the objects of an old repository")
	cmd.Flags().BoolVar(&o.Ensure, "ensure", false, "take a repository that is there as it is")
	cmd.Flags().Var(&choice{value: &format, of: []string{"0", "1", "2"}}, "erofs-version", "the format of EROFS images")
	return cmd
}

func (a *App) cfsInit(o cfs.InitOptions, algorithm string) error {
	outcome, err := cfs.Init(o)
	if err != nil {
		return fmt.Errorf("cannot make a repository at %s: %w", o.Path, err)
	}
	switch outcome {
	case cfs.Existed:
		fmt.Fprintf(a.Stdout, "Repository already initialized at %s\n", o.Path)
	case cfs.Kept:
		fmt.Fprintf(a.Stdout, "Repository already initialized at %s (existing configuration preserved)\n", o.Path)
	case cfs.Upgraded:
		fmt.Fprintf(a.Stdout, "Upgraded legacy repository at %s\n", o.Path)
	default:
		need := "required"
		if o.Insecure {
			need = "not required (insecure)"
		}
		fmt.Fprintf(a.Stdout, "Initialized composefs repository at %s\n  algorithm: %s\n  verity:    %s\n", o.Path, algorithm, need)
	}
	return nil
}

// cfsTransactionCommand holds the repository open, so that nobody collects
// garbage, until it is interrupted.
func (a *App) cfsTransactionCommand(f *cfsFlags) *cobra.Command {
	return &cobra.Command{
		Use: "transaction", Short: "Keep garbage from being collected until interrupted", Args: cobra.NoArgs,
		RunE: f.withRepo(func(ctx context.Context, _ *cfs.Repository, _ []string) error {
			<-ctx.Done()
			return nil
		}),
	}
}

func (a *App) cfsCatCommand(f *cfsFlags) *cobra.Command {
	return &cobra.Command{
		Use: "cat NAME", Short: "Write what a stream stands for", Args: cobra.ExactArgs(1),
		RunE: f.withRepo(func(_ context.Context, r *cfs.Repository, args []string) error {
			if err := r.CatStream(a.Stdout, args[0]); err != nil {
				return fmt.Errorf("cannot give back the stream: %w", err)
			}
			return nil
		}),
	}
}

func (a *App) cfsGCCommand(f *cfsFlags) *cobra.Command {
	o := images.CollectOptions{Wait: gc.Wait}
	cmd := &cobra.Command{
		Use: "gc", Short: "Remove what nothing refers to", Args: cobra.NoArgs,
		RunE: f.withRepo(func(ctx context.Context, r *cfs.Repository, _ []string) error {
			g, err := r.Collect(ctx, o)
			if err != nil {
				return fmt.Errorf("cannot collect garbage: %w", err)
			}
			a.printGarbage(g, o.DryRun)
			return nil
		}),
	}
	cmd.Flags().StringArrayVarP(&o.Roots, "root", "r", nil, "keep this image or stream, too")
	cmd.Flags().BoolVarP(&o.DryRun, "dry-run", "n", false, "only show what would be removed")
	return cmd
}
