// Package install puts an image on a disk: partitions, file systems, the image
// repository, the first deployment, the boot loader.
//
// The image comes from wherever one is kept, or from the medium that the system was
// booted from ([Options.Medium]), without a network and with what the medium has in
// /etc and /var.
//
// An image may say how it wants to be installed ([ReadConfig]). In a container of
// the image that is known before the disk is erased; else it is read once the
// image is on the disk, and what there is not ends the installation then.
//
// [New] only reads: it asks for the image's manifest and looks at the disk.
// [Plan.Apply] erases the disk. A failed install leaves no mount behind and can
// be run again.
package install

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/bootc-go/bootc"
	"github.com/bootc-go/bootc/internal/content/images"
	"github.com/bootc-go/bootc/internal/content/registry"
	"github.com/bootc-go/bootc/internal/format/blueprint"
	"github.com/bootc-go/bootc/internal/format/credential"
	"github.com/bootc-go/bootc/internal/format/gpt"
	"github.com/bootc-go/bootc/internal/format/installconfig"
	"github.com/bootc-go/bootc/internal/machine"
	"github.com/bootc-go/bootc/internal/machine/storage"
)

// Options say what to install. Source or Medium is needed, and Device for
// [Plan.Apply].
type Options struct {
	Device  string    // the disk, /dev/vda; "" for a plan that only fills a machine
	Source  bootc.Ref // where the image is read from
	Target  bootc.Ref // what the machine follows later; zero: Source
	Kargs   []string  // more kernel arguments
	SSHKeys []byte    // authorized_keys of root; nil: none
	// Credentials are for systemd, in every boot; see package credential.
	Credentials []credential.Credential
	// Medium is what the system was booted from, if the image is to be the medium's:
	// Source, the first kernel arguments and whether fs-verity may be missing are the
	// medium's then. It stays the caller's; nil: Source says where the image is.
	Medium *machine.Medium
	// Customize adds users and files to what a medium has; without a medium it is
	// not used. Sizes and kernel arguments in it are not looked at.
	Customize blueprint.Blueprint
	// DisableSELinux starts the machine without SELinux (selinux=0). The labels of
	// the files are the image's all the same.
	DisableSELinux bool
	// Config are the image's installation defaults; nil: those in Source.
	Config *installconfig.Config
	// BlockSetup and Bootloader decide in place of Config: "direct", "systemd".
	// "" leaves it to Config, and so does the Filesystem in Storage.
	BlockSetup, Bootloader string
	// AllowMissingVerity makes a machine that does not insist on fs-verity.
	AllowMissingVerity bool
	Storage            storage.Options
	Registry           registry.Options
}

// A Plan says what an installation would do.
type Plan struct {
	Options  Options
	Manifest bootc.Digest
	Layout   *storage.Plan

	source source
	// erased are the partitions that the disk has now.
	erased []gpt.GUID
}

// A source is where the image is read from.
type source interface {
	images.Source
	Close() error
}

// New checks the disk and the image. The caller closes the plan.
func New(ctx context.Context, o Options) (_ *Plan, err error) {
	if err := checkKargs(o.Kargs); err != nil {
		return nil, fmt.Errorf("--karg: %w", err)
	}
	if err := credential.Check(o.Credentials); err != nil {
		return nil, err
	}
	p := &Plan{}
	if o.Medium != nil {
		if p.source, err = o.fromMedium(); err != nil {
			return nil, err
		}
	}
	if o.Target == (bootc.Ref{}) {
		o.Target = o.Source
	}
	if o.Config != nil {
		if err := o.checkConfig(o.Config); err != nil {
			return nil, err
		}
	}
	if o.Device != "" {
		if p.Layout, err = storage.New(o.Device, o.Storage); err != nil {
			return nil, err
		}
		p.erased = partitions(o.Device)
	}
	if p.source == nil {
		if p.source, err = registry.Open(ctx, o.Source, o.Registry); err != nil {
			return nil, err
		}
	}
	p.Options, p.Manifest = o, p.source.Digest()
	if err := p.checkRoom(); err != nil {
		return nil, errors.Join(err, p.source.Close())
	}
	return p, nil
}

// Close releases the image's source.
func (p *Plan) Close() error { return p.source.Close() }

// Source finds the image that the running container was made from, and the
// reference under which a machine finds newer ones.
func Source() (source, target bootc.Ref, err error) {
	info, err := os.ReadFile("/run/.containerenv")
	if errors.Is(err, os.ErrNotExist) {
		return source, target, errors.New("not running in a container of the image, so --source-imgref is needed to say which image to install")
	}
	if err != nil {
		return source, target, err
	}
	return parseContainerEnv(info)
}

// Apply erases the disk and installs.
func (p *Plan) Apply(ctx context.Context, progress bootc.Progress) (id bootc.ID, err error) {
	progress.Send(bootc.Notice{Text: fmt.Sprintf("Installing image: %s", p.Options.Source.Containers())})
	progress.Send(bootc.Notice{Text: fmt.Sprintf("Digest: %s", p.Manifest)})
	parts, err := p.Layout.Make(ctx)
	if err != nil {
		return "", fmt.Errorf("partitioning %s: %w", p.Options.Device, err)
	}
	m, err := machine.Create(parts.Root, parts.ESP, p.Options.AllowMissingVerity)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, m.Close()) }()
	return p.Fill(ctx, m, progress)
}
