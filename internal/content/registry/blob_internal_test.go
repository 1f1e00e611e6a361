package registry

import (
	"io"
	"strings"
	"testing"
)

func TestBlobEnd(t *testing.T) {
	for _, tt := range []struct {
		data string
		want int64
		got  string
		err  string
	}{
		{"12345", 5, "12345", ""},
		{"12345", -1, "12345", ""},
		{"", 0, "", ""},
		{"1234", 5, "1234", "layer x is truncated: 4 of 5 bytes"},
		{"123456", 5, "12345", "layer x is longer than its 5 bytes"},
	} {
		b := &blob{body: io.NopCloser(strings.NewReader(tt.data)), what: "layer x", want: tt.want}
		got, err := io.ReadAll(b)
		if string(got) != tt.got || (err == nil) != (tt.err == "") || (err != nil && err.Error() != tt.err) {
			t.Errorf("%q of %d bytes: read %q, %v, want %q, %q", tt.data, tt.want, got, err, tt.got, tt.err)
		}
	}
}
