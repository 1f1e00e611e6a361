package composefs

import (
	"fmt"
	"io"

	"github.com/bootc-go/bootc/internal/format/tree"
	"github.com/bootc-go/bootc/internal/format/verity"
)

type (
	// A Digest is an fs-verity digest; it can be compared with ==. The zero
	// Digest is none. Its methods are Algorithm, Bytes, IsZero, String (hex) and
	// ObjectPath, the name of an object below the object directory.
	Digest = verity.Digest
	// An Algorithm is a hash algorithm by its number in the kernel's interface.
	Algorithm = verity.Algorithm
	// A Hash computes the digest of what is written to it; Sum returns it.
	Hash = verity.Hash
)

// The algorithms of digests: that of the C tools, and that of bootc.
const (
	SHA256 = verity.SHA256
	SHA512 = verity.SHA512
)

// ParseDigest reads 64 (SHA-256) or 128 (SHA-512) hex digits.
func ParseDigest(s string) (Digest, error) { return verity.ParseDigest(s) }

// NewHash returns a Hash for SHA256 or SHA512.
func NewHash(a Algorithm) *Hash { return verity.New(a) }

// Sum returns the fs-verity digest of all that r gives: what the kernel says of
// a file with this content, for blocks of 4096 bytes and no salt.
func Sum(r io.Reader, a Algorithm) (Digest, error) {
	h := NewHash(a)
	if _, err := io.Copy(h, r); err != nil {
		return Digest{}, err
	}
	return h.Sum(), nil
}

// A MismatchError means that a content is not what its digest says.
type MismatchError struct{ Got, Want Digest }

func (e *MismatchError) Error() string {
	return fmt.Sprintf("the fs-verity digest is %v, want %v", e.Got, e.Want)
}

// Verify reads an image or an object to its end and compares its digest. The
// error is a [*MismatchError] if it is another one.
func Verify(r io.Reader, want Digest) error {
	if want.IsZero() {
		return fmt.Errorf("there is no digest to compare with")
	}
	got, err := Sum(r, want.Algorithm())
	if err == nil && got != want {
		err = &MismatchError{got, want}
	}
	return err
}

// VerifyObjects verifies all objects of a tree, each once. open opens one by its
// path below the object directory. The error, if it is not one of open's, is a
// [*MismatchError]; it is wrapped in the name of a file that has the object. A
// file whose content is neither in the tree nor named by a digest is an error.
func VerifyObjects(t *Tree, open func(path string) (io.ReadCloser, error)) error {
	seen := map[object]bool{}
	return t.Walk(func(name string, n *Node) error {
		if !n.IsRegular() || n.Content != nil || n.Size == 0 {
			return nil
		}
		o := object{n.Payload, n.Object}
		if o.path == "" || o.path == tree.NoPayload {
			o.path = n.Object.ObjectPath()
		}
		if seen[o] {
			return nil
		}
		seen[o] = true
		if err := o.verify(open); err != nil {
			return fmt.Errorf("object of %q: %w", name, err)
		}
		return nil
	})
}

type object struct {
	path   string
	digest Digest
}

func (o object) verify(open func(path string) (io.ReadCloser, error)) error {
	if o.digest.IsZero() {
		return fmt.Errorf("the image has no digest of it")
	}
	r, err := open(o.path)
	if err != nil {
		return err
	}
	defer r.Close()
	return Verify(r, o.digest)
}
