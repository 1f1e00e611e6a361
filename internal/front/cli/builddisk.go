package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/bootc-go/bootc"
	"github.com/bootc-go/bootc/internal/action/build"
	"github.com/bootc-go/bootc/internal/action/install"
	"github.com/bootc-go/bootc/internal/format/blueprint"
	"github.com/bootc-go/bootc/internal/machine/storage"
)

// buildDisk are the options of build-disk.
type buildDisk struct {
	progressFlags
	settingFlags
	credentialFlags
	types                     []string
	output, name, store, seed string
	target, targetTransport   string
	size, rootSize            string
	kargs                     []string
	sshKeys, config           string
	noCloud, ignition         string
	arch                      string
	keep                      int
	allowMissing, dryRun      bool
}

func (a *App) buildDiskCommand() *cobra.Command {
	var f buildDisk
	cmd := &cobra.Command{
		Use:   "build-disk IMAGE",
		Short: "Make disk images of an image, without root",
		Long: "Make disk images of an image: what bootc install to-disk would make of an empty\n" +
			"disk. It needs no privileges. The same image and options give the same bytes.",
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := a.buildDisk(cmd.Context(), args[0], f); err != nil {
				return fmt.Errorf("cannot build disk images: %w", err)
			}
			return nil
		},
	}
	flags := cmd.Flags()
	f.progressFlags.add(cmd)
	flags.StringSliceVar(&f.types, "type", []string{"raw"}, "make images of `TYPE`: "+strings.Join(build.Types(), ", ")+" (may be repeated)")
	flags.StringVar(&f.output, "output", ".", "write the files to the directory `DIR`")
	flags.StringVar(&f.name, "name", "", "call the files `NAME` and their type (default: the image's name)")
	flags.StringVar(&f.size, "size", "", "size of the disk, such as 20G (a plain number is MiB; default: 10G, or what the image needs)")
	flags.StringVar(&f.rootSize, "root-size", "", "size of the root partition (default: the rest of the disk)")
	f.settingFlags.add(cmd)
	flags.StringVar(&f.target, "target-imgref", "", "record `REF` as the image that the machine follows (default: IMAGE)")
	flags.StringVar(&f.targetTransport, "target-transport", "registry", "how --target-imgref is to be read")
	flags.StringArrayVar(&f.kargs, "karg", nil, "add a kernel argument (may be repeated)")
	flags.StringVar(&f.sshKeys, "root-ssh-authorized-keys", "", "let the keys in `FILE` log in as root")
	f.credentialFlags.add(cmd)
	flags.StringVar(&f.noCloud, "nocloud", "", "let cloud-init read the seed in the directory, or the user data in the file `PATH`")
	flags.StringVar(&f.ignition, "ignition", "", "refused: boot entries cannot ask for Ignition in the first boot alone (`FILE`)")
	flags.StringVar(&f.config, "config", "", "add what `FILE` says: users, files, sizes, in the format of bootc-image-builder (config.toml or config.json)")
	flags.BoolVar(&f.allowMissing, "allow-missing-verity", false, "make a machine that boots although fs-verity is missing")
	flags.StringVar(&f.arch, "arch", "", "take the image for `ARCH`, such as arm64 (default: this machine's)")
	flags.StringVar(&f.seed, "seed", "", "make identifiers of partitions and file systems from `TEXT` (default: from the image)")
	flags.StringVar(&f.store, "store", "", "keep what was fetched in the directory `DIR` (default: bootc in the user's cache)")
	flags.IntVar(&f.keep, "keep", 3, "keep the `N` images in the store that were built last; 0 keeps all")
	flags.BoolVar(&f.dryRun, "dry-run", false, "only print what would be made")
	return cmd
}

