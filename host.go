package bootc

import (
	"encoding/json"
	"time"
)

// The names of the document that a [Host] is.
const (
	HostAPIVersion = "org.containers.bootc/v1"
	HostKind       = "BootcHost"
	// HostType is the type of a machine that was booted by bootc.
	HostType = "bootcHost"
)

// The boot orders of [HostSpec].
const (
	BootDefault  = "default"
	BootRollback = "rollback"
)

// A Host is what a machine says about itself (bootc status): upstream's
// document org.containers.bootc/v1. Readers ignore fields that they do not
// know; those that only this implementation writes are marked, and left out
// when empty. The order of the fields is their order in YAML.
type Host struct {
	APIVersion string       `json:"apiVersion"`
	Kind       string       `json:"kind"`
	Metadata   HostMetadata `json:"metadata"`
	Spec       HostSpec     `json:"spec"`
	Status     HostStatus   `json:"status"`
}

// NewHost returns the document of a machine of which nothing is known.
func NewHost() *Host {
	return &Host{
		APIVersion: HostAPIVersion,
		Kind:       HostKind,
		Metadata:   HostMetadata{Name: "host"},
		Spec:       HostSpec{BootOrder: BootDefault},
	}
}

// HostMetadata names the document. Only the name is ever set.
type HostMetadata struct {
	Name        string            `json:"name,omitempty"`
	Namespace   string            `json:"namespace,omitempty"`
	Labels      map[string]string `json:"labels,omitempty"`
	Annotations map[string]string `json:"annotations,omitempty"`
}

// HostSpec is what the machine is meant to run: the image that it follows, and
// whether the next boot is the default or the rollback.
type HostSpec struct {
	Image     *ImageReference `json:"image"`
	BootOrder string          `json:"bootOrder"`
}

// HostStatus is what the machine has. Empty slots are null.
type HostStatus struct {
	Staged           *BootEntry  `json:"staged"`
	Booted           *BootEntry  `json:"booted"`
	Rollback         *BootEntry  `json:"rollback"`
	OtherDeployments []BootEntry `json:"otherDeployments,omitempty"`
	// RollbackQueued is true when the next boot is not the booted deployment
	// although nothing is staged.
	RollbackQueued bool `json:"rollbackQueued"`
	// Type is "bootcHost" on a machine that bootc booted, null elsewhere.
	Type       *string            `json:"type"`
	UsrOverlay *FilesystemOverlay `json:"usrOverlay"`
	// ReadOnly is true when the system runs from a medium that is not written,
	// and can only be looked at.
	ReadOnly bool `json:"readOnly"`

	// Notices are sentences for people about what keeps the machine from doing
	// what its owner may expect. Only ours.
	Notices []string `json:"notices,omitempty"`

	// RejectedImages are those that an upgrade does not take by itself, the
	// newest first. Only ours.
	RejectedImages []RejectedImage `json:"rejectedImages,omitempty"`
}

// A RejectedImage was rolled back or has failed.
type RejectedImage struct {
	ImageDigest Digest    `json:"imageDigest"` // of the manifest
	Image       string    `json:"image,omitempty"`
	Reason      string    `json:"reason"` // "rolled back" or "failed"
	Time        time.Time `json:"time"`
	// Detail says why it failed, for people.
	Detail string `json:"detail,omitempty"`
	// Boots are the evidence, the newest last.
	Boots []FailedTry `json:"boots,omitempty"`
}

// A FailedTry is a boot that failed.
type FailedTry struct {
	Boot     string        `json:"boot"` // the kernel's ID of it
	Time     time.Time     `json:"time"`
	Failures []BootFailure `json:"failures,omitempty"`
	Journal  string        `json:"journal,omitempty"`
}

// A BootFailure is one thing that went wrong in a boot.
type BootFailure struct {
	Kind   string `json:"kind"`
	Text   string `json:"text"`
	Output string `json:"output,omitempty"`
}

// A TrialStatus says how often a boot entry that has not been found good yet can
// still be booted.
type TrialStatus struct {
	TriesLeft int `json:"triesLeft"`
	TriesDone int `json:"triesDone"`
}

