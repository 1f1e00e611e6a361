package objects_test

import (
	"bytes"
	"io"
	"testing"
	"testing/iotest"

	"github.com/bootc-go/bootc/internal/content/objects"
	"github.com/bootc-go/bootc/internal/format/verity"
)

// TestNamedTemp runs where files under way must have names: none is left.
func TestNamedTemp(t *testing.T) {
	s, path := open(t, objects.Options{Insecure: true})
	s.WithoutTmpfile()
	for _, n := range []int{100, 400_000} {
		data := content(6, n)
		for range 2 {
			got, err := s.Put(bytes.NewReader(data), int64(n))
			if want := verity.Sum(verity.SHA512, data); err != nil || got != want {
				t.Fatalf("Put = %v, %v; want %v", got, err, want)
			}
		}
		r := io.MultiReader(bytes.NewReader(data), iotest.ErrReader(io.ErrClosedPipe))
		if _, err := s.Put(r, -1); err == nil {
			t.Error("Put of what breaks succeeded")
		}
	}
	if got := len(files(t, path)); got != 2 {
		t.Errorf("%d objects, want 2", got)
	}
}
