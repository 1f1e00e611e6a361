package gpt

import (
	"encoding/hex"
	"fmt"
	"strings"
)

// A GUID as it stands on disk: its first three fields are little-endian.
type GUID [16]byte

// Order of the bytes of a GUID's text in the 16 bytes on disk.
var textOrder = [16]int{3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15}

// ParseGUID reads "c12a7328-f81f-11d2-ba4b-00a0c93ec93b", in either case.
func ParseGUID(s string) (GUID, error) {
	var g GUID
	parts := strings.Split(s, "-")
	if len(parts) != 5 || len(parts[0]) != 8 || len(parts[1]) != 4 || len(parts[2]) != 4 || len(parts[3]) != 4 {
		return g, fmt.Errorf("GUID %q: want the form 8-4-4-4-12", s)
	}
	raw, err := hex.DecodeString(strings.Join(parts, ""))
	if err != nil || len(raw) != 16 {
		return g, fmt.Errorf("GUID %q: want 32 hex digits", s)
	}
	for i, at := range textOrder {
		g[at] = raw[i]
	}
	return g, nil
}

// NewGUID makes a random GUID (version 4) of 16 random bytes.
func NewGUID(random [16]byte) GUID {
	g := GUID(random)
	g[7] = g[7]&0x0f | 0x40
	g[8] = g[8]&0x3f | 0x80
	return g
}

// String returns the text in lower case.
func (g GUID) String() string {
	var raw [16]byte
	for i, at := range textOrder {
		raw[i] = g[at]
	}
	s := hex.EncodeToString(raw[:])
	return s[:8] + "-" + s[8:12] + "-" + s[12:16] + "-" + s[16:20] + "-" + s[20:]
}

// IsZero reports whether g is the zero GUID, which marks an unused entry.
func (g GUID) IsZero() bool { return g == GUID{} }

// Types of partitions: UEFI specification 5.3.3, and the Discoverable
// Partitions Specification.
var (
	ESP      = mustGUID("c12a7328-f81f-11d2-ba4b-00a0c93ec93b") // EFI system partition
	XBOOTLDR = mustGUID("bc13c2ff-59e6-4262-a352-b275fd6f7172") // extended boot loader partition
	BIOSBoot = mustGUID("21686148-6449-6e6f-744e-656564454649") // GRUB's core image on BIOS machines
	PReP     = mustGUID("9e1a2d38-c612-4316-aa26-8b49521e5a8b") // boot partition of POWER machines
	Swap     = mustGUID("0657fd6d-a4ab-43c4-84e5-0933c84b4f4f") // swap space
	Linux    = mustGUID("0fc63daf-8483-4772-8e79-3d69d8477de4") // any Linux file system
)

// Root returns the type of a root partition for an architecture, which is
// named as Go does ("amd64").
func Root(goarch string) (GUID, error) {
	types := map[string]string{
		"amd64":   "4f68bce3-e8cd-4db1-96e7-fbcaf984b709",
		"arm64":   "b921b045-1df0-41c3-af44-4c6f280d3fae",
		"loong64": "77055800-792c-4f94-b39a-98c91b762bb6",
		"ppc64le": "c31c45e6-3f39-412e-80fb-4809c4980599",
		"riscv64": "72ec70a6-cf74-40e6-bd49-4bda08e8f224",
		"s390x":   "5eead9a9-fe09-4a1e-a1d7-520d00531306",
	}
	if s := types[goarch]; s != "" {
		return ParseGUID(s)
	}
	return GUID{}, fmt.Errorf("no type of root partitions is known for architecture %q", goarch)
}

func mustGUID(s string) GUID {
	g, err := ParseGUID(s)
	if err != nil {
		panic(err)
	}
	return g
}
