package layer_test

import (
	"bytes"
	"path"
	"strings"
	"testing"

	"github.com/bootc-go/bootc/internal/format/layer"
	"github.com/bootc-go/bootc/internal/format/tree"
)

// FuzzRead reads any bytes as two layers, one over the other. What is accepted
// is recorded byte for byte and gives a tree whose names are sound. Checksums of
// headers are corrected first, else nearly all that is tried ends there.
func FuzzRead(f *testing.F) {
	f.Add(pack(f, dir("d"), reg("d/f", "x"), symlink("s", "../.."), link("d/l", "d/f")))
	f.Add(pack(f, reg("big", strings.Repeat("y", 200)), reg(".wh.d", ""), reg("a/b/.wh..wh..opq", "")))
	f.Add(rawPAX(f, "9 path=a\n13 mtime=1.5\n24 SCHILY.xattr.user.a=b\n"))
	f.Add(append(pack(f, symlink("s", "a"), dir("s"))[:1024], pack(f, reg("s/f", ""), link("l", "s/f"), reg("s/.wh.f", ""))...))
	f.Add(pack(f, pax(reg(strings.Repeat("long/", 50)+"f", ""), map[string]string{"comment": "x"})))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, data []byte) {
		data = bytes.Clone(data)
		for block := data; len(block) >= 512; block = block[512:] {
			if string(block[257:262]) == "ustar" {
				copy(block, change(block[:512], 0, ""))
			}
		}
		s := newSink()
		rec := &recorder{s: s}
		l, err := layer.Read(bytes.NewReader(data), s, rec, layer.Limits{Entries: 1000})
		if err != nil {
			return
		}
		if !bytes.Equal(rec.tar.Bytes(), data) {
			t.Fatalf("recorded %d bytes of %d, or others", rec.tar.Len(), len(data))
		}
		tr := tree.New()
		for range 2 {
			if err := layer.Apply(tr, l); err != nil {
				return
			}
		}
		tr.Walk(func(p string, n *tree.Node) error {
			base := path.Base(p)
			if p != "/" && (path.Clean(p) != p || len(base) > tree.MaxName || strings.HasPrefix(base, ".wh.") || strings.IndexByte(p, 0) >= 0) {
				t.Errorf("the tree has the name %q", p)
			}
			if n.IsRegular() && (n.Size > layer.InlineMax) == n.Object.IsZero() {
				t.Errorf("%q of %d bytes is in the wrong place", p, n.Size)
			}
			return nil
		})
		if layer.Plain(tr) == nil {
			layer.Boot(tr, s.read)
		}
	})
}
