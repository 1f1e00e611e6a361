package cli

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/bootc-go/bootc"
	"github.com/bootc-go/bootc/internal/action/cfs"
	"github.com/bootc-go/bootc/internal/content/images"
	"github.com/bootc-go/bootc/internal/content/registry"
	"github.com/bootc-go/bootc/internal/format/verity"
)

func (a *App) cfsOCICommand(f *cfsFlags) *cobra.Command {
	cmd := &cobra.Command{
		Use: "oci", Short: "Work with OCI images in the repository", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(
		a.ociPullCommand(f), a.ociImagesCommand(f), a.ociInspectCommand(f), a.ociTagCommand(f), a.ociUntagCommand(f),
		a.ociLayerCommand(f), a.ociDumpCommand(f), a.ociComputeCommand(f), a.ociMountCommand(f), a.ociFsckCommand(f),
		a.ociLinkedCommand(f),
	)
	for _, name := range []string{"import-layer", "copy", "prepare-boot", "varlink"} {
		cmd.AddCommand(missing(name))
	}
	return cmd
}

func (a *App) ociPullCommand(f *cfsFlags) *cobra.Command {
	var o cfs.PullOptions
	cmd := &cobra.Command{
		Use: "pull IMAGE [NAME]", Short: "Bring an image into the repository", Args: cobra.RangeArgs(1, 2),
		RunE: f.withRepo(func(ctx context.Context, r *cfs.Repository, args []string) error {
			o.Tag = args[len(args)-1]
			var err error
			if o.Ref, err = bootc.ParseRef(args[0]); err != nil {
				return err
			}
			o.Registry = registry.Options{Version: a.Version}
			p, err := r.Pull(ctx, o)
			if err != nil {
				return fmt.Errorf("cannot pull: %w", err)
			}
			a.printPulled(p, o.Tag)
			return nil
		}),
	}
	cmd.Flags().BoolVar(&o.Bootable, "bootable", false, "compose the image that boots, too")
	var local string
	cmd.Flags().Var(&choice{value: &local, of: []string{"disabled"}}, "local-fetch", "accepted: images in the containers storage are copied")
	refuse(cmd, "expected-digest")
	return cmd
}

func (a *App) printPulled(p *cfs.Pulled, tag string) {
	s := p.Stored
	fmt.Fprintf(a.Stdout, "manifest %s\nconfig   %s\nverity   %v\ntagged   %s\n", p.Manifest, p.Config, p.Stream, tag)
	fmt.Fprintf(a.Stdout, "objects  %d new + %d already present objects; %s stored, %s inlined\n", s.New, s.Present, binarySize(s.Bytes), binarySize(s.Inline))
	if p.Boot != "" {
		fmt.Fprintf(a.Stdout, "Boot image: %s\n", p.Boot)
	}
}

// binarySize is a size in the units of upstream's tool.
func binarySize(n int64) string {
	if n < 1024 {
		return fmt.Sprintf("%d B", n)
	}
	value, unit := float64(n)/1024, 0
	for value >= 1024 && unit < 3 {
		value /= 1024
		unit++
	}
	return fmt.Sprintf("%.2f %ciB", value, "KMGT"[unit])
}

func (a *App) ociImagesCommand(f *cfsFlags) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use: "images", Aliases: []string{"ls"}, Short: "List the images that have a tag", Args: cobra.NoArgs,
		RunE: f.withRepo(func(_ context.Context, r *cfs.Repository, _ []string) error {
			if err := a.ociImages(r, asJSON); err != nil {
				return fmt.Errorf("cannot list the images: %w", err)
			}
			return nil
		}),
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "as JSON")
	return cmd
}

// ociImage is an image in the list of images.
type ociImage struct {
	Name         string       `json:"name"`
	Manifest     bootc.Digest `json:"manifest_digest"`
	IsContainer  bool         `json:"is_container"`
	Architecture string       `json:"architecture"`
	OS           string       `json:"os"`
	Created      *time.Time   `json:"created"`
	Layers       int          `json:"layer_count"`
	Referrers    int          `json:"referrer_count"`
}

func (a *App) ociImages(r *cfs.Repository, asJSON bool) error {
	tags, err := r.AllTags()
	if err != nil {
		return err
	}
	all := []ociImage{}
	table := [][]string{{"NAME", "DIGEST", "ARCH", "LAYERS", "REFS"}}
	for _, t := range tags {
		i, err := r.Head(t.Manifest)
		if err != nil {
			return fmt.Errorf("tag %q: %w", t.Name, err)
		}
		o := ociImage{t.Name, t.Manifest, true, i.Config.Architecture, i.Config.OS, i.Config.Created, len(i.Layers()), 0}
		all = append(all, o)
		table = append(table, []string{o.Name, o.Manifest.Short(), o.Architecture, strconv.Itoa(o.Layers), "0"})
	}
	switch {
	case asJSON:
		return a.printJSON(map[string]any{"images": all})
	case len(all) == 0:
		fmt.Fprintln(a.Stdout, "No images found")
	default:
		writeTable(a.Stdout, table)
	}
	return nil
}

