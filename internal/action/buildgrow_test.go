package action_test

import (
	"os"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/bootc-go/bootc"
	"github.com/bootc-go/bootc/internal/action/build"
	"github.com/bootc-go/bootc/internal/content/images/imagestest"
	"github.com/bootc-go/bootc/internal/format/gpt"
)

// TestBuildGrowth is what is said of images that grow their root, or do not.
func TestBuildGrowth(t *testing.T) {
	const definition, program = "usr/lib/repart.d/50-root.conf", "usr/bin/systemd-repart"
	const no, over = "the image does not grow its root on a larger disk (", "the image grows its root over what --root-size leaves free ("
	named := map[string]string{"amd64": "root-x86-64", "arm64": "root-arm64"}[runtime.GOARCH]
	link := imagestest.Entry{Name: "etc/repart.d/50-root.conf", Link: "/dev/null"}
	for _, c := range []struct {
		name     string
		files    spec
		more     []imagestest.Entry
		rootSize uint64
		want     string
	}{
		{name: "nothing", want: no + "no definition in /usr/lib/repart.d)"},
		{name: "another partition", files: spec{definition: "[Partition]\nType=swap\n", program: "x"}, want: no + "no definition in /usr/lib/repart.d)"},
		{name: "another section", files: spec{definition: "[Match]\nType=root\n", program: "x"}, want: no + "no definition in /usr/lib/repart.d)"},
		{name: "not a definition", files: spec{"usr/lib/repart.d/README": "[Partition]\nType=root\n", program: "x"}, want: no + "no definition in /usr/lib/repart.d)"},
		{name: "no program", files: spec{definition: "[Partition]\nType=root\n"}, want: no + "it has /usr/lib/repart.d/50-root.conf, but no systemd-repart)"},
		{name: "masked", files: spec{definition: "[Partition]\nType=root\n", program: "x"}, more: []imagestest.Entry{link}, want: no + "no definition in /usr/lib/repart.d)"},
		{name: "defined", files: spec{definition: "# the root\n[Partition]\n Type = root\n", program: "x"}},
		{name: "defined by its name", files: spec{"etc/repart.d/x.conf": "[Partition]\nType=" + named + "\n", program: "x"}},
		{name: "size asked for", rootSize: 768 << 20},
		{name: "size asked for, defined", files: spec{definition: "[Partition]\nType=root\n", program: "x"}, rootSize: 768 << 20, want: over + "/usr/lib/repart.d/50-root.conf)"},
		{name: "unit without program", files: spec{"usr/lib/systemd/system/bootc-generic-growpart.service": "x"}, want: no + "no definition in /usr/lib/repart.d)"},
		{name: "unit", files: spec{"usr/lib/systemd/system/bootc-generic-growpart.service": "x", "usr/bin/growpart": "x"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := newStore(t)
			saveEntries(l, "v1", "v1", append(v1().with(c.files).entries(), c.more...))
			o := l.toBuild("qcow2")
			o.Install.Storage.RootSize = c.rootSize
			p, err := build.New(t.Context(), o)
			must(t, err)
			defer p.Close()
			var said []string
			_, _, err = p.Apply(t.Context(), func(e bootc.Event) {
				if n, ok := e.(bootc.Notice); ok && strings.Contains(n.Text, "its root") {
					said = append(said, n.Text)
				}
			})
			must(t, err)
			if got := strings.Join(said, "\n"); c.want == "" && got != "" || c.want != "" && got != "notice: "+c.want {
				t.Errorf("said %q, want %q", got, c.want)
			}
		})
	}
}

// TestBuildGrown has systemd-repart grow the root of a disk image, with the definition
// of the Debian image, and nothing else.
func TestBuildGrown(t *testing.T) {
	l := newStore(t)
	raw := l.build(l.toBuild("raw"))[0]
	before := partitions(t, raw)
	root := &before[len(before)-1]
	if root.Name != "root" || root.Attributes != gpt.GrowFileSystem {
		t.Errorf("the last partition is %+v, want the root, marked as growing", root)
	}
	must(t, os.Truncate(raw, 3<<30))
	definitions, err := os.Getwd()
	must(t, err)
	definitions += "/../../images/debian/rootfs/usr/lib/repart.d"
	for range 2 {
		tell(t, "systemd-repart", "--dry-run=no", "--definitions="+definitions, raw)
		after := partitions(t, raw)
		grown := after[len(after)-1]
		if end := grown.Last; end*512 < 3<<30-2<<20 {
			t.Errorf("the root ends at sector %d of 3 GiB", end)
		}
		root.Last = grown.Last
		if diff := cmp.Diff(before, after); diff != "" {
			t.Error("partitions before (-) and after (+)", diff)
		}
	}
}
