package vm_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/bootc-go/bootc/test/crash"
	"github.com/bootc-go/bootc/test/vm"
)

var cuts = flag.Int("cuts", 3, "at how many flushes of an upgrade TestPowerCutAtFlushes cuts the power; 0: at each")

// TestPowerCutAtFlushes records every write of an upgrade from staging to the
// end of the shutdown, and boots what the disk was like after some of the
// flushes: each time a whole system, the old or the new one.
func TestPowerCutAtFlushes(t *testing.T) {
	s := newStory(t)
	v1 := s.v1(vm.Dracut)
	base := s.installedDisk("machine", v1)
	// What replaying begins with is what recording began with.
	recorded, replayed := s.rawCopy("recorded", base), s.rawCopy("replayed", base)
	recorded.Record = filepath.Join(s.lab.Out, s.name("writes.log"))
	s.must(os.WriteFile(recorded.Record, nil, 0o644))
	s.discard(vm.Disk{Path: recorded.Record})
	g := s.boot("recorded", vm.Hardware{Disks: []vm.Disk{recorded}})
	g.follow(v1)
	s.publish(s.derive(v1, "other"), s.stable())
	g.run("sync")
	begin := s.entries(recorded.Record)
	g.wantIn("bootc upgrade", "Queued for next boot")
	g.shutdown()

	r, err := crash.ReadRecording(recorded.Record)
	s.must(err)
	defer r.Close()
	places := choose(r.Flushes(), begin, *cuts)
	if len(places) == 0 {
		t.Fatalf("no flushes among %d entries", len(r.Entries))
	}
	done := 0
	for i, place := range places {
		s.must(r.Replay(replayed.Path, done, place))
		done = place
		disk, err := s.lab.Overlay(s.ctx, s.name(fmt.Sprintf("cut%d", i)), replayed)
		s.must(err)
		s.discard(disk)
		g := s.boot(fmt.Sprintf("cut%d", i), vm.Hardware{Disks: []vm.Disk{disk}})
		version := g.run("cat /usr/share/lab/version")
		g.tell("cut after write %d of %d: version %s", place, len(r.Entries), version)
		if version != "1" && version != "other" {
			t.Fatalf("the machine runs version %q", version)
		}
		g.wantWhole(version)
		if i == len(places)-1 && version != "other" {
			t.Error("after the last flush the machine still runs the old version")
		}
		g.PowerCut() // nothing more is wanted of it, and the next cut needs its base
	}
}

// entries is how many writes a machine that is on has made so far.
func (s *story) entries(log string) int {
	s.t.Helper()
	r, err := crash.ReadRecording(log)
	s.must(err)
	defer r.Close()
	return len(r.Entries)
}

// choose takes n of the flushes after the entry begin, the last one among them.
func choose(flushes []int, begin, n int) []int {
	for len(flushes) > 0 && flushes[0] <= begin {
		flushes = flushes[1:]
	}
	if n == 0 || n >= len(flushes) {
		return flushes
	}
	var places []int
	for i := range n {
		places = append(places, flushes[(i+1)*len(flushes)/n-1])
	}
	return places
}

func (s *story) rawCopy(name string, base vm.Disk) vm.Disk {
	s.t.Helper()
	d, err := s.lab.RawCopy(s.ctx, s.name(name), base)
	s.must(err)
	s.discard(d)
	return d
}
