package cfs

import (
	"github.com/bootc-go/bootc/internal/format/verity"
	"github.com/bootc-go/bootc/internal/linux/fsverity"
	"github.com/bootc-go/bootc/internal/linux/mount"
)

// Mount mounts an EROFS image of the repository at a path. Where the image has
// fs-verity, all files must have it. The image's content has the digest in any
// case: the kernel vouches for it, or it is hashed.
func (r *Repository) Mount(d verity.Digest, target string) error {
	f, err := r.OpenComposed(d)
	if err != nil {
		return err
	}
	defer f.Close()
	got, err := fsverity.Measure(f)
	verified := err == nil && got == d
	objects, err := r.OpenObjects()
	if err != nil {
		return err
	}
	defer objects.Close()
	m, err := mount.Composefs(f, objects, mount.ComposefsOptions{Source: "composefs:" + d.String(), Verity: verified || r.Secure()})
	if err != nil {
		return err
	}
	defer m.Close()
	return mount.Attach(m, target)
}
