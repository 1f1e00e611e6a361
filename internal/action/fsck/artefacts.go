package fsck

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"

	"github.com/bootc-go/bootc/internal/format/tree"
	"github.com/bootc-go/bootc/internal/format/verity"
	"github.com/bootc-go/bootc/internal/machine/boot"
)

// artefactFaults compares the files that an entry names with the kernel and the
// initrd of the deployment's image, or its unified kernel image. What is wrong with
// the entry itself has no Where.
func (s *survey) artefactFaults(d *deployment, e *boot.Entry) []Finding {
	if d.system == nil {
		return s.digestFaults(d, e)
	}
	repair := "writes it again from the image"
	var all []Finding
	check := func(key string, n *tree.Node) {
		name := first(e, key)
		if name == "" {
			all = append(all, Finding{What: "it has no " + key, Repair: "makes the entry again"})
			return
		}
		if err := s.compare(name, n); err != nil {
			all = append(all, Finding{Where: onESP(name), What: err.Error(), Repair: repair})
		}
	}
	if u := d.system.UKI; u != nil {
		key := "efi"
		if first(e, "uki") != "" {
			key = "uki"
		}
		check(key, u)
		return all
	}
	check("linux", d.system.Kernel)
	if err := s.initrdFault(d, e); err != nil {
		check("initrd", d.system.Initrd)
	}
	for _, name := range s.missingInitrds(e) {
		all = append(all, Finding{What: "it names " + onESP(name) + ", which is missing", Repair: "leaves it out"})
	}
	for _, key := range []string{"efi", "uki"} {
		if first(e, key) != "" {
			all = append(all, Finding{What: "it has a key " + key + ", which its image has not", Repair: "makes the entry again"})
		}
	}
	return all
}

// initrdFault looks for the image's initrd among those of an entry: an owner may have
// put others before it.
func (s *survey) initrdFault(d *deployment, e *boot.Entry) (err error) {
	err = errors.New("it has no initrd")
	for _, name := range e.FilesOf("initrd") {
		if err = s.compare(name, d.system.Initrd); err == nil {
			return nil
		}
	}
	return err
}

// missingInitrds lists the further initrds of an entry that are not there: it does not
// boot without.
func (s *survey) missingInitrds(e *boot.Entry) []string {
	var missing []string
	for i, name := range e.FilesOf("initrd") {
		if i == 0 || boot.IsCredentials(name) {
			continue
		}
		f, err := s.m.Loader.Open(name)
		if err != nil {
			missing = append(missing, name)
			continue
		}
		f.Close()
	}
	return missing
}

// first is the first file of a key, by its path on the partition.
func first(e *boot.Entry, key string) string {
	all := e.FilesOf(key)
	if len(all) == 0 {
		return ""
	}
	return all[0]
}

// compare says how a file on the partition differs from a file of an image. Nothing
// but the image itself is needed for it.
func (s *survey) compare(name string, n *tree.Node) error {
	f, err := s.m.Loader.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return errors.New("it is missing")
	}
	if err != nil {
		return err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return err
	}
	if !st.Mode().IsRegular() {
		return errors.New("it is not a regular file")
	}
	if st.Size() != int64(n.Size) {
		return fmt.Errorf("it has %d bytes, that of the image %d", st.Size(), n.Size)
	}
	want := n.Object
	if want.IsZero() {
		want = verity.Sum(verity.SHA256, n.Content)
	}
	h := verity.New(want.Algorithm())
	if _, err := io.Copy(h, f); err != nil {
		return err
	}
	if h.Sum() != want {
		return errors.New("it does not have the content that it has in the image")
	}
	return nil
}

// digestFaults is artefactFaults for a deployment whose image cannot be read: the
// origin has a digest of kernel and initrd.
func (s *survey) digestFaults(d *deployment, e *boot.Entry) []Finding {
	var all []Finding
	h := sha256.New()
	for _, name := range e.Files() {
		if boot.IsCredentials(name) {
			continue
		}
		f, err := s.m.Loader.Open(name)
		if err == nil {
			_, err = io.Copy(h, f)
			f.Close()
		}
		if err != nil {
			all = append(all, Finding{Where: onESP(name), What: "it cannot be read: " + err.Error(), Repair: "writes it again, once the image is repaired"})
		}
	}
	o, err := s.originOf(d)
	if len(all) == 0 && err == nil && first(e, "linux") != "" && o.BootDigest != "" && o.BootDigest != hex.EncodeToString(h.Sum(nil)) {
		all = append(all, Finding{What: "kernel and initrd do not have the digest that the origin says", Repair: "writes them again, once the image is repaired"})
	}
	return all
}

// matching finds the files of a deployment on the partition, whether an entry names
// them or not: what has the content is complete.
func (s *survey) matching(d *deployment) (a boot.Artefacts, ok bool) {
	if u := d.system.UKI; u != nil {
		all := s.m.Loader.UKIs()
		i := slices.IndexFunc(all, func(name string) bool { return s.compare(name, u) == nil })
		if i < 0 {
			return a, false
		}
		return boot.Artefacts{UKI: "/" + all[i]}, true
	}
	all := s.m.Loader.KernelDirs()
	i := slices.IndexFunc(all, func(dir string) bool {
		return s.compare(dir+"/vmlinuz", d.system.Kernel) == nil && s.compare(dir+"/initrd", d.system.Initrd) == nil
	})
	if i < 0 {
		return a, false
	}
	return boot.Artefacts{Linux: "/" + all[i] + "/vmlinuz", Initrd: "/" + all[i] + "/initrd", Credentials: s.m.Loader.Credentials()}, true
}
