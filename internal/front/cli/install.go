package cli

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/bootc-go/bootc"
	"github.com/bootc-go/bootc/internal/action/install"
	"github.com/bootc-go/bootc/internal/machine"
	"github.com/bootc-go/bootc/internal/machine/storage"
)

func (a *App) installCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "install",
		Short: "Install an image to a disk",
		Args:  cobra.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(a.toDiskCommand(), a.interactiveCommand(), a.printConfigurationCommand())
	for _, name := range []string{"to-filesystem", "to-existing-root", "reset", "finalize", "ensure-completion"} {
		cmd.AddCommand(missing(name))
	}
	return cmd
}

// settingFlags decide what an image may decide too, in its installation defaults.
type settingFlags struct {
	filesystem, blockSetup, bootloader string
}

func (f *settingFlags) add(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&f.filesystem, "filesystem", "", "file system of the root: ext4 (default: what the image says, or ext4)")
	flags.StringVar(&f.blockSetup, "block-setup", "", "how the root is kept on the disk: direct (default: what the image says, or direct)")
	flags.StringVar(&f.bootloader, "bootloader", "", "boot loader: systemd (default: what the image says, or systemd)")
}

// set refuses what there is not yet.
func (f *settingFlags) set(o *install.Options) error {
	for _, s := range []struct{ option, got, only string }{
		{"--filesystem", f.filesystem, "ext4"}, {"--block-setup", f.blockSetup, "direct"}, {"--bootloader", f.bootloader, "systemd"},
	} {
		if s.got != "" && s.got != s.only {
			return fmt.Errorf("%s %s is not supported yet, only %s is", s.option, s.got, s.only)
		}
	}
	o.Storage.Filesystem, o.BlockSetup, o.Bootloader = f.filesystem, f.blockSetup, f.bootloader
	return nil
}

// toDisk are the options of install to-disk.
type toDisk struct {
	progressFlags
	settingFlags
	source, target, targetTransport string
	sshKeys, rootSize               string
	kargs                           []string
	wipe, composefs, allowMissing   bool
	generic, noSELinux              bool
	skipCheck, noSignature          bool
}

func (a *App) toDiskCommand() *cobra.Command {
	var f toDisk
	cmd := &cobra.Command{
		Use:   "to-disk DEVICE",
		Short: "Partition a disk and install the image on it",
		Long: "Partition a disk and install an image on it. Everything on the disk is lost.\n" +
			"In a container, the image is the container's own; in a system that was booted\n" +
			"from a medium, such as an ISO, the medium's.",
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := a.toDisk(cmd.Context(), args[0], f); err != nil {
				return fmt.Errorf("cannot install to %s: %w", args[0], err)
			}
			return nil
		},
	}
	flags := cmd.Flags()
	f.progressFlags.add(cmd)
	flags.BoolVar(&f.wipe, "wipe", false, "erase a disk that has partitions or file systems")
	flags.StringVar(&f.source, "source-imgref", "", "read the image from `REF`, such as docker://registry.example.com/os:stable")
	flags.StringVar(&f.target, "target-imgref", "", "record `REF` as the image that the machine follows (default: the source)")
	flags.StringVar(&f.targetTransport, "target-transport", "registry", "how --target-imgref is to be read")
	flags.StringArrayVar(&f.kargs, "karg", nil, "add a kernel argument (may be repeated)")
	flags.StringVar(&f.sshKeys, "root-ssh-authorized-keys", "", "let the keys in `FILE` log in as root")
	flags.StringVar(&f.rootSize, "root-size", "", "size of the root partition, such as 20G (a plain number is MiB; default: the rest of the disk)")
	f.settingFlags.add(cmd)
	flags.BoolVar(&f.noSELinux, "disable-selinux", false, "start the machine without SELinux (adds selinux=0)")
	flags.BoolVar(&f.composefs, "composefs-backend", false, "accepted: there is no other backend")
	flags.BoolVar(&f.allowMissing, "allow-missing-verity", false, "boot although fs-verity is missing")
	flags.BoolVar(&f.generic, "generic-image", false, "nothing of this machine goes into the installation: its firmware is not told of the disk")
	flags.BoolVar(&f.skipCheck, "skip-fetch-check", false, "accepted: no check is made")
	flags.BoolVar(&f.noSignature, "target-no-signature-verification", false, "accepted: the containers policy decides")
	flags.MarkHidden("skip-fetch-check")
	flags.MarkHidden("target-no-signature-verification")
	refuse(cmd, "enforce-container-sigpolicy", "run-fetch-check", "karg-delete", "bound-images", "stateroot",
		"bootupd-skip-boot-uuid", "via-loopback", "uki-addon", "experimental-unified-storage")
	return cmd
}

func (a *App) toDisk(ctx context.Context, device string, f toDisk) error {
	if os.Geteuid() != 0 {
		return errors.New("this command must be run as root")
	}
	o, err := f.options(device)
	if o.Medium != nil {
		defer o.Medium.Close()
	}
	if err != nil {
		return err
	}
	firmware, err := f.firmware(o.Medium)
	if err != nil {
		return err
	}
	progress, done, err := a.progress(f.progressFlags)
	if err != nil {
		return err
	}
	defer done()
	o.Registry = a.registryOptions(progress)
	plan, err := install.New(ctx, o)
	if err != nil {
		return err
	}
	defer plan.Close()
	id, err := plan.Apply(ctx, progress)
	if err == nil {
		tellFirmware(plan, firmware, progress)
	}
	done()
	if err != nil {
		return err
	}
	fmt.Fprintln(a.Stdout, "Installation complete!")
	fmt.Fprintf(a.Stdout, "  Image: %s\n  Digest: %s\n  Verity: %s\n", plan.Options.Target, plan.Manifest, id)
	fmt.Fprintf(a.Stdout, "Boot the machine from %s.\n", device)
	return nil
}

// firmware is what is told of the disk; nil if nothing is: only a machine that was
// booted from a medium is the one that will start the disk.
func (f *toDisk) firmware(m *machine.Medium) (*os.Root, error) {
	if m == nil || f.generic {
		return nil, nil
	}
	return install.Firmware()
}

func (f *toDisk) options(device string) (o install.Options, err error) {
	o = install.Options{Device: device, Kargs: f.kargs, AllowMissingVerity: f.allowMissing, DisableSELinux: f.noSELinux}
	if err := f.setSource(&o); err != nil {
		return o, err
	}
	if f.target != "" {
		if o.Target, err = parseTarget(f.targetTransport, f.target); err != nil {
			return o, fmt.Errorf("--target-imgref: %w", err)
		}
	}
	if f.sshKeys != "" {
		if o.SSHKeys, err = readFile("--root-ssh-authorized-keys", f.sshKeys); err != nil {
			return o, err
		}
	}
	o.Storage = storage.Options{Wipe: f.wipe}
	if err := f.settingFlags.set(&o); err != nil {
		return o, err
	}
	if f.rootSize != "" {
		if o.Storage.RootSize, err = storage.ParseSize(f.rootSize); err != nil {
			return o, fmt.Errorf("--root-size: %w", err)
		}
	}
	return o, nil
}

// setSource says where the image comes from: from where it was said, from the medium
// that the system runs from, or from the container.
func (f *toDisk) setSource(o *install.Options) (err error) {
	if f.source != "" {
		o.Source, err = bootc.ParseRef(f.source)
		return err
	}
	o.Medium, err = machine.OpenMedium()
	if errors.Is(err, machine.ErrNoMedium) {
		o.Source, o.Target, err = install.Source()
	}
	if err != nil {
		return err
	}
	o.Config, err = runningConfig()
	return err
}
