package deploy

import (
	"bufio"
	"bytes"
	"fmt"
	"strings"

	"github.com/bootc-go/bootc"
)

// A BootType says how a deployment's kernel is booted.
type BootType string

// The boot types, as .origin files spell them.
const (
	BLS BootType = "bls" // kernel and initrd named by a Type 1 entry
	UKI BootType = "uki" // one unified kernel image
)

// An Origin says where a deployment came from. It is the content of the
// .origin file: docs/formats/state.md.
type Origin struct {
	Ref        bootc.Ref
	BootType   BootType
	BootDigest string // SHA-256 of kernel and initrd, 64 hex digits
	Manifest   bootc.Digest
	// Options are the kernel arguments that its boot entry was made with. Only the
	// second copy has them ([State.Recorded]); "" for a unified kernel image.
	Options string
}

// ParseOrigin reads an .origin file. Unknown sections and keys are ignored; an
// image reference must be there.
func ParseOrigin(data []byte) (Origin, error) {
	var o Origin
	section := ""
	lines := bufio.NewScanner(bytes.NewReader(data))
	for lines.Scan() {
		line := strings.TrimSpace(lines.Text())
		if strings.HasPrefix(line, "[") && strings.HasSuffix(line, "]") {
			section = line[1 : len(line)-1]
			continue
		}
		key, value, ok := strings.Cut(line, "=")
		if !ok {
			continue
		}
		if err := o.set(section+"."+strings.TrimSpace(key), strings.TrimSpace(value)); err != nil {
			return Origin{}, err
		}
	}
	if err := lines.Err(); err != nil {
		return Origin{}, err
	}
	if o.Ref == (bootc.Ref{}) {
		return Origin{}, fmt.Errorf("origin has no container-image-reference")
	}
	return o, nil
}

func (o *Origin) set(key, value string) (err error) {
	switch key {
	case "origin.container-image-reference":
		o.Ref, err = bootc.ParseRef(value)
	case "boot.boot_type":
		o.BootType = BootType(value)
		if o.BootType != BLS && o.BootType != UKI {
			err = fmt.Errorf("unknown boot_type %q", value)
		}
	case "boot.digest":
		o.BootDigest = value
	case "image.manifest_digest":
		o.Manifest, err = bootc.ParseDigest(value)
	}
	return err
}

// Bytes returns the text of the .origin file.
func (o Origin) Bytes() []byte {
	return fmt.Appendf(nil, "[origin]\ncontainer-image-reference = ostree-unverified-image:%s\n\n[boot]\nboot_type = %s\ndigest = %s\n\n[image]\nmanifest_digest = %s\n",
		o.Ref.Containers(), o.BootType, o.BootDigest, o.Manifest)
}
