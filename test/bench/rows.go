package main

import (
	"archive/tar"
	"compress/gzip"
	"fmt"
	"strconv"
)

// ours is the repository's verb of the program.
func (b *bench) ours() string { return b.bootc + " internals cfs" }

// imports are the two that import into a composefs repository.
func (b *bench) imports(layout string) []contender {
	pull := func(name, needs, tool string) contender {
		return contender{name: name, needs: needs, setup: tool + " --repo . init --insecure",
			work: "exec " + tool + " --repo . oci pull oci:" + layout + ":" + tag + " bench"}
	}
	return []contender{pull("bootc", "", b.ours()), pull("cfsctl", b.cfsctl, b.cfsctl)}
}

func layerBlob(layout string, number int) (string, error) {
	m, err := readManifest(layout)
	if err != nil {
		return "", err
	}
	return blobPath(layout, m.Layers[number].Digest), nil
}

var dumpRow = row{
	name:   "dump",
	what:   "a dump of 500 directories of 1,000 files → an EROFS image",
	target: "half the time of the others, a third of their memory",
	contenders: func(b *bench) ([]contender, error) {
		dump, err := b.input("500x1000.dump", writeDump)
		if err != nil {
			return nil, err
		}
		work := " --from-file " + dump + " image"
		verb := b.bootc + " internals mkcomposefs"
		return []contender{
			{name: "bootc", work: "exec " + verb + work},
			{name: "cfsctl mkcomposefs", needs: b.cfsctl, work: "exec " + b.cfsctl + " mkcomposefs" + work},
			{name: "mkcomposefs (C)", needs: "mkcomposefs", work: "exec mkcomposefs" + work},
		}, nil
	},
}

var pullRow = row{
	name:   "pull",
	what:   "a Debian root file system, one gzip layer in an OCI layout → objects and image, durable",
	target: "1.5 × zcat | sha512sum, and faster than cfsctl",
	contenders: func(b *bench) ([]contender, error) {
		layout, err := b.debian("debian", debianPackages)
		if err != nil {
			return nil, err
		}
		blob, err := layerBlob(layout, 0)
		if err != nil {
			return nil, err
		}
		unpack := "mkdir root; tar -xzf " + blob + " -C root"
		return append(b.imports(layout),
			contender{name: "skopeo → vfs", needs: "skopeo", work: "exec skopeo copy -q oci:" + layout + ":" + tag + " containers-storage:[vfs@$PWD/root+$PWD/run]localhost/bench"},
			contender{name: "tar -x", work: unpack},
			contender{name: "mkfs.erofs of what tar gave", needs: "mkfs.erofs", setup: unpack, work: "exec mkfs.erofs --quiet image root"},
			contender{name: "ostree commit of what tar gave", needs: "ostree", setup: unpack + "; ostree init --repo=repo --mode=bare-user-only",
				work: "exec ostree commit --repo=repo --branch=bench --tree=dir=root --canonical-permissions"},
			contender{name: "limit: zcat | sha512sum", work: "zcat < " + blob + " | sha512sum"},
			contender{name: "limit: cp of what tar gave", setup: unpack, work: "exec cp -a root copy"},
		), nil
	},
}

var derivedRow = row{
	name:   "derived",
	what:   "that image with a layer of 1 MiB on top, where the lower layer is there",
	target: "0.5 s; bytes read and written in proportion to the new layer",
	contenders: func(b *bench) ([]contender, error) {
		base, err := b.debian("debian", debianPackages)
		if err != nil {
			return nil, err
		}
		layout, err := b.derived("derived", base)
		if err != nil {
			return nil, err
		}
		all := b.imports(layout)
		for i, first := range b.imports(base) {
			all[i].setup = first.setup + "; " + trimExec(first.work)
		}
		return all, nil
	},
}

// derived is an image with a layer of 1 MiB on top.
func (b *bench) derived(name, base string) (string, error) {
	return b.input(name, func(path string) error {
		return writeLayout(path, base, rootFS(func(t *tar.Writer) error {
			n := noise()
			for i := range 16 {
				if err := file(t, "usr/lib/derived-"+strconv.Itoa(i), 64<<10, n); err != nil {
					return err
				}
			}
			return nil
		}), gzip.DefaultCompression)
	})
}

// trimExec makes of a work what can stand in a setup.
func trimExec(work string) string { return work[len("exec "):] }

var largeRow = row{
	name:   "large",
	what:   "a layer with one file of 4 GiB",
	target: "at most 128 MiB of memory",
	slow:   true,
	contenders: func(b *bench) ([]contender, error) {
		layout, err := b.input("large", func(path string) error {
			return writeLayout(path, "", rootFS(func(t *tar.Writer) error { return file(t, "usr/lib/large", 4<<30, noise()) }), gzip.BestSpeed)
		})
		if err != nil {
			return nil, err
		}
		blob, err := layerBlob(layout, 0)
		return append(b.imports(layout), contender{name: "limit: zcat | sha512sum", work: "zcat < " + blob + " | sha512sum"}), err
	},
}

var manyRow = row{
	name:   "many",
	what:   "a layer of 1,000,000 files of 100 bytes, all different, in 1,000 directories; to a tmpfs",
	target: "at most 414 MiB of memory: 128 and 300 bytes for each file",
	slow:   true,
	memory: true,
	contenders: func(b *bench) ([]contender, error) {
		layout, err := b.input("many", func(path string) error { return writeLayout(path, "", rootFS(manyFiles), gzip.BestSpeed) })
		return b.imports(layout), err
	},
}

func manyFiles(t *tar.Writer) error {
	n := noise()
	for i := range 1_000_000 {
		dir := fmt.Sprintf("usr/lib/%03d/", i/1000)
		if i%1000 == 0 {
			if err := directory(t, dir); err != nil {
				return err
			}
		}
		if err := file(t, fmt.Sprintf("%sfile-%06d", dir, i), 100, n); err != nil {
			return err
		}
	}
	return nil
}

var digestRow = row{
	name:   "digest",
	what:   "the bootable digest of a stored Debian image with an SELinux policy",
	target: "the time of cfsctl",
	contenders: func(b *bench) ([]contender, error) {
		layout, err := b.debian("debian-selinux", debianPackages+",selinux-policy-default")
		if err != nil {
			return nil, err
		}
		all := b.imports(layout)
		for i, tool := range []string{b.ours(), b.cfsctl} {
			all[i].setup += "; " + trimExec(all[i].work)
			all[i].work = "exec " + tool + " --repo . oci compute-id --bootable bench"
		}
		return all, nil
	},
}

var fsckRow = row{
	name:   "fsck",
	what:   "fsck of the store of the Debian image",
	target: "1.3 × sha512sum of the same bytes on both cores",
	contenders: func(b *bench) ([]contender, error) {
		layout, err := b.debian("debian", debianPackages)
		if err != nil {
			return nil, err
		}
		all := b.imports(layout)
		for i, tool := range []string{b.ours(), b.cfsctl} {
			all[i].setup += "; " + trimExec(all[i].work)
			all[i].work = "exec " + tool + " --repo . fsck"
		}
		limit := contender{name: "limit: sha512sum", setup: all[0].setup, work: "find objects -type f -print0 | xargs -0 -P 2 -n 200 sha512sum"}
		return append(all, limit), nil
	},
}
