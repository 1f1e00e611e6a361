package crash

import (
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"

	"github.com/bootc-go/bootc/internal/content/images/imagestest"
	"github.com/bootc-go/bootc/internal/format/cpio"
)

// An Image is one of the small images that the recorded machine runs.
type Image struct {
	Version                string
	Kernel, Initrd, Loader string // SHA-256, in hex
}

// toolCount is how many files an image has beside those that it boots with.
const toolCount = 130

// kernels says which kernel the versions have. Some have the same, so that it is
// shared on the EFI system partition. The last version is not in the recording: it
// is what the next upgrade brings.
var kernels = [...]string{"a", "b", "b", "c", "a", "d", "d", "e", "f"}

// nextVersion is what the next upgrade brings.
func nextVersion() string { return fmt.Sprint(len(kernels)) }

// SaveImages writes the images as OCI layouts below a directory, v1, v2 and so
// on, the name of the last to the file "next", and describes them. Without a system
// their kernels boot nothing; that of the last never does, and is small.
func SaveImages(dir string, s *System) ([]Image, error) {
	var all []Image
	for i, kernel := range kernels {
		of := s.or(kernel)
		if i == len(kernels)-1 {
			small := placeholder(kernel)
			of.Kernel, of.Initrd = small.Kernel, small.Initrd
		}
		version := fmt.Sprint(i + 1)
		layers := []imagestest.Layer{
			{Entries: bottom(of), Compression: imagestest.Gzip},
			{Entries: bootFiles(of), Compression: imagestest.Gzip},
			{Entries: top(version), Compression: imagestest.Gzip},
		}
		if err := imagestest.New(imagestest.Options{Version: version}, layers...).SaveLayout(filepath.Join(dir, "v"+version)); err != nil {
			return nil, err
		}
		all = append(all, Image{Version: version, Kernel: sum(of.Kernel), Initrd: sum(of.Initrd), Loader: sum(of.Loader)})
	}
	return all, os.WriteFile(filepath.Join(dir, "next"), []byte(nextVersion()), 0o644)
}

// or is the system with another kernel and another initramfs, which do the same: no
// sector of the two initramfs is like another. A placeholder for none.
func (s *System) or(kernel string) *System {
	if s == nil {
		return placeholder(kernel)
	}
	of := *s
	of.Kernel += imagestest.Big("kernel "+kernel, 64_000)
	// An archive of its own in front, so that all that follows is elsewhere.
	pad := cpio.Bytes([]cpio.Member{{Name: "of-" + kernel, Mode: 0o100644, Data: []byte(imagestest.Big("initrd "+kernel, 300_000))}})
	of.Initrd = string(pad) + of.Initrd
	return &of
}

// placeholder is a system whose kernel boots nothing.
func placeholder(kernel string) *System {
	return &System{
		Kernel: imagestest.Kernel("kernel "+kernel, 500_000, "amd64"), Initrd: imagestest.Big("initrd "+kernel, 700_000),
		Loader: imagestest.Big("loader", 90_000), Init: imagestest.Big("init", 30_000),
	}
}

// bottom is the layer that all versions share.
func bottom(s *System) []imagestest.Entry {
	all := imagestest.Base()
	for _, d := range []string{
		"dev", "proc", "sys", "usr/lib64", "usr/sbin", "usr/lib/bootc", "usr/lib/bootc/kargs.d", "usr/lib/systemd", "usr/lib/systemd/system",
		"usr/lib/systemd/boot", "usr/lib/systemd/boot/efi", "usr/share", "usr/share/tools", "etc/app.d", "etc/containers", "var/lib", "var/tmp",
	} {
		all = append(all, imagestest.Entry{Name: d + "/"})
	}
	for _, name := range []string{"bin", "lib", "lib64", "sbin"} {
		all = append(all, imagestest.Entry{Name: name, Link: "usr/" + name})
	}
	all = append(all,
		imagestest.Entry{Name: "usr/sbin/init", Body: s.Init, Mode: 0o755},
		imagestest.File("usr/lib/systemd/boot/efi/systemd-bootx64.efi", s.Loader),
		imagestest.File("usr/lib/bootc/kargs.d/10-console.toml", `kargs = ["console=ttyS0", "panic=-1"]`),
		// With it, the image can say that a boot is good, so its entry is on trial.
		imagestest.File("usr/lib/systemd/system/bootc-bless-boot.service", "[Service]\nExecStart=/usr/bin/bootc internals health bless\n"),
		imagestest.File("var/lib/seed", "the first image's"))
	for n := range toolCount {
		all = append(all, imagestest.File(fmt.Sprintf("usr/share/tools/%03d", n), imagestest.Big(fmt.Sprint("tool ", n), 500+n*n*2)))
	}
	return all
}

// bootFiles is the layer that versions with one kernel share.
func bootFiles(s *System) []imagestest.Entry {
	return []imagestest.Entry{
		{Name: "usr/lib/modules/"}, {Name: "usr/lib/modules/6.1/"},
		imagestest.File("usr/lib/modules/6.1/vmlinuz", s.Kernel),
		imagestest.File("usr/lib/modules/6.1/initramfs.img", s.Initrd),
	}
}

// top is the layer of one version.
func top(version string) []imagestest.Entry {
	all := []imagestest.Entry{
		imagestest.File("usr/lib/os-release", "ID=crash\nVERSION_ID="+version+"\nPRETTY_NAME=Crash\n"),
		imagestest.File("etc/containers/policy.json", `{"default":[{"type":"insecureAcceptAnything"}]}`),
		imagestest.File("etc/kept", "image"),
		imagestest.File("etc/taken", "image "+version),
		imagestest.File("etc/of-"+version, "image "+version),
		imagestest.File("usr/share/changed", imagestest.Big("changed "+version, 30_000)),
		{Name: "etc/link", Link: "kept"},
	}
	for n := range 20 {
		all = append(all, imagestest.File(fmt.Sprintf("etc/app.d/%02d", n), imagestest.Big(fmt.Sprint("app ", n, " ", version), 40+n*120)))
	}
	return all
}

func sum(text string) string { return fmt.Sprintf("%x", sha256.Sum256([]byte(text))) }