func (a *App) ociInspectCommand(f *cfsFlags) *cobra.Command {
	var manifest, config bool
	cmd := &cobra.Command{
		Use: "inspect IMAGE", Short: "Show an image: a tag, or @ and a digest", Args: cobra.ExactArgs(1),
		RunE: f.withRepo(func(_ context.Context, r *cfs.Repository, args []string) error {
			i, err := head(r, args[0])
			if err != nil {
				return fmt.Errorf("cannot inspect the image: %w", err)
			}
			switch {
			case manifest:
				fmt.Fprintf(a.Stdout, "%s\n", i.RawManifest)
			case config:
				fmt.Fprintf(a.Stdout, "%s\n", i.RawConfig())
			default:
				return a.printJSON(inspection(i, r.Formats()[0]))
			}
			return nil
		}),
	}
	cmd.Flags().BoolVar(&manifest, "manifest", false, "only the manifest, as it is")
	cmd.Flags().BoolVar(&config, "config", false, "only the config, as it is")
	cmd.MarkFlagsMutuallyExclusive("manifest", "config")
	return cmd
}

func head(r *cfs.Repository, name string) (*images.Image, error) {
	d, err := r.Resolve(name)
	if err != nil {
		return nil, err
	}
	return r.Head(d)
}

// ociInspection is an image as upstream's tool shows it.
type ociInspection struct {
	Manifest  string   `json:"manifest"`
	Config    string   `json:"config"`
	Referrers []string `json:"referrers"`
	Plain     *string  `json:"composefs_erofs"`
	Boot      *string  `json:"composefs_boot_erofs"`
}

func inspection(i *images.Image, f images.Format) ociInspection {
	o := ociInspection{Manifest: string(i.RawManifest), Config: string(i.RawConfig()), Referrers: []string{}}
	for _, bootable := range []bool{false, true} {
		if c := composed(i, f, bootable); c != nil {
			d := c.String()
			if bootable {
				o.Boot = &d
			} else {
				o.Plain = &d
			}
		}
	}
	return o
}

// composed returns the EROFS image of a kind, nil if none was composed.
func composed(i *images.Image, f images.Format, bootable bool) *verity.Digest {
	for _, c := range i.Composed() {
		if c.Bootable == bootable && !c.KeepsUserXattrs && (c.Format == images.V2) == (f == images.V2) {
			return &c.Digest
		}
	}
	return nil
}

func (a *App) ociTagCommand(f *cfsFlags) *cobra.Command {
	var digest bootc.Digest
	return &cobra.Command{
		Use: "tag DIGEST NAME", Short: "Give an image a tag", Args: func(cmd *cobra.Command, args []string) error {
			err := cobra.ExactArgs(2)(cmd, args)
			if err == nil {
				digest, err = bootc.ParseDigest(args[0])
			}
			return err
		},
		RunE: f.withRepo(func(_ context.Context, r *cfs.Repository, args []string) error {
			if err := r.TagAs(digest, args[1]); err != nil {
				return fmt.Errorf("cannot tag the image: %w", err)
			}
			fmt.Fprintf(a.Stdout, "Tagged %s as %s\n", digest, args[1])
			return nil
		}),
	}
}

func (a *App) ociUntagCommand(f *cfsFlags) *cobra.Command {
	return &cobra.Command{
		Use: "untag NAME", Short: "Take a tag from an image", Args: cobra.ExactArgs(1),
		RunE: f.withRepo(func(_ context.Context, r *cfs.Repository, args []string) error {
			if err := r.UntagName(args[0]); err != nil {
				return fmt.Errorf("cannot remove the tag: %w", err)
			}
			fmt.Fprintf(a.Stdout, "Removed tag %s\n", args[0])
			return nil
		}),
	}
}

// ociViewFlags are the options of verbs that look at the tree of an image.
func ociViewFlags(cmd *cobra.Command, v *cfs.View) {
	var xattrs string
	cmd.Flags().BoolVar(&v.Bootable, "bootable", false, "as the tree that boots")
	cmd.Flags().Var(&choice{value: &xattrs, of: []string{"allowlist-only", "keep-user-xattrs"}}, "xattrs", "which extended attributes are kept")
	cmd.PreRun = func(*cobra.Command, []string) { v.KeepUserXattrs = xattrs == "keep-user-xattrs" }
}

