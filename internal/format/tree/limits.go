package tree

import (
	"fmt"
	"strings"
)

// What the composefs formats can hold; see docs/formats/composefs.md.
const (
	// MaxName is the longest name of a directory entry, in bytes.
	MaxName = 255
	// MaxTarget is the longest text of a symbolic link, in bytes.
	MaxTarget = 4095
	// MaxContent is the most content of a file that a tree holds inline.
	MaxContent = 5000
	// MaxSize is the size of the largest file.
	MaxSize = 1 << 53
	// MaxDepth is how many directories can lie in each other, the root included.
	MaxDepth = 2048
	// MaxXattrs bounds the extended attributes of a node: 12 bytes and, for
	// each, its name, its value and 7 bytes.
	MaxXattrs = 32767
)

// NoPayload is the Payload of a file with an Object whose place in the object
// directory is not told.
const NoPayload = "\x00"

// CheckName says why name cannot be the name of a directory entry.
func CheckName(name string) error {
	switch {
	case name == "" || name == "." || name == "..":
		return fmt.Errorf("%q is not a name", name)
	case len(name) > MaxName:
		return fmt.Errorf("name of %d bytes, at most %d are possible", len(name), MaxName)
	case strings.ContainsAny(name, "/\x00"):
		return fmt.Errorf("name %q with a slash or a NUL byte", name)
	}
	return nil
}

// CheckTarget says why text cannot be the text of a symbolic link.
func CheckTarget(text string) error {
	if text == "" || len(text) > MaxTarget {
		return fmt.Errorf("symbolic link with a text of %d bytes, 1 to %d are possible", len(text), MaxTarget)
	}
	if strings.IndexByte(text, 0) >= 0 {
		return fmt.Errorf("symbolic link with a NUL byte in its text")
	}
	return nil
}

// CheckXattrs says why the attributes cannot be those of a node: a bad name, a
// wrong order, a name twice, too many bytes.
func CheckXattrs(xattrs []Xattr) error {
	total := 12
	for i, x := range xattrs {
		switch {
		case x.Name == "" || len(x.Name) > MaxName || strings.IndexByte(x.Name, 0) >= 0:
			return fmt.Errorf("%q is not a name of an extended attribute", x.Name)
		case i > 0 && x.Name == xattrs[i-1].Name:
			return fmt.Errorf("extended attribute %q twice", x.Name)
		case i > 0 && x.Name < xattrs[i-1].Name:
			return fmt.Errorf("extended attribute %q out of order", x.Name)
		}
		total += len(x.Name) + len(x.Value) + 7
	}
	if total > MaxXattrs {
		return fmt.Errorf("extended attributes of %d bytes, at most %d are possible", total, MaxXattrs)
	}
	return nil
}
