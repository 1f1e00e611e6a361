package custom

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"strings"

	"github.com/bootc-go/bootc/internal/format/tree"
)

// seedPath is where cloud-init looks for a seed of the data source NoCloud. It is in
// /var, and so the machine's, not the image's.
const seedPath = "/var/lib/cloud/seed/nocloud"

// A Seed is what cloud-init reads when it runs for the first time. UserData is
// needed; without MetaData the machine gets an instance-id that is always the same
// for the same image, seed and contents. nil: there is no such file.
type Seed struct {
	UserData, MetaData, NetworkConfig, VendorData []byte
}

// A seedFile is a file of a seed.
type seedFile struct {
	name string
	data []byte
}

// files lists what is there, MetaData always.
func (s *Seed) files() []seedFile {
	all := []seedFile{{"meta-data", s.MetaData}, {"user-data", s.UserData}}
	for _, f := range []seedFile{{"network-config", s.NetworkConfig}, {"vendor-data", s.VendorData}} {
		if f.data != nil {
			all = append(all, f)
		}
	}
	return all
}

// Names are the names of the files, separated by commas.
func (s *Seed) Names() string {
	var names []string
	for _, f := range s.files() {
		names = append(names, f.name)
	}
	return strings.Join(names, ", ")
}

// instance makes the MetaData of a machine that has none. salt tells images apart.
func (s *Seed) instance(salt string) []byte {
	h := sha256.New()
	fmt.Fprintf(h, "bootc instance\x00%s", salt)
	for _, f := range s.files() {
		fmt.Fprintf(h, "\x00%s\x00%d\x00%s", f.name, len(f.data), f.data)
	}
	return fmt.Appendf(nil, "instance-id: iid-%x\n", h.Sum(nil)[:8])
}

// PutSeed puts a seed into the system, in place of one that the image has. An image
// without cloud-init is refused.
func PutSeed(seed Seed, s System) error {
	v, err := s.view()
	if err != nil {
		return err
	}
	const program = "/usr/bin/cloud-init"
	if p, err := v.find(program, true); err != nil || p.node() == nil {
		return errors.New("the image has no cloud-init (no " + program + ")")
	}
	if seed.MetaData == nil {
		seed.MetaData = seed.instance(s.Salt)
	}
	dir, err := v.findOurs(seedPath, true)
	if err != nil {
		return err
	}
	if dir, err = v.putDir(dir, tree.Node{Mode: 0o700}); err != nil {
		return err
	}
	for _, f := range seed.files() {
		if err := v.putFile(v.child(dir, f.name), tree.Node{Mode: 0o600}, f.data); err != nil {
			return err
		}
	}
	return nil
}
