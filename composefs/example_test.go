package composefs_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/bootc-go/bootc/composefs"
)

// example is a tree with a small file, a large one and a symbolic link.
func example() *composefs.Tree {
	t := composefs.NewTree()
	etc := &composefs.Node{Mode: composefs.TypeDir | 0o755}
	t.Root.SetChild("etc", etc)
	etc.SetChild("hostname", &composefs.Node{Mode: composefs.TypeRegular | 0o644, Size: 5, Content: []byte("host\n")})
	etc.SetChild("os-release", &composefs.Node{Mode: composefs.TypeSymlink | 0o777, Target: "../usr/lib/os-release"})
	large := []byte(strings.Repeat("data", 1000))
	object, _ := composefs.Sum(bytes.NewReader(large), composefs.SHA256)
	t.Root.SetChild("large", &composefs.Node{Mode: composefs.TypeRegular | 0o644, Size: 4000, Object: object})
	t.CountLinks()
	return t
}

func Example() {
	// Write an image, and have its digest at the same time.
	var image bytes.Buffer
	hash := composefs.NewHash(composefs.SHA256)
	if err := composefs.Write(io.MultiWriter(&image, hash), example(), composefs.V1); err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(image.Len(), hash.Sum())

	// Read it again: what it holds.
	t, err := composefs.Read(bytes.NewReader(image.Bytes()), int64(image.Len()))
	if err != nil {
		fmt.Println(err)
		return
	}
	err = t.Walk(func(path string, n *composefs.Node) error {
		fmt.Printf("%06o %s [%s%s%s]\n", n.Mode, path, n.Target, strings.TrimSpace(string(n.Content)), n.Object.ObjectPath())
		return nil
	})
	if err != nil {
		fmt.Println(err)
	}
	// Output:
	// 16384 fae14c387b92bb7f8997d272d8a93234a7e2ece619f118917b2506eb1212570b
	// 040755 / []
	// 040755 /etc []
	// 100644 /etc/hostname [host]
	// 120777 /etc/os-release [../usr/lib/os-release]
	// 100644 /large [e2/f697aea0a4fe15ba62dcc51575aa7e8ff53d40f439f4d7e57213562fb55bba]
}

func ExampleParseDump() {
	t, err := composefs.ParseDump(strings.NewReader(`/ 0 40755 2 0 0 0 1000.0 - - -
/file 6 100644 1 0 0 0 1000.0 - hello\n -
`))
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("%q\n", t.Lookup("/file").Content)
	// Digests are those that mkcomposefs prints.
	fmt.Println(composefs.ImageDigest(t, composefs.Auto, composefs.SHA256))
	// Output:
	// "hello\n"
	// 1201c43c55b67036d36ca9702ef85a8a80603a0aa6cd416350e49673e87ca33b <nil>
}

func ExampleWriteDump() {
	if err := composefs.WriteDump(os.Stdout, example()); err != nil {
		fmt.Println(err)
	}
	// Output:
	// / 0 40755 3 0 0 0 0.0 - - -
	// /etc 0 40755 2 0 0 0 0.0 - - -
	// /etc/hostname 5 100644 1 0 0 0 0.0 - host\n -
	// /etc/os-release 21 120777 1 0 0 0 0.0 ../usr/lib/os-release - -
	// /large 4000 100644 1 0 0 0 0.0 e2/f697aea0a4fe15ba62dcc51575aa7e8ff53d40f439f4d7e57213562fb55bba - e2f697aea0a4fe15ba62dcc51575aa7e8ff53d40f439f4d7e57213562fb55bba
}

func ExampleVerify() {
	want, err := composefs.ParseDigest("1e2eaa4202d750a41174ee454970b92c1bc2f925b1e35076d8c7d5f56362ba64")
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(composefs.Verify(strings.NewReader("hello world"), want))
	var mismatch *composefs.MismatchError
	if err := composefs.Verify(strings.NewReader("hello World"), want); errors.As(err, &mismatch) {
		fmt.Println("changed:", mismatch.Got)
	}
	// Output:
	// <nil>
	// changed: 715cf6279370a25121f00514b18f7c2a2419431ea6d2ebd1a91a429ff34bfd87
}

func ExampleVerifyObjects() {
	// In a program, open is os.Root.Open of the object directory.
	open := func(string) (io.ReadCloser, error) {
		return io.NopCloser(strings.NewReader(strings.Repeat("data", 999))), nil
	}
	fmt.Println(composefs.VerifyObjects(example(), open))
	// Output:
	// object of "/large": the fs-verity digest is 3a47ed3c00ebcf426a180792ab894311c49ca67535ceb41886c6d7caf1edf0fe, want e2f697aea0a4fe15ba62dcc51575aa7e8ff53d40f439f4d7e57213562fb55bba
}
