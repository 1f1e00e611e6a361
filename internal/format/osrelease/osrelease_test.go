package osrelease_test

import (
	"testing"

	"github.com/bootc-go/bootc/internal/format/osrelease"
)

func TestParse(t *testing.T) {
	for _, test := range []struct {
		text string
		want osrelease.Release
	}{
		{"", osrelease.Release{}},
		{"PRETTY_NAME=\"Debian GNU/Linux 13 (trixie)\"\nNAME=\"Debian GNU/Linux\"\nVERSION_ID=\"13\"\nVERSION=\"13 (trixie)\"\nID=debian\n",
			osrelease.Release{ID: "debian", VersionID: "13", Version: "13 (trixie)", PrettyName: "Debian GNU/Linux 13 (trixie)"}},
		{"# ID=no\n  ID=arch  \r\nBUILD_ID=rolling\nVERSION_ID", osrelease.Release{ID: "arch", BuildID: "rolling"}},
		{"ID='single \"quoted\" $x'\nVERSION_ID=a\\ b\nVERSION=\"a\\\"b\\$c\\d\\\\\"\n",
			osrelease.Release{ID: `single "quoted" $x`, VersionID: "a b", Version: `a"b$c\d\`}},
		{"ID=one\nID=two # a comment\nVERSION=\"not closed\nVERSION_ID=\"a\"b'c'\n", osrelease.Release{ID: "two", VersionID: "abc", Version: "not closed"}},
		{"id=x\n ID =y\nID=\n", osrelease.Release{}},
		{"VERSION=\\", osrelease.Release{Version: `\`}},
	} {
		if got := osrelease.Parse([]byte(test.text)); got != test.want {
			t.Errorf("Parse(%q) = %+v, want %+v", test.text, got, test.want)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte("ID='a\\'\nVERSION=\"\\"))
	f.Fuzz(func(t *testing.T, data []byte) {
		r := osrelease.Parse(data)
		if n := len(r.ID) + len(r.VersionID) + len(r.Version) + len(r.PrettyName) + len(r.BuildID); n > len(data) {
			t.Errorf("%d bytes of values from %d bytes of text", n, len(data))
		}
	})
}
