package upgrade

import (
	"context"
	"fmt"
	"strings"

	"github.com/bootc-go/bootc"
	"github.com/bootc-go/bootc/internal/content/images"
	"github.com/bootc-go/bootc/internal/machine"
	"github.com/bootc-go/bootc/internal/machine/boot"
)

// Room is what an update needs, as far as that is known before anything is
// fetched.
type Room struct {
	images.Need // on the root file system
	// Garbage is what Apply removes there first. It is only looked for where the
	// update may not fit without.
	Garbage int64
	// ESP is what the update needs on the boot partition if its kernel and
	// initrd are as large as those that run, and not the same.
	ESP boot.Room
	// Other is what the deployments that could give way take there.
	Other int64
}

// Room works out what the update needs. Nothing is changed.
func (p *Plan) Room(ctx context.Context) (Room, error) {
	r := Room{}
	var err error
	if r.ESP, err = p.m.Loader.RoomLike(p.m.Booted.ID); err != nil {
		return r, err
	}
	var others []bootc.ID
	for _, d := range p.current {
		if d.Slot != bootc.Booted {
			others = append(others, d.ID)
		}
	}
	if r.Other, err = p.m.Loader.Frees(true, others...); err != nil {
		return r, err
	}
	if r.Need, err = p.m.Repo.Need(ctx, p.source); err != nil || r.Estimate <= r.Free {
		return r, err
	}
	layers, err := images.DiffIDs(ctx, p.source)
	if err != nil {
		return r, err
	}
	g, err := p.m.Collect(ctx, images.CollectOptions{Layers: layers, DryRun: true})
	r.Garbage = g.Bytes
	return r, err
}

// checkNeed refuses an image that cannot fit, before anything of it is fetched,
// and tells when it may not. Garbage has been collected.
func (p *Plan) checkNeed(ctx context.Context, progress bootc.Progress) error {
	n, err := p.m.Repo.Need(ctx, p.source)
	if err != nil {
		return err
	}
	if n.Estimate > n.Free {
		progress.Send(bootc.Notice{Text: fmt.Sprintf("warning: %d missing layers may take %d MiB, %d MiB are free", n.Layers, n.Estimate>>20, n.Free>>20)})
	}
	return n.Fits()
}

// givesWay says what the plan for the boot partition costs, "" for nothing.
func (p *Plan) givesWay(r *machine.Room) string {
	if r == nil || len(r.Drops) == 0 {
		return ""
	}
	var names []string
	for _, id := range r.Drops {
		names = append(names, id.Short())
	}
	return fmt.Sprintf("the ESP has no room for another kernel (%d MiB free, %d MiB needed): deployment %s is removed first; there is no way back to it",
		r.Free>>20, (r.Needed+1<<20-1)>>20, strings.Join(names, ", "))
}
