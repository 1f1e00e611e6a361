package build

import (
	"github.com/bootc-go/bootc"
	"github.com/bootc-go/bootc/internal/format/tree"
	"github.com/bootc-go/bootc/internal/machine"
	"github.com/bootc-go/bootc/internal/machine/custom"
	"github.com/bootc-go/bootc/internal/machine/deploy"
)

// customize changes the /etc of the deployment and /var, in the tree of the
// physical root. image is the tree that boots.
func (p *Plan) customize(disk, image *tree.Tree, m *machine.Machine, id bootc.ID, now int64) error {
	return custom.Apply(&p.Options.Customize, custom.System{
		Image: image, Etc: disk.Lookup(deploy.EtcPath(id)), Var: disk.Lookup(deploy.VarPath()),
		Read: m.Repo.ReadFile, Now: now, Salt: string(p.Manifest) + "\x00" + p.Options.Seed,
	})
}
