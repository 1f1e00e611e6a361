package cli

import (
	"errors"
	"fmt"
	"os"
	"runtime/debug"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/bootc-go/bootc/internal/action/composefsinfo"
	"github.com/bootc-go/bootc/internal/format/erofs"
	"github.com/bootc-go/bootc/internal/format/verity"
)

type composefsInfoFlags struct {
	basedir   string
	filter    []string
	algorithm string
}

// composefsInfoCommand is composefs-info of the C project.
func (a *App) composefsInfoCommand() *cobra.Command {
	commands := []string{"ls", "objects", "dump", "missing-objects", "measure-file"}
	f := composefsInfoFlags{algorithm: verity.SHA256.String()}
	cmd := &cobra.Command{
		Use: "composefs-info [OPTIONS] {" + strings.Join(commands, "|") + "} FILE…", Hidden: true,
		Short:                 "Show what is in composefs images",
		Annotations:           map[string]string{statusOfUsage: "1"},
		DisableFlagsInUseLine: true,
		Args: func(_ *cobra.Command, args []string) error {
			switch {
			case len(args) == 0:
				return errors.New("no command specified")
			case !slices.Contains(commands, args[0]):
				return fmt.Errorf("unknown command %q", args[0])
			case len(args) == 1:
				return errors.New("no image path specified")
			}
			for _, name := range f.filter {
				if strings.Contains(name, "/") {
					return fmt.Errorf("--filter: %q is not a single name", name)
				}
			}
			return nil
		},
		RunE: func(_ *cobra.Command, args []string) error { return a.composefsInfo(f, args[0], args[1:]) },
	}
	fl := cmd.Flags()
	fl.StringVar(&f.basedir, "basedir", "", "directory of objects, for missing-objects")
	fl.StringArrayVar(&f.filter, "filter", nil, "only this entry of the root; may be repeated")
	fl.Var(&choice{&f.algorithm, []string{"sha256", "sha512"}}, "digest-algorithm", "for measure-file: sha256 (default) or sha512")
	return cmd
}

func (a *App) composefsInfo(f composefsInfoFlags, command string, files []string) error {
	// Half of the memory is the image, which is no garbage.
	defer debug.SetGCPercent(debug.SetGCPercent(50))
	var basedir *os.File
	if f.basedir != "" {
		var err error
		if basedir, err = os.Open(f.basedir); err != nil {
			return err
		}
		defer basedir.Close()
	}
	found := composefsinfo.Objects{}
	for _, name := range files {
		if err := a.composefsInfoFile(f, command, name, found); err != nil {
			return err
		}
	}
	switch command {
	case "objects":
		return found.Print(a.Stdout, nil)
	case "missing-objects":
		return found.Print(a.Stdout, basedir)
	}
	return nil
}

// composefsInfoFile does what is to be done with one file.
func (a *App) composefsInfoFile(f composefsInfoFlags, command, name string, found composefsinfo.Objects) error {
	in, err := os.Open(name)
	if err != nil {
		return err
	}
	defer in.Close()
	if command == "measure-file" {
		d, err := composefsinfo.Measure(in, algorithm(f.algorithm))
		if err == nil {
			fmt.Fprintln(a.Stdout, d)
		}
		return err
	}
	im, err := composefsinfo.Open(in, f.filter)
	if err != nil {
		return fmt.Errorf("reading the image %q: %w", name, err)
	}
	return a.composefsInfoImage(command, im, found)
}

func (a *App) composefsInfoImage(command string, im *erofs.Image, found composefsinfo.Objects) error {
	switch command {
	case "ls":
		return composefsinfo.List(a.Stdout, im)
	case "dump":
		return composefsinfo.Dump(a.Stdout, im)
	}
	return found.Add(im)
}
