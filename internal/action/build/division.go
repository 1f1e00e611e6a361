package build

import (
	"fmt"
	"path"

	"github.com/bootc-go/bootc"
	"github.com/bootc-go/bootc/internal/format/blueprint"
	"github.com/bootc-go/bootc/internal/format/tree"
)

// takeDivision lets the image say how the disk is divided, where the owner has said
// nothing about it. As with bootc-image-builder, nothing else in its file counts: the
// owner's users and files are not the image's business, and its own are in it already.
func (p *Plan) takeDivision(s *source, progress bootc.Progress) error {
	if p.Options.Customize.Divided {
		return nil
	}
	name, n := findDivision(s.boots)
	if n == nil {
		return nil
	}
	data, err := s.m.Repo.ReadFile(n)
	if err != nil {
		return fmt.Errorf("reading %s of the image: %w", name, err)
	}
	b, passed, err := blueprint.ParseDisk(name, data)
	if err != nil {
		return fmt.Errorf("%s of the image, in place of which [customizations.disk] in --config counts: %w", name, err)
	}
	for _, key := range passed {
		progress.Send(bootc.Notice{Text: fmt.Sprintf("notice: %s of the image: %s is passed over", name, key)})
	}
	c := &p.Options.Customize
	c.DiskSize, c.RootSize, c.Partitions, c.Divided = b.DiskSize, b.RootSize, b.Partitions, b.Divided
	return nil
}

// findDivision finds the file, the first of those that there may be. One that is too
// large to be read into memory is none.
func findDivision(image *tree.Tree) (string, *tree.Node) {
	const most = 16 << 20 // bytes
	for _, dir := range []string{"/usr/lib/image-builder/bootc", "/usr/lib/bootc-image-builder"} {
		for _, file := range []string{"config.toml", "config.json"} {
			name := path.Join(dir, file)
			if n := image.Resolve(name); n != nil && n.IsRegular() && n.Size <= most {
				return name, n
			}
		}
	}
	return "", nil
}
