package cli

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/bootc-go/bootc"
	"github.com/bootc-go/bootc/internal/action/cfs"
	"github.com/bootc-go/bootc/internal/content/images"
	"github.com/bootc-go/bootc/internal/format/verity"
)

func (a *App) ociLayerCommand(f *cfsFlags) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use: "layer DIFF_ID", Short: "Give a layer's tar back, byte for byte", Args: cobra.ExactArgs(1),
		RunE: f.withRepo(func(_ context.Context, r *cfs.Repository, args []string) error {
			d, err := bootc.ParseDigest(args[0])
			switch {
			case err != nil:
			case asJSON:
				err = a.layerJSON(r, d)
			case isTerminal(a.Stdout):
				err = errors.New("a tar is not written to a terminal: send it to a file or a program, or use --json")
			default:
				err = r.CatLayer(a.Stdout, d)
			}
			if err != nil {
				return fmt.Errorf("cannot give back the layer: %w", err)
			}
			return nil
		}),
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "what is known of it instead, as JSON")
	refuse(cmd, "dumpfile")
	return cmd
}

func (a *App) layerJSON(r *cfs.Repository, d bootc.Digest) error {
	l, err := r.Layer(d)
	if err != nil {
		return err
	}
	type split struct {
		Objects int   `json:"externalObjects"`
		In      int64 `json:"externalSize"`
		Inline  int64 `json:"inlineSize"`
	}
	return a.printJSON(struct {
		DiffID  bootc.Digest `json:"diffId"`
		Verity  string       `json:"verity"`
		Size    int64        `json:"size"`
		Entries int          `json:"entryCount"`
		Split   split        `json:"splitstream"`
	}{l.DiffID, l.Stream.String(), l.Size, len(l.Entries), split{l.Objects, l.InObjects, l.Size - l.InObjects}})
}

func (a *App) cfsFsckCommand(f *cfsFlags) *cobra.Command {
	var asJSON, repair bool
	var source string
	var o images.CheckOptions
	cmd := &cobra.Command{
		Use: "fsck", Short: "Check everything in the repository", Args: cobra.NoArgs,
		RunE: f.withRepo(func(ctx context.Context, r *cfs.Repository, _ []string) error {
			if repair {
				if err := a.cfsRepair(ctx, r, source); err != nil {
					return fmt.Errorf("cannot repair the repository: %w", err)
				}
				return nil
			}
			report, err := r.Check(ctx, o)
			if err != nil {
				return fmt.Errorf("cannot check the repository: %w", err)
			}
			if asJSON {
				return a.printJSON(reportOf(report))
			}
			a.printReport(report)
			if !report.OK() {
				return errors.New("repository integrity check failed")
			}
			return nil
		}),
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "as JSON; the exit status is 0 whatever is found")
	cmd.Flags().BoolVar(&o.MetadataOnly, "metadata-only", false, "leave out the content of objects")
	cmd.Flags().BoolVar(&repair, "repair", false, "fetch again what tagged images lack")
	cmd.Flags().StringVar(&source, "source", "", "where the images are kept, if their tags do not say")
	cmd.MarkFlagsMutuallyExclusive("repair", "json")
	cmd.MarkFlagsMutuallyExclusive("repair", "metadata-only")
	return cmd
}

// fsckReport is a report as upstream's tool writes it, with what ours finds
// beyond in the last fields.
type fsckReport struct {
	OK         bool     `json:"ok"`
	HasMeta    bool     `json:"has_metadata"`
	Objects    int      `json:"objects_checked"`
	BadObjects int      `json:"objects_corrupted"`
	Streams    int      `json:"streams_checked"`
	BadStreams int      `json:"streams_corrupted"`
	Images     int      `json:"images_checked"`
	BadImages  int      `json:"images_corrupted"`
	Broken     int      `json:"broken_links"`
	Missing    int      `json:"missing_objects"`
	Errors     []string `json:"errors"`
	Notes      []string `json:"notes,omitempty"`
	Orphans    []string `json:"orphans,omitempty"`
}

