package vm_test

import (
	"bytes"
	"errors"
	"io"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/bootc-go/bootc/internal/format/erofs"
	"github.com/bootc-go/bootc/internal/format/layer"
	"github.com/bootc-go/bootc/internal/format/tree"
	"github.com/bootc-go/bootc/internal/format/verity"
	"github.com/bootc-go/bootc/test/vm"
)

// TestUKI installs an image with a unified kernel image, upgrades it to another
// and goes back.
func TestUKI(t *testing.T) {
	s := newStory(t)
	v1 := s.v1(vm.Dracut)
	first := s.uki(v1)
	second := s.uki(s.derive(v1, "other"))
	ref := s.publish(first, "uki:stable")

	disk := s.disk("disk", "10G")
	live := s.live("live", v1, disk)
	said := live.mustFail("bootc install to-disk --source-imgref docker://" + ref + " --karg lab=1 /dev/vdb")
	t.Logf("with --karg: %s", said)
	live.run("bootc install to-disk --wipe --source-imgref docker://" + ref + " --root-ssh-authorized-keys /root/.ssh/authorized_keys /dev/vdb")
	live.shutdown()

	g := s.boot("machine", vm.Hardware{Disks: []vm.Disk{disk}})
	g.wantWhole("1")
	g.wantIn("bootc status --booted --json", `"bootType":"Uki"`)
	g.wantIn("cat /proc/cmdline", "lab.uki=1")
	g.wantIn("findmnt -no OPTIONS /", "verity=require")

	s.publish(second, "uki:stable")
	g.wantIn("bootc upgrade", "Queued for next boot")
	g.reboot()
	g.wantWhole("other")
	g.wantIn("bootc status --booted --json", `"bootType":"Uki"`)
	g.run("bootc rollback")
	g.reboot()
	g.wantRunning("1")
	g.shutdown()
}

// uki derives the image with a unified kernel image that names its digest.
func (s *story) uki(from *vm.Image) *vm.Image {
	s.t.Helper()
	digest, err := s.bootDigest(from)
	s.must(err)
	img, err := s.lab.UKI(s.ctx, from, digest, "rw console=ttyS0 lab.uki=1")
	s.must(err)
	return img
}

// bootDigest computes what composefs= is for an image. What lies in /boot does
// not count, so that a unified kernel image can name it.
func (s *story) bootDigest(img *vm.Image) (string, error) {
	as := "digest:" + img.Key()
	s.publish(img, as)
	ref, err := name.ParseReference(s.lab.Registry().HostName(as), name.Insecure)
	if err != nil {
		return "", err
	}
	pushed, err := remote.Image(ref, remote.WithContext(s.ctx))
	if err != nil {
		return "", err
	}
	layers, err := pushed.Layers()
	if err != nil {
		return "", err
	}
	t := tree.New()
	for _, l := range layers {
		r, err := l.Uncompressed()
		if err != nil {
			return "", err
		}
		entries, err := layer.Read(r, digests{}, nil, layer.Limits{})
		if err := errors.Join(err, r.Close()); err != nil {
			return "", err
		}
		if err := layer.Apply(t, entries); err != nil {
			return "", err
		}
	}
	if err := layer.Plain(t); err != nil {
		return "", err
	}
	noFiles := func(*tree.Node) ([]byte, error) { return nil, errors.New("contents are not kept") }
	if err := layer.Boot(t, noFiles); err != nil {
		return "", err
	}
	var image bytes.Buffer
	if err := erofs.Write(&image, t, erofs.Options{}); err != nil {
		return "", err
	}
	return verity.Sum(verity.SHA512, image.Bytes()).String(), nil
}

// digests keeps nothing of a file but its digest.
type digests struct{}

func (digests) Object(r io.Reader, _ int64) (verity.Digest, error) {
	h := verity.New(verity.SHA512)
	if _, err := io.Copy(h, r); err != nil {
		return verity.Digest{}, err
	}
	return h.Sum(), nil
}
