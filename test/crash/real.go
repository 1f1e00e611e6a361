package crash

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/bootc-go/bootc/internal/format/bls"
	"github.com/bootc-go/bootc/test/vm"
)

// RealBoot is what [Machines] do with a state beside the next verbs.
const RealBoot = "boot"

// boots really boots states: firmware, boot loader, kernel and initramfs program
// from the disk, with a kernel's mount in place of our replay, no fsck, and every file
// of the image read through fs-verity. What is up has to be what the judge had said.
func (m Machines) boots(ctx context.Context, lab *vm.Lab, r *Recorded, states []Judged) ([]RealRow, error) {
	var jobs []job
	for _, j := range states {
		jobs = append(jobs, job{what: RealBoot, state: j})
	}
	return m.share(jobs, "real ", func(number int, work func(do func(job) ([]string, error)) error) error {
		name := fmt.Sprint("real-", number)
		file := filepath.Join(lab.Out, name+".raw")
		v, err := r.openDrive(file, m.Seed)
		if err != nil {
			return err
		}
		defer os.Remove(file)
		defer v.close()
		b := &booting{lab: lab, name: name, disk: vm.Disk{Path: file, Format: "raw"}}
		return work(func(j job) ([]string, error) { return v.boot(ctx, b, j.state) })
	})
}

// boot boots a state and says what is wrong.
func (v *drive) boot(ctx context.Context, b *booting, j Judged) ([]string, error) {
	before, err := v.hand(j.State)
	if err != nil {
		return nil, err
	}
	if err := b.forget(); err != nil {
		return nil, err
	}
	version, failed := b.boot(ctx)
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	if err := v.take(); err != nil {
		return nil, err
	}
	if failed != nil {
		return []string{failed.Error()}, nil
	}
	after := v.look(nil)
	why := after.Wrong
	want, outcomes := loaderTakes(j.Outcome)
	if version != want {
		why = append(why, fmt.Sprintf("version %s is up, not %s", version, want))
	}
	if !slices.Contains(outcomes, after.Outcome) {
		why = append(why, fmt.Sprintf("the outcome is %q, not one of %q", after.Outcome, outcomes))
	}
	return append(why, kept(before, after)...), nil
}

// loaderTakes is what systemd-boot boots of an outcome, and what it may leave. Where
// the name that it gives to the entry is there already, it leaves both.
func loaderTakes(outcome string) (version string, after []string) {
	entries, staged, isStaged := strings.Cut(outcome, ", ")
	all := strings.Fields(entries)
	version, _, counted := strings.Cut(all[0], "+")
	if counted {
		n, err := bls.ParseName(all[0] + ".conf")
		if err != nil {
			return version, nil
		}
		if n.Left > 0 {
			n.Left, n.Done = n.Left-1, n.Done+1
		}
		name := n.Base + counter(n)
		rest := all[1:]
		if slices.Contains(rest, name) {
			after = append(after, outcome)
		}
		if n.Left > 0 {
			all = append([]string{name}, rest...)
		} else {
			all = append(slices.Clone(rest), name)
		}
	}
	text := strings.Join(all, " ")
	if isStaged {
		text += ", " + staged
	}
	return version, append(after, text)
}
