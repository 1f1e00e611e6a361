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
		tr := parse(f, readFile(f, "dumps/"+filepath.Base(file)))
		for _, v := range []erofs.Version{erofs.Auto, erofs.V2} {
			var image bytes.Buffer
			// Version 2 does not hold all of them.
			if err := erofs.Write(&image, tr, erofs.Options{Version: v}); err == nil && image.Len() <= 32<<10 {
				f.Add(image.Bytes())
			}
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
		v := erofs.V1
		if image[12] == 2 {
			// Times and numbers of links that version 2 does not have are
			// gone the second time, as are places for too many attributes.
			v = erofs.V2
			var image bytes.Buffer
			if erofs.Write(&image, tr, erofs.Options{Version: v}) != nil {
				return
			}
			tr = read(t, image.Bytes())
		}
		first := dump(t, tr)
		again := read(t, write(t, tr, v))
		if second := dump(t, again); second != first {
			t.Errorf("first:\n%s\nsecond:\n%s", first, second)
		}
	})
}
