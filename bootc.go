// Package bootc holds the words of the project: what an image, a deployment
// and a slot are, how they are named, and how progress is told. It imports
// nothing but the standard library and does nothing but parse and print.
//
// Everything else is built on these words:
//
//   - a [Ref] names an image where it is kept (a registry, a directory);
//   - a [Digest] names the very bytes of a manifest, a config or a layer;
//   - an [ID] names a deployment: the fs-verity digest of the composefs image
//     that a machine boots;
//   - a [Slot] is the place of a deployment on a machine: staged, booted or
//     rollback;
//   - a [Host] is what a machine says about itself (bootc status);
//   - an [Event] is one piece of progress.
package bootc

import (
	"encoding/hex"
	"fmt"
	"strings"
)

// A Digest is an OCI content digest, "sha256:" and 64 lower-case hex digits
// (or sha512 and 128). Its bytes are the identity of what it names.
//
// Source: OCI image specification, descriptor.md, "Digests".
type Digest string

// ParseDigest checks that s is a digest of a known algorithm and right length.
func ParseDigest(s string) (Digest, error) {
	algorithm, sum, ok := strings.Cut(s, ":")
	if !ok {
		return "", fmt.Errorf("digest %q has no algorithm", s)
	}
	size := map[string]int{"sha256": 64, "sha512": 128}[algorithm]
	if size == 0 {
		return "", fmt.Errorf("digest %q: unknown algorithm %q", s, algorithm)
	}
	if len(sum) != size || !lowerHex(sum) {
		return "", fmt.Errorf("digest %q: want %d lower-case hex digits", s, size)
	}
	return Digest(s), nil
}

// Algorithm returns the part before the colon, "sha256".
func (d Digest) Algorithm() string { a, _, _ := strings.Cut(string(d), ":"); return a }

// Hex returns the part after the colon.
func (d Digest) Hex() string { _, h, _ := strings.Cut(string(d), ":"); return h }

// Short returns the first twelve hex digits, for people.
func (d Digest) Short() string {
	if h := d.Hex(); len(h) > 12 {
		return h[:12]
	}
	return d.Hex()
}

func (d Digest) String() string { return string(d) }

// An ID names a deployment: the SHA-512 fs-verity digest, in 128 lower-case
// hex digits, of the EROFS image that is its root file system. It is what
// composefs= on the kernel command line carries.
type ID string

// ParseID checks that s has the form of a deployment ID.
func ParseID(s string) (ID, error) {
	if len(s) != 128 || !lowerHex(s) {
		return "", fmt.Errorf("deployment id %q: want 128 lower-case hex digits", s)
	}
	return ID(s), nil
}

// Short returns the first twelve hex digits, for people.
func (id ID) Short() string {
	if len(id) > 12 {
		return string(id[:12])
	}
	return string(id)
}

func (id ID) String() string { return string(id) }

// A Slot is the place of a deployment on a machine.
type Slot string

// The slots. A machine has at most one deployment staged, booted and rollback;
// further ones are kept in Other.
const (
	Staged   Slot = "staged"
	Booted   Slot = "booted"
	Rollback Slot = "rollback"
	Other    Slot = "other"
)

func lowerHex(s string) bool {
	if _, err := hex.DecodeString(s); err != nil {
		return false
	}
	return s == strings.ToLower(s)
}

// A FailedBoot is a boot entry that could not be booted, as
// /run/bootc/failed-boots.json has it (docs/formats/state.md).
type FailedBoot struct {
	Entry  string `json:"entry"`  // the file name of the boot loader entry
	Reason string `json:"reason"` // for people
}

// FailedBootsFile is the path of the list of [FailedBoot] below /run.
const FailedBootsFile = "bootc/failed-boots.json"

// MediumMarker is the path in the physical root of the file that marks it as one on
// a medium that is not written: docs/formats/medium.md.
const MediumMarker = "state/bootc/medium.json"

// MediumFile is the path below /run of a file that exists when the system runs
// from such a medium, a copy of its marker.
const MediumFile = "bootc/medium.json"
