package images

import (
	"reflect"
	"strings"
	"testing"

	"github.com/bootc-go/bootc/internal/format/verity"
)

// FuzzParseMeta reads what may be a meta.json. What is accepted has an algorithm,
// and means the same with other fields beside it.
func FuzzParseMeta(f *testing.F) {
	for _, m := range []meta{{algorithm: verity.SHA512, formats: []Format{V1}}, {algorithm: verity.SHA256, formats: []Format{V2, V0}}} {
		text, err := m.text()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	f.Add([]byte(`{"version":1,"algorithm":"fsverity-sha256-12"}`))
	f.Add([]byte(`{"version":2,"algorithm":"fsverity-sha512-12"}`))
	f.Add([]byte(`{"version":1,"algorithm":"fsverity-sha512-12","features":{"read-only-compatible":["x"]}}`))
	f.Add([]byte(`{"version":1,"algorithm":"fsverity-sha512-12","features":{"incompatible":["x"]},"erofs_formats":{"default":2,"extra":[0,1]}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := parseMeta(data)
		if err != nil {
			return
		}
		if m.algorithm.Size() == 0 || m.secure {
			t.Fatalf("parseMeta = %+v", m)
		}
		open := strings.IndexByte(string(data), '{')
		if open < 0 {
			t.Fatalf("%q is read as an object", data)
		}
		more := string(data[:open+1]) + `"another": [1],` + string(data[open+1:])
		if again, err := parseMeta([]byte(more)); err != nil || !reflect.DeepEqual(again, m) {
			t.Errorf("parseMeta with a field more = %+v, %v, want %+v", again, err, m)
		}
	})
}
