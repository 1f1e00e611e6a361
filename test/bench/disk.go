package main

import (
	"archive/tar"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"strings"
)

// diskSize is that of the disks of all contenders; most of it are holes.
const diskSize = "4G"

// bootable is the Debian image with its kernel where bootc looks for it: a second
// layer.
func (b *bench) bootable() (string, error) {
	base, err := b.debian("debian", debianPackages)
	if err != nil {
		return "", err
	}
	return b.input("debian-bootable", func(path string) error {
		return writeLayout(path, base, rootFS(func(t *tar.Writer) error {
			return copyKernel(t, filepath.Join(b.cache, "debian.tar"))
		}), gzip.DefaultCompression)
	})
}

// copyKernel copies kernel and initrd from /boot of an archive.
func copyKernel(t *tar.Writer, archive string) error {
	f, err := os.Open(archive)
	if err != nil {
		return err
	}
	defer f.Close()
	for r := tar.NewReader(f); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		for old, name := range map[string]string{"vmlinuz-": "vmlinuz", "initrd.img-": "initramfs.img"} {
			version, ok := strings.CutPrefix(path.Clean(h.Name), "boot/"+old)
			if !ok {
				continue
			}
			h.Name = "usr/lib/modules/" + version + "/" + name
			if err := t.WriteHeader(h); err != nil {
				return err
			}
			if _, err := io.Copy(t, r); err != nil {
				return err
			}
		}
	}
}

// trust lets build-disk take any image.
const trust = `mkdir -p .config/containers; echo '{"default":[{"type":"insecureAcceptAnything"}]}' > .config/containers/policy.json`

// build makes name.raw and the like, and keeps what it imports in the directory
// store.
func (b *bench) build(layout, kind, name string) string {
	return fmt.Sprintf("exec env HOME=\"$PWD\" %s build-disk --quiet --type %s --size %s --store store --output . --name %s oci:%s:%s",
		b.bootc, kind, diskSize, name, layout, tag)
}

// layers lists the files of an image's layers.
func layers(layout string) (files []string, err error) {
	m, err := readManifest(layout)
	if err != nil {
		return nil, err
	}
	for _, l := range m.Layers {
		files = append(files, blobPath(layout, l.Digest))
	}
	return files, nil
}

// Definitions of a disk with the tree root in it, for the tools that take such.
const (
	genimageConfig = `cat > genimage.cfg <<E
image root.ext4 { ext4 { use-mke2fs = true } size = 3G }
image disk.raw { hdimage { partition-table-type = "gpt" } partition root { image = "root.ext4" } }
E`
	repartConfig = `mkdir repart.d; printf '[Partition]\nType=root\nFormat=ext4\nCopyFiles=/\n' > repart.d/root.conf`
)

var diskRow = row{
	name:   "disk",
	what:   "the Debian image, two gzip layers in an OCI layout → a raw disk, with an empty store, durable",
	target: "1.5 × the limit, and faster than all others; at most 128 MiB of memory and 300 bytes for each file",
	contenders: func(b *bench) ([]contender, error) {
		layout, err := b.bootable()
		if err != nil {
			return nil, err
		}
		files, err := layers(layout)
		if err != nil {
			return nil, err
		}
		unpack := "mkdir root"
		for _, f := range files {
			unpack += "; tar -xzf " + f + " -C root"
		}
		mke2fs := "mke2fs -q -t ext4 -O verity -d root disk.raw 3G"
		pull := b.imports(layout)[0]
		return []contender{
			{name: "bootc", setup: trust, work: b.build(layout, "raw", "disk"), store: "store"},
			{name: "tar -x, then mke2fs -d", needs: "mke2fs", work: unpack + "; exec " + mke2fs},
			{name: "mke2fs -d of what tar gave", needs: "mke2fs", setup: unpack, work: "exec " + mke2fs},
			{name: "systemd-repart --offline of the same", check: "systemd-repart --help | grep -e --offline", setup: unpack + "; " + repartConfig,
				work: "exec systemd-repart --offline=yes --dry-run=no --empty=create --size=" + diskSize + ` --definitions="$PWD/repart.d" --root="$PWD/root" disk.raw`},
			{name: "genimage of the same", needs: "genimage", setup: unpack + "; " + genimageConfig,
				work: "exec genimage --loglevel 0 --rootpath root --tmppath tmp --inputpath . --outputpath . --config genimage.cfg"},
			{name: "virt-make-fs of the same", needs: "virt-make-fs", setup: unpack,
				work: "exec virt-make-fs --format=raw --partition=gpt --type=ext4 --size=" + diskSize + " root disk.raw"},
			{name: "limit: zcat | sha512sum, then cp of the objects", setup: pull.setup + "; " + trimExec(pull.work),
				work: "cat " + strings.Join(files, " ") + " | zcat | sha512sum; exec cp -r --sparse=always objects copy"},
		}, nil
	},
}

// formatRow compares a type with what qemu-img makes of the raw disk.
func formatRow(kind, convert string) row {
	return row{
		name:   kind,
		what:   "the same, with a store that has the image → " + kind,
		target: "with what is over the time of the raw disk, the time of qemu-img convert",
		contenders: func(b *bench) ([]contender, error) {
			layout, err := b.bootable()
			if err != nil {
				return nil, err
			}
			setup := trust + "; (" + b.build(layout, "raw", "base") + ")"
			return []contender{
				{name: "bootc", setup: setup, work: b.build(layout, kind, "disk")},
				{name: "bootc, the raw disk", setup: setup, work: b.build(layout, "raw", "disk")},
				{name: "qemu-img convert of the raw disk", needs: "qemu-img", setup: setup, work: "exec qemu-img convert -f raw " + convert + " base.raw disk"},
			}, nil
		},
	}
}

var againRow = row{
	name:   "again",
	what:   "the same with a layer of 1 MiB on top → a raw disk, with a store that has the image without",
	target: "the time of the same image again; in the store only the difference",
	contenders: func(b *bench) ([]contender, error) {
		base, err := b.bootable()
		if err != nil {
			return nil, err
		}
		layout, err := b.derived("derived-bootable", base)
		if err != nil {
			return nil, err
		}
		setup := trust + "; (" + b.build(base, "raw", "base") + ")"
		return []contender{
			{name: "bootc", setup: setup, work: b.build(layout, "raw", "disk"), store: "store"},
			{name: "bootc, the same image again", setup: setup, work: b.build(base, "raw", "disk"), store: "store"},
			{name: "bootc, with an empty store", setup: trust, work: b.build(layout, "raw", "disk"), store: "store"},
		}, nil
	},
}
