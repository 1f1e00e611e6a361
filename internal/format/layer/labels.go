package layer

import (
	"fmt"
	"slices"
	"strings"

	"github.com/bootc-go/bootc/internal/format/selinux"
	"github.com/bootc-go/bootc/internal/format/tree"
)

const labelXattr = "security.selinux"

// A label is what one name of the tree gets. Only the root has no directory.
type label struct {
	dir   *tree.Node
	name  string
	node  *tree.Node
	label string // "" is none
}

// findLabels finds the label of every name in the tree, depth first, names in
// byte order; what is in a directory of empty does not count. Without a policy
// there are no labels.
func findLabels(t *tree.Tree, read Reader, empty []*tree.Node) ([]label, error) {
	contexts, err := readContexts(t, read)
	if contexts == nil || err != nil {
		return nil, err
	}
	l := labeller{contexts: contexts, empty: empty}
	root, err := contexts.Lookup("/", 'd')
	if err != nil {
		return nil, err
	}
	l.found = append(l.found, label{node: t.Root, label: root})
	err = l.walk("/", t.Root)
	return l.found, err
}

type labeller struct {
	contexts *selinux.Contexts
	empty    []*tree.Node
	found    []label
}

// walk labels what is in a directory and below. The path of each name goes once
// through the aliases of the policy, and what is below it follows.
func (l *labeller) walk(path string, dir *tree.Node) error {
	if slices.Contains(l.empty, dir) {
		return nil
	}
	if path != "/" {
		path += "/"
	}
	for _, name := range dir.Names() {
		n := dir.Child(name)
		below := l.contexts.Alias(path + name)
		text, err := l.contexts.Lookup(below, labelType(n))
		if err != nil {
			return fmt.Errorf("labelling %s: %w", quote(path+name), err)
		}
		l.found = append(l.found, label{dir, name, n, text})
		if n.IsDir() {
			if err := l.walk(below, n); err != nil {
				return err
			}
		}
	}
	return nil
}

func labelType(n *tree.Node) selinux.Type {
	switch n.Type() {
	case tree.TypeDir:
		return 'd'
	case tree.TypeSymlink:
		return 'l'
	case tree.TypeChar:
		return 'c'
	case tree.TypeBlock:
		return 'b'
	case tree.TypeFifo:
		return 'p'
	case tree.TypeSocket:
		return 's'
	}
	return '-'
}

// setLabels gives each name its label. Of the names of one file the first
// decides what the file gets; each later one with another label becomes a file
// of its own.
func setLabels(labels []label) {
	first := map[*tree.Node]string{} // of files with several names
	for _, l := range labels {
		if l.node.IsDir() || l.node.Nlink < 2 {
			setLabel(l.node, l.label)
			continue
		}
		switch have, ok := first[l.node]; {
		case !ok:
			first[l.node] = l.label
			setLabel(l.node, l.label)
		case have != l.label:
			c := *l.node
			c.Xattrs = slices.Clone(c.Xattrs)
			setLabel(&c, l.label)
			l.dir.SetChild(l.name, &c)
		}
	}
}

func setLabel(n *tree.Node, text string) {
	if text == "" {
		n.RemoveXattr(labelXattr)
		return
	}
	n.SetXattr(labelXattr, text)
}

// Labels say which labels the SELinux policy of an image gives.
type Labels struct{ contexts *selinux.Contexts }

// ReadLabels reads the policy of an image. Without one there are no labels.
func ReadLabels(t *tree.Tree, read Reader) (*Labels, error) {
	contexts, err := readContexts(t, read)
	return &Labels{contexts}, err
}

// Set gives a node the label that it has at an absolute path without links.
func (l *Labels) Set(path string, n *tree.Node) error {
	if l.contexts == nil {
		return nil
	}
	below := ""
	for name := range strings.SplitSeq(strings.Trim(path, "/"), "/") {
		below = l.contexts.Alias(below + "/" + name)
	}
	text, err := l.contexts.Lookup(below, labelType(n))
	if err != nil {
		return fmt.Errorf("labelling %s: %w", quote(path), err)
	}
	setLabel(n, text)
	return nil
}

// readContexts reads the file contexts of the policy of an image, nil if it has
// none.
func readContexts(t *tree.Tree, read Reader) (*selinux.Contexts, error) {
	policy, ok, err := selinuxType(t, read)
	if !ok || err != nil {
		return nil, err
	}
	contexts, err := readPolicy(t, read, policy)
	if err != nil {
		return nil, fmt.Errorf("SELinux policy %s of the image: %w", quote(policy), err)
	}
	return contexts, nil
}

// selinuxType returns the policy that /etc/selinux/config names, and whether it
// names one.
func selinuxType(t *tree.Tree, read Reader) (policy string, ok bool, err error) {
	data, err := readPolicyFile(t, read, "/etc/selinux/config")
	if data == nil || err != nil {
		return "", false, err
	}
	const key = "SELINUXTYPE"
	for line := range strings.Lines(string(data)) {
		k, value, found := strings.Cut(line, "=")
		if k = strings.TrimSpace(k); found && len(k) == len(key) && strings.EqualFold(k, key) {
			return strings.TrimSpace(value), true, nil
		}
	}
	return "", false, nil
}

// readPolicy reads the file contexts of a policy.
func readPolicy(t *tree.Tree, read Reader, policy string) (*selinux.Contexts, error) {
	dir := "/etc/selinux/" + policy + "/contexts/files/"
	files := selinux.Files{}
	for _, name := range []string{selinux.FileContexts, selinux.Local, selinux.Homedirs, selinux.Subs, selinux.SubsDist} {
		data, err := readPolicyFile(t, read, dir+name)
		if err != nil {
			return nil, err
		}
		files[name] = data
	}
	if files[selinux.FileContexts] == nil {
		return nil, fmt.Errorf("the image has no file %s: install the policy in its Containerfile, or remove /etc/selinux/config", quote(dir+selinux.FileContexts))
	}
	return selinux.Parse(files)
}

// maxPolicyFile bounds the size of a file of the policy; a usual one has some
// hundred KiB.
const maxPolicyFile = 64 << 20

// readPolicyFile returns nil for a file that does not exist.
func readPolicyFile(t *tree.Tree, read Reader, path string) ([]byte, error) {
	n, err := lookup(t, path)
	switch {
	case n == nil || err != nil:
		return nil, err
	case !n.IsRegular():
		return nil, fmt.Errorf("%s of the image is not a regular file", quote(path))
	case n.Size > maxPolicyFile:
		return nil, fmt.Errorf("%s of the image has %d bytes, at most %d are possible", quote(path), n.Size, maxPolicyFile)
	}
	data, err := read(n)
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", quote(path), err)
	}
	if data == nil {
		data = []byte{}
	}
	return data, nil
}
