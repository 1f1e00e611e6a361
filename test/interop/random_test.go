package interop_test

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/bootc-go/bootc/internal/content/images/imagestest"
)

var (
	seed   = flag.Uint64("seed", 0, "of the random images; 0 takes the time")
	images = flag.Int("images", 15, "how many random images are made")
)

// A garden grows random images.
type garden struct {
	*rand.Rand
	dirs, files []string // names that a lower layer has
}

func (g *garden) name() string {
	letters := []rune("abcXYZ019._-+ ~é漢")
	n := 1 + g.IntN(12)
	var b strings.Builder
	for range n {
		b.WriteRune(letters[g.IntN(len(letters))])
	}
	if s := b.String(); s != "." && s != ".." && !strings.HasPrefix(s, ".wh.") {
		return s
	}
	return "x"
}

// size is one around the limits of the format, or any.
func (g *garden) size() int {
	sizes := []int{0, 1, 63, 64, 65, 2048, 2049, 4095, 4096, 4097, 70_000}
	if g.IntN(3) == 0 {
		return g.IntN(20_000)
	}
	return sizes[g.IntN(len(sizes))]
}

func (g *garden) layer(base []imagestest.Entry) imagestest.Layer {
	all := base
	taken := map[string]bool{}
	for _, e := range base {
		taken[strings.TrimSuffix(e.Name, "/")] = true
	}
	if base == nil { // whiteouts of what is below come first
		for range g.IntN(4) {
			victim := g.files[g.IntN(len(g.files))]
			d, f := filepath.Split(victim)
			if w := d + ".wh." + f; !taken[w] {
				taken[w], taken[victim] = true, true
				all = append(all, imagestest.File(w, ""))
			}
		}
	}
	var here []string // files of this layer
	for range 5 + g.IntN(40) {
		name := g.dirs[g.IntN(len(g.dirs))] + "/" + g.name()
		if taken[name] {
			continue
		}
		taken[name] = true
		e := imagestest.Entry{Name: name, Mode: []int64{0, 0o600, 0o4755, 0o1777}[g.IntN(4)]}
		switch k := g.IntN(10); {
		case k < 2:
			g.dirs = append(g.dirs, name)
			e.Name += "/"
		case k < 3:
			e.Link = "../" + g.name()
		case k < 4 && len(here) > 0:
			e.Link, e.Hard = here[g.IntN(len(here))], true
		default:
			e.Body = imagestest.Big(fmt.Sprint(g.IntN(100)), g.size())
			here = append(here, name)
			g.files = append(g.files, name)
		}
		all = append(all, e)
	}
	return imagestest.Layer{Entries: all, Compression: []imagestest.Compression{imagestest.Gzip, imagestest.Zstd, imagestest.None}[g.IntN(3)]}
}

// grow makes an image of some layers.
func grow(seed uint64) *imagestest.Image {
	g := &garden{Rand: rand.New(rand.NewPCG(seed, 1)), dirs: []string{"usr", "usr/lib", "etc", "var", "boot", "run"}}
	g.files = []string{"etc/nothing"}
	layers := []imagestest.Layer{g.layer(imagestest.Base())}
	for range g.IntN(3) {
		layers = append(layers, g.layer(nil))
	}
	return imagestest.New(imagestest.Options{Version: fmt.Sprint(seed)}, layers...)
}

func first() uint64 {
	if *seed != 0 {
		return *seed
	}
	return uint64(time.Now().UnixNano())
}

// TestRandom compares images that are made on the spot, in repositories of each
// kind, and the tars that are given back.
func TestRandom(t *testing.T) {
	theirs, ours := theirs(t), ours(t)
	from := first()
	t.Logf("-seed %d", from)
	for _, kind := range kinds() {
		t.Run(strings.Join(append([]string{"kind"}, kind...), " "), func(t *testing.T) {
			their, our := newRepository(t, theirs, kind), newRepository(t, ours, kind)
			for n := range *images {
				img := grow(from + uint64(n))
				layout := filepath.Join(t.TempDir(), "layout")
				must(t, img.SaveLayout(layout))
				name := fmt.Sprintf("seed-%d", from+uint64(n))
				their.must(theirs, "oci", "pull", "--bootable", "oci:"+layout+":latest", name)
				our.must(ours, "oci", "pull", "--bootable", "oci:"+layout+":latest", name)
				compare(t, name, their, our, theirs, ours)
				same(t, name+" inspect", our.must(ours, "oci", "inspect", name), their.must(theirs, "oci", "inspect", name))
				for _, d := range diffIDs(t, img) {
					same(t, name+" layer", our.must(theirs, "oci", "layer", d), their.must(ours, "oci", "layer", d))
					// The digest of a stream depends on the compressor.
					same(t, name+" layer --json", without(our.must(ours, "oci", "layer", "--json", d), "verity"), without(their.must(theirs, "oci", "layer", "--json", d), "verity"))
				}
			}
			their.sound(theirs, ours)
			our.sound(theirs, ours)
		})
	}
}

// without drops the lines that have a word.
func without(text, word string) string {
	var kept []string
	for line := range strings.Lines(text) {
		if !strings.Contains(line, word) {
			kept = append(kept, line)
		}
	}
	return strings.Join(kept, "")
}