func (a *App) ociDumpCommand(f *cfsFlags) *cobra.Command {
	var v cfs.View
	cmd := &cobra.Command{
		Use: "dump IMAGE [VERITY]", Short: "Write the tree of an image as a composefs dump", Args: cobra.RangeArgs(1, 2),
		RunE: f.withRepo(func(_ context.Context, r *cfs.Repository, args []string) error {
			d, err := resolve(r, args)
			if err != nil {
				return fmt.Errorf("cannot dump the image: %w", err)
			}
			t, err := r.Tree(d, v)
			if err == nil {
				err = upstreamDump.Write(a.Stdout, t)
			}
			if err != nil {
				return fmt.Errorf("cannot dump the image: %w", err)
			}
			return nil
		}),
	}
	ociViewFlags(cmd, &v)
	return cmd
}

// resolve finds an image, also by the digest of its config; a second argument is the digest that its manifest's
// stream must have.
func resolve(r *cfs.Repository, args []string) (bootc.Digest, error) {
	d, err := r.ResolveAny(args[0])
	if err != nil || len(args) < 2 {
		return d, err
	}
	got, err := r.ManifestStream(d)
	if err == nil && got.String() != args[1] {
		err = fmt.Errorf("the stream of the manifest is %v, want %s", got, args[1])
	}
	return d, err
}

func (a *App) ociComputeCommand(f *cfsFlags) *cobra.Command {
	var v cfs.View
	cmd := &cobra.Command{
		Use: "compute-id IMAGE [VERITY]", Short: "Compute the digest of the EROFS image of an image", Args: cobra.RangeArgs(1, 2),
		RunE: f.withRepo(func(_ context.Context, r *cfs.Repository, args []string) error {
			d, err := resolve(r, args)
			if err != nil {
				return fmt.Errorf("cannot compute the digest: %w", err)
			}
			t, err := r.Tree(d, v)
			if err != nil {
				return fmt.Errorf("cannot compute the digest: %w", err)
			}
			id, err := images.Digest(t, r.Algorithm(), r.Formats()[0])
			if err != nil {
				return fmt.Errorf("cannot compute the digest: %w", err)
			}
			fmt.Fprintln(a.Stdout, id)
			return nil
		}),
	}
	ociViewFlags(cmd, &v)
	return cmd
}

func (a *App) ociMountCommand(f *cfsFlags) *cobra.Command {
	var bootable bool
	cmd := &cobra.Command{
		Use: "mount IMAGE MOUNTPOINT", Short: "Mount the EROFS image of an image", Args: cobra.ExactArgs(2),
		RunE: f.withRepo(func(_ context.Context, r *cfs.Repository, args []string) error {
			if err := ociMount(r, args[0], args[1], bootable); err != nil {
				return fmt.Errorf("cannot mount the image: %w", err)
			}
			return nil
		}),
	}
	cmd.Flags().BoolVar(&bootable, "bootable", false, "the image that boots")
	refuse(cmd, "upperdir", "workdir", "read-write")
	return cmd
}

func ociMount(r *cfs.Repository, name, target string, bootable bool) error {
	if _, err := bootc.ParseDigest(name); err == nil {
		name = "@" + name
	}
	i, err := head(r, name)
	if err != nil {
		return err
	}
	d := composed(i, r.Formats()[0], bootable)
	switch {
	case d == nil && bootable:
		return errors.New("no image that boots was composed from it: pull it with --bootable")
	case d == nil:
		return errors.New("no EROFS image was composed from it: pull it again")
	}
	return r.Mount(*d, target)
}

func (a *App) ociLinkedCommand(f *cfsFlags) *cobra.Command {
	return &cobra.Command{
		Use: "linked-erofs-images VERITY", Short: "List the EROFS images of the same image as one of them", Args: cobra.ExactArgs(1),
		RunE: f.withRepo(func(_ context.Context, r *cfs.Repository, args []string) error {
			if err := a.ociLinked(r, args[0]); err != nil {
				return fmt.Errorf("cannot list the images: %w", err)
			}
			return nil
		}),
	}
}

func (a *App) ociLinked(r *cfs.Repository, digest string) error {
	type linked struct {
		ID       string  `json:"id"`
		Bootable bool    `json:"bootable"`
		Version  int     `json:"version"`
		Mode     *string `json:"xattrMode"`
	}
	tags, err := r.AllTags()
	if err != nil {
		return err
	}
	all := []linked{}
	for _, t := range tags {
		i, err := r.Head(t.Manifest)
		if err != nil {
			return err
		}
		var found bool
		var group []linked
		for _, c := range i.Composed() {
			l := linked{ID: c.Digest.String(), Bootable: c.Bootable, Version: int(c.Format)}
			if c.Bootable {
				mode := map[bool]string{false: "allowlist-only", true: "keep-user-xattrs"}[c.KeepsUserXattrs]
				l.Mode = &mode
			}
			found = found || l.ID == digest
			group = append(group, l)
		}
		if found {
			all = group
			break
		}
	}
	return a.printJSON(all)
}
