package build

import (
	"bufio"
	"bytes"
	"fmt"
	"path"
	"strings"

	"github.com/bootc-go/bootc"
	"github.com/bootc-go/bootc/internal/format/gpt"
	"github.com/bootc-go/bootc/internal/format/tree"
)

// tellGrowth tells what the owner may not expect of an image on a disk that is larger
// than its root: that the root stays as it is, or that it does not although its size
// was asked for.
func (p *Plan) tellGrowth(t *tree.Tree, arch string, read func(*tree.Node) ([]byte, error), progress bootc.Progress) error {
	by, why, err := grower(t, arch, read)
	if err != nil {
		return err
	}
	asked := p.Options.Install.Storage.RootSize > 0
	switch {
	case by == "" && !asked:
		progress.Send(bootc.Notice{Text: fmt.Sprintf("notice: the image does not grow its root on a larger disk (%s)", why)})
	case by != "" && asked:
		progress.Send(bootc.Notice{Text: fmt.Sprintf("notice: the image grows its root over what --root-size leaves free (%s)", by)})
	}
	return nil
}

// grower returns what in an image grows the root: a definition of repart.d(5), or the
// unit for growpart that images of the Fedora family have; or why nothing does.
func grower(t *tree.Tree, arch string, read func(*tree.Node) ([]byte, error)) (by, why string, err error) {
	const unit = "/usr/lib/systemd/system/bootc-generic-growpart.service"
	if t.Lookup(unit) != nil && t.Lookup("/usr/bin/growpart") != nil {
		return unit, "", nil
	}
	definition, err := rootDefinition(t, arch, read)
	switch {
	case err != nil:
		return "", "", err
	case definition == "":
		return "", "no definition in /usr/lib/repart.d", nil
	case t.Lookup("/usr/bin/systemd-repart") == nil && t.Lookup("/bin/systemd-repart") == nil:
		return "", "it has " + definition + ", but no systemd-repart", nil
	}
	return definition, "", nil
}

// rootDefinition finds the file that defines the root for systemd-repart. Of files with
// the same name the first one counts.
func rootDefinition(t *tree.Tree, arch string, read func(*tree.Node) ([]byte, error)) (string, error) {
	seen := map[string]bool{}
	for _, name := range []string{"/etc/repart.d", "/usr/local/lib/repart.d", "/usr/lib/repart.d"} {
		dir := t.Lookup(name)
		if dir == nil || !dir.IsDir() {
			continue
		}
		for file, n := range dir.Entries() {
			if !strings.HasSuffix(file, ".conf") || seen[file] {
				continue
			}
			seen[file] = true
			if !n.IsRegular() { // a link to /dev/null: there is none of this name
				continue
			}
			data, err := read(n)
			if err != nil {
				return "", fmt.Errorf("reading %s of the image: %w", path.Join(name, file), err)
			}
			if definesRoot(data, arch) {
				return path.Join(name, file), nil
			}
		}
	}
	return "", nil
}

// definesRoot reports whether a definition is for the root of an architecture.
func definesRoot(data []byte, arch string) bool {
	names := []string{"root", "root-" + map[string]string{"amd64": "x86-64", "arm64": "arm64"}[arch]}
	if id, err := gpt.Root(arch); err == nil {
		names = append(names, id.String())
	}
	section, kind := "", ""
	for lines := bufio.NewScanner(bytes.NewReader(data)); lines.Scan(); {
		line := strings.TrimSpace(lines.Text())
		if strings.HasPrefix(line, "[") {
			section = line
		}
		if key, value, ok := strings.Cut(line, "="); ok && section == "[Partition]" && strings.TrimSpace(key) == "Type" {
			kind = strings.TrimSpace(value)
		}
	}
	for _, name := range names {
		if strings.EqualFold(kind, name) {
			return true
		}
	}
	return false
}
