package build

import (
	"fmt"

	"github.com/bootc-go/bootc/internal/format/tree"
	"github.com/bootc-go/bootc/internal/machine/custom"
	"github.com/bootc-go/bootc/internal/machine/deploy"
)

// customize changes the /etc of the deployment and /var, in the tree of the
// physical root, and takes out of it what is in volumes.
func (p *Plan) customize(root *tree.Tree, s *source, volumes []*volume) error {
	system := custom.System{
		Image: s.boots, Etc: root.Lookup(deploy.EtcPath(s.id)), Var: root.Lookup(deploy.VarPath()),
		Read: s.m.Repo.ReadFile, Now: s.time, Salt: string(p.Manifest) + "\x00" + p.Options.Seed,
	}
	if seed := p.Options.NoCloud; seed != nil {
		if err := custom.PutSeed(*seed, system); err != nil {
			return fmt.Errorf("--nocloud: %w", err)
		}
	}
	if err := custom.Apply(&p.Options.Customize, system); err != nil {
		return err
	}
	return takeOut(volumes, system)
}