// A BootEntry is one deployment.
type BootEntry struct {
	Image             *ImageStatus     `json:"image"`
	CachedUpdate      *ImageStatus     `json:"cachedUpdate"`
	Incompatible      bool             `json:"incompatible"`
	Pinned            bool             `json:"pinned"`
	SoftRebootCapable bool             `json:"softRebootCapable"`
	DownloadOnly      bool             `json:"downloadOnly"` // staged, but not to be finalized
	Store             *string          `json:"store"`
	Ostree            *OstreeStatus    `json:"ostree"`
	Composefs         *ComposefsStatus `json:"composefs"`

	// EtcConflicts are the paths in /etc that stopped the last finalize of a
	// staged deployment. Only ours.
	EtcConflicts []string `json:"etcConflicts,omitempty"`

	// Trial is set for a deployment that has not been found good yet. Only ours.
	Trial *TrialStatus `json:"trial,omitempty"`
}

// An ImageReference names an image and how it is fetched. It is a [Ref] in the
// form of the document.
type ImageReference struct {
	Image     string    `json:"image"`
	Transport Transport `json:"transport"`
	// Signature says what is demanded of the image; nil is nothing beyond
	// policy.json.
	Signature *ImageSignature `json:"signature,omitempty"`
}

// Ref returns the reference apart from what is demanded of its signature.
func (r ImageReference) Ref() Ref { return Ref{Transport: r.Transport, Name: r.Image} }

// Reference returns the reference in the form of a [Host] document.
func (r Ref) Reference() ImageReference {
	return ImageReference{Image: r.Name, Transport: r.Transport}
}

// An ImageSignature says how images are verified. In JSON it is the string
// "containerPolicy" or "insecure", or an object that names an ostree remote.
type ImageSignature struct {
	Kind         string // "containerPolicy" or "insecure"; empty for a remote
	OstreeRemote string
}

type ostreeRemote struct {
	OstreeRemote string `json:"ostreeRemote"`
}

// MarshalJSON writes the string or the object.
func (s ImageSignature) MarshalJSON() ([]byte, error) {
	if s.Kind != "" {
		return json.Marshal(s.Kind)
	}
	return json.Marshal(ostreeRemote{s.OstreeRemote})
}

// UnmarshalJSON reads the string or the object.
func (s *ImageSignature) UnmarshalJSON(data []byte) error {
	*s = ImageSignature{}
	if len(data) > 0 && data[0] == '"' {
		return json.Unmarshal(data, &s.Kind)
	}
	var remote ostreeRemote
	err := json.Unmarshal(data, &remote)
	s.OstreeRemote = remote.OstreeRemote
	return err
}

// An ImageStatus is an image as it was fetched.
type ImageStatus struct {
	Image        ImageReference `json:"image"`
	Version      *string        `json:"version"`
	Timestamp    *time.Time     `json:"timestamp"`
	ImageDigest  Digest         `json:"imageDigest"`  // of the manifest
	Architecture string         `json:"architecture"` // OCI's name, "amd64"
}

// OstreeStatus describes a deployment of ostree, which this implementation
// reads but never makes.
type OstreeStatus struct {
	Stateroot    string `json:"stateroot"`
	Checksum     string `json:"checksum"`
	DeploySerial uint32 `json:"deploySerial"`
}

// ComposefsStatus describes a deployment of ours.
type ComposefsStatus struct {
	Verity     ID     `json:"verity"`
	BootType   string `json:"bootType"`   // "Bls" or "Uki"
	Bootloader string `json:"bootloader"` // "systemd", "grub", "grub-cc" or "none"
	BootDigest string `json:"bootDigest"` // of kernel and initrd; empty is null
	// MissingVerityAllowed is false when every file is verified on access. It
	// is what is in force, not what was asked for.
	MissingVerityAllowed bool `json:"missingVerityAllowed"`
}

// MarshalJSON writes an empty BootDigest as null.
func (c ComposefsStatus) MarshalJSON() ([]byte, error) {
	digest := &c.BootDigest
	if c.BootDigest == "" {
		digest = nil
	}
	return json.Marshal(struct {
		Verity               ID      `json:"verity"`
		BootType             string  `json:"bootType"`
		Bootloader           string  `json:"bootloader"`
		BootDigest           *string `json:"bootDigest"`
		MissingVerityAllowed bool    `json:"missingVerityAllowed"`
	}{c.Verity, c.BootType, c.Bootloader, digest, c.MissingVerityAllowed})
}

// A FilesystemOverlay is a writable layer over /usr.
type FilesystemOverlay struct {
	AccessMode  string `json:"accessMode"`  // "readOnly" or "readWrite"
	Persistence string `json:"persistence"` // "transient" or "persistent"
}
