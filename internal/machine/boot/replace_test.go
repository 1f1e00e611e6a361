package boot_test

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/bootc-go/bootc/internal/machine/boot"
	"github.com/bootc-go/bootc/internal/machine/boot/boottest"
)

// put writes a file as install does.
func put(t *testing.T, f *boottest.FAT, name, text string) {
	t.Helper()
	w, err := f.Create(name)
	if err == nil {
		_, err = io.WriteString(w, text)
		err = errors.Join(err, w.Close())
	}
	if err != nil {
		t.Fatal(err)
	}
}

func get(f *boottest.FAT, name string) string {
	r, err := f.Open(name)
	if err != nil {
		return err.Error()
	}
	defer r.Close()
	data, err := io.ReadAll(r)
	if err != nil {
		return err.Error()
	}
	return string(data)
}

// TestReplaceCut replaces a boot loader and cuts the power at each flush, in ways
// in which the sectors can have reached the disk, and the repair after it again. There
// is always a whole one, the old or the new, and the other copy is never touched.
func TestReplaceCut(t *testing.T) {
	const name, other = "EFI/BOOT/X.EFI", "EFI/systemd/x.efi"
	old, next := strings.Repeat("old ", 300), strings.Repeat("new ", 320)
	fat := boottest.New(200)
	for _, d := range []string{"EFI", "EFI/BOOT", "EFI/systemd"} {
		if err := fat.Mkdir(d); err != nil {
			t.Fatal(err)
		}
	}
	put(t, fat, name, old)
	put(t, fat, other, "other")
	if err := fat.Flush(); err != nil {
		t.Fatal(err)
	}
	rnd := rand.New(rand.NewPCG(8, 8))
	cuts := 0
	var replace func(f *boottest.FAT, depth int)
	replace = func(f *boottest.FAT, depth int) {
		var moments []*boottest.Snapshot
		f.BeforeFlush = func() { moments = append(moments, f.Snapshot()) }
		err := boot.On(f).Replace(context.Background(), name, content([]byte(next)))
		f.BeforeFlush = nil
		if err != nil {
			t.Fatalf("Replace at depth %d: %v", depth, err)
		}
		if got := get(f, name); got != next {
			t.Fatalf("after Replace the file has %d bytes", len(got))
		}
		if depth == 2 {
			return
		}
		for n, m := range moments {
			all := choices(m.States(), rnd, 8)
			if depth > 0 {
				rnd.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
				all = all[:min(3, len(all))]
			}
			for _, choice := range all {
				cut := m.Cut(choice)
				cuts++
				if got := get(cut, name); got != old && got != next {
					t.Fatalf("depth %d, flush %d: the file has %d bytes: %.20q", depth, n, len(got), got)
				}
				if got := get(cut, other); got != "other" {
					t.Fatalf("depth %d, flush %d: the other copy is %q", depth, n, got)
				}
				replace(cut, depth+1)
			}
		}
	}
	replace(fat, 0)
	t.Logf("%d cuts", cuts)
	if _, err := fat.Open(name + ".new"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%s.new is left: %v", name, err)
	}
}
