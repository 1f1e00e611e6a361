package build

import (
	"encoding/json"
	"fmt"

	"github.com/bootc-go/bootc"
)

// amiUnit is the size that a volume in Amazon's cloud has a multiple of, in bytes.
const amiUnit = 1 << 30

// amiDevice is what the volume is called there. Linux finds its root without it.
const amiDevice = "/dev/xvda"

// An ami is what Amazon's ImportSnapshot and RegisterImage are told, as their
// parameters are called. What only the importer knows is missing: S3Bucket,
// beside S3Key, and the snapshot's SnapshotId, in Ebs.
type ami struct {
	ImportSnapshot struct {
		Description   string
		DiskContainer struct {
			Description string
			Format      string
			UserBucket  struct{ S3Key string }
		}
	}
	RegisterImage struct {
		Name                string
		Description         string
		Architecture        string
		BootMode            string
		VirtualizationType  string
		EnaSupport          bool
		RootDeviceName      string
		BlockDeviceMappings []amiMapping
	}
}

type amiMapping struct {
	DeviceName string
	Ebs        struct {
		DeleteOnTermination bool
		VolumeSize          int64 // GiB
		VolumeType          string
	}
}

// describeAMI makes the file beside the disk image of that name, which is of an image
// for the architecture.
func describeAMI(name, file, arch string, manifest bootc.Digest, size int64) ([]byte, error) {
	var a ami
	what := fmt.Sprintf("%s, image %s", name, manifest)
	s, r := &a.ImportSnapshot, &a.RegisterImage
	s.Description, s.DiskContainer.Description = what, what
	s.DiskContainer.Format = "RAW"
	s.DiskContainer.UserBucket.S3Key = file
	// A name is unique in an account and has at most 128 characters of few kinds.
	clean := notInName.ReplaceAllString(name, "_")
	r.Name = clean[:min(len(clean), 100)] + "-" + manifest.Short()
	r.Description = what
	r.Architecture = map[string]string{"amd64": "x86_64"}[arch]
	if r.Architecture == "" {
		r.Architecture = arch
	}
	r.BootMode, r.VirtualizationType, r.EnaSupport = "uefi", "hvm", true
	r.RootDeviceName = amiDevice
	m := amiMapping{DeviceName: amiDevice}
	m.Ebs.DeleteOnTermination, m.Ebs.VolumeSize, m.Ebs.VolumeType = true, size/amiUnit, "gp3"
	r.BlockDeviceMappings = []amiMapping{m}
	data, err := json.MarshalIndent(a, "", "  ")
	return append(data, '\n'), err
}