func reportOf(r *images.Report) fsckReport {
	return fsckReport{
		r.OK(), r.HasMeta, r.Objects, r.BadObjects, r.Streams, r.BadStreams, r.Images, r.BadImages, r.Broken, r.Missing,
		texts(r.Problems), texts(r.Notes), orphans(r.Orphans),
	}
}

func texts(all []images.Problem) []string {
	lines := []string{}
	for _, p := range all {
		lines = append(lines, p.String())
	}
	return lines
}

func orphans(all []verity.Digest) []string {
	lines := []string{}
	for _, d := range all {
		lines = append(lines, "objects/"+d.ObjectPath())
	}
	return lines
}

func (a *App) printReport(r *images.Report) {
	meta := "ok"
	if !r.HasMeta {
		meta = "absent"
	}
	fmt.Fprintf(a.Stdout, "meta.json: %s\n", meta)
	for _, c := range []struct {
		name   string
		n, bad int
	}{{"objects", r.Objects, r.BadObjects}, {"streams", r.Streams, r.BadStreams}, {"images", r.Images, r.BadImages}} {
		fmt.Fprintf(a.Stdout, "%s: %d/%d ok\n", c.name, c.n-c.bad, c.n)
	}
	if r.Broken > 0 {
		fmt.Fprintf(a.Stdout, "broken symlinks: %d\n", r.Broken)
	}
	if r.Missing > 0 {
		fmt.Fprintf(a.Stdout, "missing objects: %d\n", r.Missing)
	}
	if len(r.Orphans) > 0 {
		fmt.Fprintf(a.Stdout, "orphans: %d (%d bytes)\n", len(r.Orphans), r.OrphanBytes)
	}
	if r.OK() {
		fmt.Fprintln(a.Stdout, "status: ok")
	} else {
		fmt.Fprintf(a.Stdout, "status: %d error(s)\n", len(r.Problems))
	}
	for _, p := range r.Problems {
		fmt.Fprintf(a.Stdout, "  - %s\n", p)
	}
	for _, p := range r.Notes {
		fmt.Fprintf(a.Stdout, "  note: %s\n", p)
	}
	for _, name := range orphans(r.Orphans) {
		fmt.Fprintf(a.Stdout, "  orphan: %s\n", name)
	}
}

func (a *App) ociFsckCommand(f *cfsFlags) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use: "fsck [IMAGE]", Short: "Check everything in the repository, and images", Args: cobra.MaximumNArgs(1),
		RunE: f.withRepo(func(ctx context.Context, r *cfs.Repository, args []string) error {
			if err := a.ociFsck(ctx, r, args, asJSON); err != nil {
				return fmt.Errorf("cannot vouch for the images: %w", err)
			}
			return nil
		}),
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "as JSON; the exit status is 0 whatever is found")
	return cmd
}

func (a *App) ociFsck(ctx context.Context, r *cfs.Repository, tags []string, asJSON bool) error {
	report, err := r.Check(ctx, images.CheckOptions{})
	if err != nil {
		return err
	}
	if len(tags) == 0 {
		all, err := r.AllTags()
		if err != nil {
			return err
		}
		for _, t := range all {
			tags = append(tags, t.Name)
		}
	}
	var problems []images.Problem
	bad := 0
	for _, name := range tags {
		if p := r.CheckTag(name); len(p) > 0 {
			problems = append(problems, p...)
			bad++
		}
	}
	ok := report.OK() && bad == 0
	if asJSON {
		return a.printJSON(struct {
			OK     bool       `json:"ok"`
			N      int        `json:"images_checked"`
			Bad    int        `json:"images_corrupted"`
			Errors []string   `json:"errors"`
			Repo   fsckReport `json:"repo"`
		}{ok, len(tags), bad, texts(problems), reportOf(report)})
	}
	a.printReport(report)
	fmt.Fprintf(a.Stdout, "oci images: %d/%d ok\n", len(tags)-bad, len(tags))
	if len(problems) > 0 {
		fmt.Fprintf(a.Stdout, "oci errors: %d\n", len(problems))
	}
	for _, p := range problems {
		fmt.Fprintf(a.Stdout, "  - %s\n", p)
	}
	if !ok {
		return errors.New("OCI integrity check failed")
	}
	return nil
}