func (a *App) buildDisk(ctx context.Context, image string, f buildDisk) error {
	o, err := f.options(image)
	if err != nil {
		return err
	}
	progress, done, err := a.progress(f.progressFlags)
	if err != nil {
		return err
	}
	defer done()
	o.Install.Registry = a.registryOptions(progress)
	o.Install.Registry.Architecture = f.arch
	plan, err := build.New(ctx, o)
	if err != nil {
		return err
	}
	defer plan.Close()
	if f.dryRun {
		_, err := fmt.Fprint(a.Stdout, plan)
		return err
	}
	id, files, err := plan.Apply(ctx, progress)
	done()
	if err != nil {
		return err
	}
	fmt.Fprintf(a.Stdout, "Digest: %s\nVerity: %s\n", plan.Manifest, id)
	for _, file := range files {
		fmt.Fprintln(a.Stdout, file)
	}
	return nil
}

func (f *buildDisk) options(image string) (o build.Options, err error) {
	o = build.Options{Types: f.types, Dir: f.output, Name: f.name, Store: f.store, Seed: f.seed, Keep: f.keep}
	if f.keep < 0 {
		return o, fmt.Errorf("--keep %d: want a number from 0 on", f.keep)
	}
	o.Install = install.Options{Kargs: f.kargs, AllowMissingVerity: f.allowMissing}
	if o.Install.Source, err = bootc.ParseRef(image); err != nil {
		return o, err
	}
	if err := f.settingFlags.set(&o.Install); err != nil {
		return o, err
	}
	if f.target != "" {
		if o.Install.Target, err = parseTarget(f.targetTransport, f.target); err != nil {
			return o, fmt.Errorf("--target-imgref: %w", err)
		}
	}
	if err := f.checkInput(); err != nil {
		return o, err
	}
	if f.ignition != "" {
		return o, errors.New("--ignition is not supported: boot entries cannot ask for Ignition in the first boot alone; --nocloud, --config and credentials are there")
	}
	if err := f.credentialFlags.apply(&o.Install); err != nil {
		return o, err
	}
	if f.sshKeys != "" {
		if o.Install.SSHKeys, err = readFile("--root-ssh-authorized-keys", f.sshKeys); err != nil {
			return o, err
		}
	}
	if f.noCloud != "" {
		if o.NoCloud, err = readSeed("--nocloud", f.noCloud); err != nil {
			return o, err
		}
	}
	if err := f.customize(&o); err != nil {
		return o, err
	}
	for option, c := range map[string]struct {
		text string
		to   *uint64
	}{"--size": {f.size, &o.Size}, "--root-size": {f.rootSize, &o.Install.Storage.RootSize}} {
		if c.text == "" {
			continue
		}
		if *c.to, err = storage.ParseSize(c.text); err != nil {
			return o, fmt.Errorf("%s: %w", option, err)
		}
	}
	if o.Store == "" {
		cache, err := os.UserCacheDir()
		if err != nil {
			return o, errors.New("there is no home directory to keep images in, so --store is needed")
		}
		o.Store = filepath.Join(cache, "bootc")
	}
	o.Time, err = sourceDate(os.Getenv("SOURCE_DATE_EPOCH"))
	return o, err
}

// checkInput refuses options that would all read standard input.
func (f *buildDisk) checkInput() error {
	n := f.credentialFlags.fromInput()
	for _, name := range []string{f.config, f.sshKeys, f.noCloud} {
		if name == "-" {
			n++
		}
	}
	if n > 1 {
		return fmt.Errorf("%d options cannot all be read from standard input", n)
	}
	return nil
}

// customize reads the config.
func (f *buildDisk) customize(o *build.Options) error {
	if f.config == "" {
		return nil
	}
	data, err := readFile("--config", f.config)
	if err != nil {
		return err
	}
	b, err := blueprint.Parse(f.config, data)
	if err != nil {
		return fmt.Errorf("--config %s: %w", f.config, err)
	}
	o.Customize = *b
	return nil
}

// sourceDate reads SOURCE_DATE_EPOCH, nil if it is not set.
func sourceDate(text string) (*int64, error) {
	if text == "" {
		return nil, nil
	}
	t, err := strconv.ParseInt(text, 10, 64)
	if err != nil || t < 0 {
		return nil, fmt.Errorf("SOURCE_DATE_EPOCH %q: want seconds since 1970", text)
	}
	return &t, nil
}
