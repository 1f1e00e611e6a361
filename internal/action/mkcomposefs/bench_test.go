package mkcomposefs_test

import (
	"bytes"
	"fmt"
	"io"
	"testing"

	"github.com/bootc-go/bootc/internal/action/mkcomposefs"
	"github.com/bootc-go/bootc/internal/format/erofs"
	"github.com/bootc-go/bootc/internal/format/verity"
)

// writeDump writes the dump of directories with files of 5000 bytes, each with
// its own digest and time.
func writeDump(w io.Writer, dirs, files int) {
	fmt.Fprintf(w, "/ 0 40755 %d 0 0 0 1700000000.0 - - -\n", dirs+2)
	for d := range dirs {
		fmt.Fprintf(w, "/dir%03d 0 40755 2 0 0 0 %d.0 - - -\n", d, 1700000000+d)
		for i := range files {
			object := verity.Sum(verity.SHA256, fmt.Append(nil, d*files+i))
			fmt.Fprintf(w, "/dir%03d/file%04d 5000 100644 1 0 0 0 %d.%d %s - %s\n", d, i, 1700000000+i*7, i*1001, object.ObjectPath(), object)
		}
	}
}

// BenchmarkDump makes the image of half a million files. Its peak of memory is
// seen with "time -v bootc internals mkcomposefs --from-file".
func BenchmarkDump(b *testing.B) {
	var dump bytes.Buffer
	writeDump(&dump, 500, 1000)
	b.SetBytes(int64(dump.Len()))
	b.ReportAllocs()
	for b.Loop() {
		t, err := mkcomposefs.FromDump(bytes.NewReader(dump.Bytes()))
		if err != nil {
			b.Fatal(err)
		}
		if _, err := mkcomposefs.Write(nil, t, erofs.V1, verity.SHA256); err != nil {
			b.Fatal(err)
		}
	}
}
