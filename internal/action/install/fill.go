package install

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"strings"

	"github.com/bootc-go/bootc"
	"github.com/bootc-go/bootc/internal/content/images"
	"github.com/bootc-go/bootc/internal/format/installconfig"
	"github.com/bootc-go/bootc/internal/machine"
	"github.com/bootc-go/bootc/internal/machine/bootable"
	"github.com/bootc-go/bootc/internal/machine/change"
	"github.com/bootc-go/bootc/internal/machine/custom"
	"github.com/bootc-go/bootc/internal/machine/deploy"
)

// Fill puts the image on the new file systems of a machine. The boot entry comes last: a
// disk without it does not boot, one with it boots a whole system.
func (p *Plan) Fill(ctx context.Context, m *machine.Machine, progress bootc.Progress) (bootc.ID, error) {
	img, err := m.Repo.Pull(ctx, p.source, progress)
	if err != nil {
		return "", err
	}
	if img.Config.Config.Labels["containers.bootc"] == "" {
		progress.Send(bootc.Notice{Text: "notice: Image is missing label: containers.bootc"})
	}
	system, err := bootable.Read(img.Tree, m.Repo.ReadFile, img.Config.Architecture)
	if err != nil {
		return "", err
	}
	c, err := p.config(img, m.Repo.ReadFile, progress)
	if err != nil {
		return "", err
	}
	id, err := p.compose(ctx, m, img, system, c)
	if err != nil {
		return "", err
	}
	if err := m.CheckKernel(system, img.Config.Architecture); err != nil {
		return "", err
	}
	boots, err := m.Repo.ReadImage(id)
	if err != nil {
		return "", err
	}
	st, err := p.state(ctx, m, boots)
	if err != nil {
		return "", err
	}
	return id, change.Run(ctx, "installing", p.steps(m, img, st, system, id, p.options(c, system, id)), progress)
}

// config is what the image says about its installation, checked. In a container of
// the image that was looked at before.
func (p *Plan) config(img *images.Image, read bootable.Reader, progress bootc.Progress) (*installconfig.Config, error) {
	c := p.Options.Config
	if c == nil {
		var err error
		if c, err = readImageConfig(img.Tree, read, img.Config.Architecture); err != nil {
			return nil, err
		}
	}
	for _, key := range c.Unknown {
		progress.Send(bootc.Notice{Text: "notice: " + key + ": unknown key, which is passed over"})
	}
	return c, p.Options.checkConfig(c)
}

func (p *Plan) compose(ctx context.Context, m *machine.Machine, img *images.Image, system *bootable.System, c *installconfig.Config) (bootc.ID, error) {
	if system.UKI != nil {
		if err := p.checkSealedOptions(); err != nil {
			return "", err
		}
		line, err := m.UKICmdline(system)
		if err != nil {
			return "", err
		}
		if err := checkSealed(c, line); err != nil {
			return "", err
		}
		return m.ComposeUKI(ctx, img, system, p.Options.AllowMissingVerity)
	}
	id, err := m.Repo.Compose(ctx, img)
	if err != nil {
		return "", fmt.Errorf("composing the image: %w", err)
	}
	return id, nil
}

// steps fill the machine. st is what /etc and /var become, labels included, options
// the kernel command line.
func (p *Plan) steps(m *machine.Machine, img *images.Image, st state, system *bootable.System, id bootc.ID, options string) []change.Step {
	o := deploy.Origin{Ref: p.Options.Target, BootType: deploy.BLS, Manifest: img.Manifest}
	if system.UKI != nil {
		o.BootType = deploy.UKI
	} else {
		o.Options = options
	}
	var artefacts machine.Artefacts
	return []change.Step{
		{Name: "tagging the image", Do: func(context.Context) error {
			return m.Repo.Tag(img.Manifest)
		}},
		{Name: "copying /var", Do: func(ctx context.Context) error {
			return m.State.CopyVar(ctx, st.tree, st.open)
		}},
		{Name: "copying the boot loader", Do: func(ctx context.Context) error {
			return m.InstallLoader(ctx, img)
		}},
		{Name: "copying credentials", Do: func(ctx context.Context) error {
			return p.writeCredentials(ctx, m, system.UKI == nil)
		}},
		{Name: "copying kernel and initrd", Do: func(ctx context.Context) (err error) {
			artefacts, err = m.WriteArtefacts(ctx, id, system)
			o.BootDigest = artefacts.Digest
			return err
		}},
		{Name: "creating the deployment", Do: func(ctx context.Context) error {
			return m.State.Create(ctx, id, st.tree, st.open, o)
		}},
		{Name: "adding root's SSH keys", Do: func(context.Context) error {
			return p.writeSSHKeys(m, id)
		}},
		{Name: "flushing", Do: func(context.Context) error {
			return m.Repo.Sync()
		}},
		{Name: "writing the boot entry", Do: func(context.Context) error {
			return m.WriteFirstEntry(artefacts, system, options)
		}},
	}
}

// writeSSHKeys lets systemd-tmpfiles make root's authorized_keys at boot, as
// root's home is in /var.
func (p *Plan) writeSSHKeys(m *machine.Machine, id bootc.ID) error {
	if len(p.Options.SSHKeys) == 0 {
		return nil
	}
	line := fmt.Sprintf("d /root/.ssh 0700 root root - -\nf~ /root/.ssh/authorized_keys 600 root root - %s\n", base64.StdEncoding.EncodeToString(p.Options.SSHKeys))
	return m.State.WriteEtcFile(id, custom.RootKeys, []byte(line), 0o644)
}

// parseContainerEnv finds the image in /run/.containerenv, which podman writes
// with imageid and image lines.
func parseContainerEnv(data []byte) (source, target bootc.Ref, err error) {
	values := map[string]string{}
	lines := bufio.NewScanner(bytes.NewReader(data))
	for lines.Scan() {
		if key, value, ok := strings.Cut(lines.Text(), "="); ok {
			values[key] = strings.Trim(value, `"`)
		}
	}
	if values["rootless"] == "1" {
		return source, target, fmt.Errorf("the container is rootless; installing needs one that root runs")
	}
	if values["imageid"] == "" {
		return source, target, fmt.Errorf("the container does not know its image (/run/.containerenv has no imageid; run it with podman --privileged), so --source-imgref is needed to say which image to install")
	}
	source = bootc.Ref{Transport: bootc.ContainersStorage, Name: values["imageid"]}
	target = bootc.Ref{Transport: bootc.Registry, Name: values["image"]}
	if target.Name == "" {
		target = source
	}
	return source, target, nil
}
