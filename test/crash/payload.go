package crash

import (
	"crypto/sha256"
	"fmt"
	"path/filepath"

	"github.com/bootc-go/bootc/internal/content/images/imagestest"
)

// An Image is one of the small images that the recorded machine runs. Its kernel
// and initrd boot nothing; what counts is that they are whole.
type Image struct {
	Version                string
	Kernel, Initrd, Loader string // SHA-256, in hex
}

// The sizes of what is in an image: about 10 MB in 200 files.
const (
	kernelSize = 2_500_000
	initrdSize = 3_300_000
	toolCount  = 130
)

// kernels says which kernel the versions have. Two have the same, so that it is
// shared on the EFI system partition. The last version is not in the recording: it
// is what the next upgrade brings.
var kernels = [...]string{"a", "b", "b", "c", "a", "d"}

// SaveImages writes the images as OCI layouts below a directory, v1, v2 and so
// on, and describes them.
func SaveImages(dir string) ([]Image, error) {
	var all []Image
	for i, kernel := range kernels {
		version := fmt.Sprint(i + 1)
		vmlinuz, initrd, loader := imagestest.Kernel("kernel "+kernel, kernelSize, "amd64"), imagestest.Big("initrd "+kernel, initrdSize), imagestest.Big("loader", 90_000)
		base := imagestest.Base()
		add := func(name, body string) { base = append(base, imagestest.File(name, body)) }
		for _, d := range []string{
			"dev", "proc", "sys", "usr/lib64", "usr/sbin", "usr/lib/modules", "usr/lib/modules/6.1", "usr/lib/systemd",
			"usr/lib/systemd/boot", "usr/lib/systemd/boot/efi", "usr/share", "usr/share/tools", "etc/app.d", "etc/containers", "var/lib", "var/tmp",
		} {
			base = append(base, imagestest.Entry{Name: d + "/"})
		}
		for _, name := range []string{"bin", "lib", "lib64", "sbin"} {
			base = append(base, imagestest.Entry{Name: name, Link: "usr/" + name})
		}
		add("usr/lib/modules/6.1/vmlinuz", vmlinuz)
		add("usr/lib/modules/6.1/initramfs.img", initrd)
		add("usr/lib/systemd/boot/efi/systemd-bootx64.efi", loader)
		add("var/lib/seed", "the first image's")
		for n := range toolCount {
			add(fmt.Sprintf("usr/share/tools/%03d", n), imagestest.Big(fmt.Sprint("tool ", n), 500+n*n*2))
		}
		top := []imagestest.Entry{
			imagestest.File("usr/lib/os-release", "ID=crash\nVERSION_ID="+version+"\nPRETTY_NAME=Crash\n"),
			imagestest.File("etc/containers/policy.json", `{"default":[{"type":"insecureAcceptAnything"}]}`),
			imagestest.File("etc/kept", "image"),
			imagestest.File("etc/taken", "image "+version),
			imagestest.File("etc/of-"+version, "image "+version),
			imagestest.File("usr/share/changed", imagestest.Big("changed "+version, 30_000)),
			{Name: "etc/link", Link: "kept"},
		}
		for n := range 20 {
			top = append(top, imagestest.File(fmt.Sprintf("etc/app.d/%02d", n), imagestest.Big(fmt.Sprint("app ", n, " ", version), 40+n*120)))
		}
		layers := []imagestest.Layer{{Entries: base, Compression: imagestest.Gzip}, {Entries: top, Compression: imagestest.Gzip}}
		if err := imagestest.New(imagestest.Options{Version: version}, layers...).SaveLayout(filepath.Join(dir, "v"+version)); err != nil {
			return nil, err
		}
		all = append(all, Image{Version: version, Kernel: sum(vmlinuz), Initrd: sum(initrd), Loader: sum(loader)})
	}
	return all, nil
}

func sum(text string) string { return fmt.Sprintf("%x", sha256.Sum256([]byte(text))) }
