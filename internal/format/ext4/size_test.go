package ext4_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/bootc-go/bootc/internal/format/ext4"
	"github.com/bootc-go/bootc/internal/format/tree"
	"github.com/bootc-go/bootc/internal/format/verity"
)

// TestSize makes file systems that are just large enough.
func TestSize(t *testing.T) {
	many := newFixture()
	for k := range 30000 {
		many.add(fmt.Sprintf("%d/%d", k%97, k), &tree.Node{Mode: tree.TypeRegular | 0o644})
	}
	for name, f := range map[string]*fixture{"empty": newFixture(), "everything": everything(), "many": many} {
		o := options(0, sealAll)
		size, err := ext4.Size(f.Tree, o)
		if err != nil {
			t.Fatal(err)
		}
		o.Size, o.Open = size, f.open
		i, err := ext4.New(f.Tree, o)
		if err != nil || size%mib != 0 || i.Free() > 2*mib && size > 16*mib {
			t.Fatalf("%s: %d of %d bytes are free; %v", name, i.Free(), size, err)
		}
		check(t, f.write(t, o))
	}
}

// TestSizeOfLarge lays out what is not written: files of any size, alone.
func TestSizeOfLarge(t *testing.T) {
	for shift := 20; shift < 37; shift++ {
		for _, more := range []uint64{0, 1, 1<<shift/3 + 1, 1<<shift - 1} {
			f := newFixture()
			f.add("file", &tree.Node{Mode: tree.TypeRegular | 0o644, Size: 1<<shift + more, Object: verity.Sum(verity.SHA512, nil)})
			o := options(0, nil)
			size, err := ext4.Size(f.Tree, o)
			if err != nil {
				t.Fatal(err)
			}
			o.Size = size
			i, err := ext4.New(f.Tree, o)
			if err != nil || i.Free() > 14*mib+size/1000 && size > 16*mib {
				t.Fatalf("a file of %d bytes: %d of %d bytes are free; %v", 1<<shift+more, i.Free(), size, err)
			}
		}
	}
}

func TestSizeRefused(t *testing.T) {
	f := newFixture()
	f.add("file", &tree.Node{Mode: tree.TypeRegular | 0o644, Size: 1 << 38, Object: verity.Sum(verity.SHA512, nil)})
	if _, err := ext4.Size(f.Tree, options(0, nil)); err == nil || !strings.Contains(err.Error(), "is in too many pieces") {
		t.Errorf("256 GiB: %v", err)
	}
	if _, err := ext4.Size(f.Tree, ext4.Options{Label: "seventeen letters"}); err == nil || !strings.Contains(err.Error(), "ext4 takes 16") {
		t.Errorf("a long label: %v", err)
	}
}
