package boot_test

import (
	"strings"
	"testing"

	"github.com/bootc-go/bootc"
	"github.com/bootc-go/bootc/internal/machine/boot/boottest"
)

// TestFrees: what other deployments name, too, does not become free.
func TestFrees(t *testing.T) {
	c := &computer{fat: boottest.New(300)}
	for _, step := range []func() error{
		func() error { return c.install(v1) },
		func() error { return c.stage(v2) }, // the same kernel
		c.finalize,
		func() error { return c.stage(v3) },
	} {
		if err := step(); err != nil {
			t.Fatal(err)
		}
	}
	clusters := func(s system) int64 {
		up := func(n int) int64 { return int64(n+boottest.ClusterSize-1) / boottest.ClusterSize }
		return 1 + up(len(s.linux())) + up(len(s.initrd()))
	}
	for _, tt := range []struct {
		name   string
		staged bool
		ids    []bootc.ID
		want   int64
	}{
		{"nothing", false, nil, 0},
		{"one of two with a kernel", false, []bootc.ID{v1.id}, 0},
		{"both, but one is staged too", false, []bootc.ID{v1.id, v2.id}, 0},
		{"the staged one", true, nil, clusters(v3)},
		{"all", true, []bootc.ID{v1.id, v2.id}, clusters(v1) + clusters(v3)},
	} {
		got, err := c.loader().Frees(tt.staged, tt.ids...)
		if err != nil || got != tt.want*boottest.ClusterSize {
			t.Errorf("%s: Frees = %d bytes, %v, want %d", tt.name, got, err, tt.want*boottest.ClusterSize)
		}
	}
}

// TestKernelRoom: what is shared takes nothing.
func TestKernelRoom(t *testing.T) {
	c := &computer{fat: boottest.New(300)}
	if err := c.install(v1); err != nil {
		t.Fatal(err)
	}
	same, err := c.loader().KernelRoom(content(v2.linux()), content(v2.initrd()))
	if err != nil {
		t.Fatal(err)
	}
	other, err := c.loader().KernelRoom(content(v3.linux()), content(v3.initrd()))
	if err != nil {
		t.Fatal(err)
	}
	if more := other.Needed - same.Needed; more < int64(len(v3.linux())+len(v3.initrd())) {
		t.Errorf("another kernel takes %d bytes more than a shared one, it has %d", more, len(v3.linux())+len(v3.initrd()))
	}
	entries, err := c.loader().Entries()
	if err != nil || !same.Shares(&entries[0]) || other.Shares(&entries[0]) {
		t.Errorf("Shares = %v and %v, %v; want that only the same kernel is shared", same.Shares(&entries[0]), other.Shares(&entries[0]), err)
	}
}

// TestDrop removes entries and files of the ones that give way, and nothing else.
func TestDrop(t *testing.T) {
	c := &computer{fat: boottest.New(300)}
	for _, step := range []func() error{func() error { return c.install(v1) }, func() error { return c.stage(v3) }, c.finalize} {
		if err := step(); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.loader().Drop(v1.id, v3.id); err == nil || !strings.HasPrefix(err.Error(), "internal error: ") {
		t.Errorf("Drop of all deployments = %v, want an internal error", err)
	}
	before, err := c.loader().Entries()
	if err != nil {
		t.Fatal(err)
	}
	free, _, _ := c.fat.Room()
	frees, err := c.loader().Frees(false, v1.id)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.loader().Drop(v1.id); err != nil {
		t.Fatal(err)
	}
	after, err := c.loader().Entries()
	if err != nil || len(after) != 1 || after[0].ID != v3.id || after[0].Name != before[0].Name {
		t.Errorf("entries %v, %v, want that of %s as it was", after, err, v3.id.Short())
	}
	// The cluster of the entry is free, too.
	if now, _, _ := c.fat.Room(); now < free+frees {
		t.Errorf("%d bytes became free, want %d", now-free, frees)
	}
}
