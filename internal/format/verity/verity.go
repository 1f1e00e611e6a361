// Package verity computes fs-verity digests of byte streams, as the kernel
// does for a file with fs-verity enabled: Merkle tree with 4096-byte blocks,
// no salt.
//
// It knows nothing of files or the kernel; package linux/fsverity does.
//
// Source: Documentation/filesystems/fsverity.rst of the Linux kernel,
// "fs-verity descriptor" and "Merkle tree"; docs/formats/composefs.md.
package verity

import (
	"encoding/hex"
	"fmt"
)

// An Algorithm is a hash algorithm by its number in the kernel's interface.
type Algorithm uint8

// The algorithms that composefs uses (FS_VERITY_HASH_ALG_*).
const (
	SHA256 Algorithm = 1
	SHA512 Algorithm = 2
)

// Size returns the length of a digest in bytes, 32 or 64, or 0 for an unknown
// algorithm.
func (a Algorithm) Size() int {
	switch a {
	case SHA256:
		return 32
	case SHA512:
		return 64
	}
	return 0
}

// String returns "sha256" or "sha512".
func (a Algorithm) String() string {
	switch a {
	case SHA256:
		return "sha256"
	case SHA512:
		return "sha512"
	}
	return fmt.Sprintf("algorithm %d", uint8(a))
}

// A Digest is an fs-verity digest. It can be compared with == and used as a
// map key. The zero Digest stands for "none".
type Digest struct {
	sum string // its length tells the algorithm
}

// MakeDigest makes a Digest from its bytes, which must be a.Size() long.
func MakeDigest(a Algorithm, sum []byte) (Digest, error) {
	if a.Size() == 0 || len(sum) != a.Size() {
		return Digest{}, fmt.Errorf("%v digest of %d bytes", a, len(sum))
	}
	return Digest{string(sum)}, nil
}

// ParseDigest reads 64 (SHA-256) or 128 (SHA-512) hex digits of either case.
func ParseDigest(s string) (Digest, error) { return DecodeDigest([]byte(s)) }

// DecodeDigest is [ParseDigest] of bytes.
func DecodeDigest(s []byte) (Digest, error) {
	var raw [64]byte
	if len(s) == 64 || len(s) == 128 {
		if n, err := hex.Decode(raw[:], s); err == nil {
			return Digest{string(raw[:n])}, nil
		}
	}
	return Digest{}, fmt.Errorf("fs-verity digest %q: want 64 or 128 hex digits", s)
}

// Algorithm returns the hash algorithm, 0 for the zero Digest.
func (d Digest) Algorithm() Algorithm {
	switch len(d.sum) {
	case 32:
		return SHA256
	case 64:
		return SHA512
	}
	return 0
}

// IsZero reports whether d is the zero Digest, "none".
func (d Digest) IsZero() bool { return d.sum == "" }

// Bytes returns the digest's bytes, 32 or 64.
func (d Digest) Bytes() []byte { return []byte(d.sum) }

// Raw returns the same bytes as a string.
func (d Digest) Raw() string { return d.sum }

// String returns the digest in lower-case hex, without the algorithm.
func (d Digest) String() string { return string(appendHex(nil, d.sum)) }

// ObjectPath returns the name of the object in an object store: two hex
// digits, a slash, the other digits.
func (d Digest) ObjectPath() string { return string(d.AppendObjectPath(nil)) }

// AppendObjectPath appends what ObjectPath returns.
func (d Digest) AppendObjectPath(b []byte) []byte {
	if d.sum == "" {
		return b
	}
	b = append(appendHex(b, d.sum[:1]), '/')
	return appendHex(b, d.sum[1:])
}

func appendHex(b []byte, s string) []byte {
	const digits = "0123456789abcdef"
	for i := range len(s) {
		b = append(b, digits[s[i]>>4], digits[s[i]&15])
	}
	return b
}
