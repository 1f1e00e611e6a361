package selinux_test

import (
	"testing"
	"time"

	"github.com/bootc-go/bootc/internal/format/selinux"
)

// FuzzParse parses hostile policies and looks a path up in those that are
// right: there must be no panic, and an end.
func FuzzParse(f *testing.F) {
	for _, e := range expressions {
		f.Add(e.expr+" label\n", "/a", "/a/b")
	}
	f.Add("# x\n/a -d <<none>>\n/a\n", "/usr/lib64 /usr/lib", "/")
	f.Fuzz(func(t *testing.T, text, subs, path string) {
		c, err := selinux.Parse(selinux.Files{selinux.FileContexts: []byte(text), selinux.Subs: []byte(subs)})
		if err != nil {
			return
		}
		c.Limit(1_000_000, 100*time.Millisecond)
		for _, typ := range []selinux.Type{'-', 'd'} {
			_, _ = c.Lookup(c.Alias(path), typ)
		}
	})
}
