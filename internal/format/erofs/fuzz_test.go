package erofs_test

import (
	"bytes"
	"path/filepath"
	"strings"
	"testing"

	"github.com/bootc-go/bootc/internal/format/erofs"
)

// FuzzRead reads what may be an image. What is read can be written, and then
// read again as the same tree.
func FuzzRead(f *testing.F) {
	dumps, err := filepath.Glob("testdata/dumps/*.dump")
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range dumps {
		image := write(f, parse(f, readFile(f, "dumps/"+filepath.Base(file))), erofs.Auto)
		if len(image) <= 32<<10 {
			f.Add(image)
		}
	}
	others, err := filepath.Glob("testdata/others/*.erofs.gz")
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range others {
		f.Add(readFile(f, "others/"+strings.TrimSuffix(filepath.Base(file), ".gz")))
	}
	f.Fuzz(func(t *testing.T, image []byte) {
		tr, err := erofs.Read(bytes.NewReader(image), int64(len(image)))
		if err != nil {
			return
		}
		first := dump(t, tr)
		again := read(t, write(t, tr, erofs.V1))
		if second := dump(t, again); second != first {
			t.Errorf("first:\n%s\nsecond:\n%s", first, second)
		}
	})
}
