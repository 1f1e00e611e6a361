package boot

import (
	"io/fs"
	"path"
	"strings"
)

// Collect removes the kernels, initrds and unified kernel images of ours that
// no entry names, neither of the loader nor staged. It judges by the names in
// the entries, as the ID in the name of a file may be another deployment's.
// What is not ours, or not as we make it, is left alone; if an entry cannot be
// read, nothing is removed.
func (l *SystemdBoot) Collect() error {
	if err := l.removeSets(nextDir); err != nil {
		return err
	}
	named, err := l.named()
	if err != nil {
		return err
	}
	return l.eachUnused(named, l.removeTree)
}

// Unused lists what Collect removes, by path on the boot partition.
func (l *SystemdBoot) Unused() ([]string, error) {
	named, err := l.named()
	if err != nil {
		return nil, err
	}
	var all []string
	err = l.eachUnused(named, func(name string) error {
		all = append(all, name)
		return nil
	})
	return all, err
}

// eachUnused calls do for what the text of entries does not name. Each is looked
// at when its turn comes: what do did before may have damaged it.
func (l *SystemdBoot) eachUnused(named string, do func(name string) error) error {
	if err := l.unusedKernels(named, do); err != nil {
		return err
	}
	return l.unusedUKIs(named, do)
}

// named returns the text of all entries, in small letters.
func (l *SystemdBoot) named() (string, error) {
	entries, err := l.Entries()
	if err != nil {
		return "", err
	}
	staged, err := l.StagedEntries()
	if err != nil {
		return "", err
	}
	return text(append(entries, staged...)), nil
}

// text joins entries, in small letters.
func text(entries []Entry) string {
	var all strings.Builder
	for _, e := range entries {
		all.Write(e.raw)
		all.WriteByte('\n')
	}
	return strings.ToLower(all.String())
}

// mentions reports whether a text has a file name that stands by itself.
func mentions(text, name string) bool {
	name = strings.ToLower(name)
	for {
		i := strings.Index(text, name)
		if i < 0 {
			return false
		}
		text = text[i+len(name):]
		if text == "" || strings.IndexByte("/\\ \t\r\n\"'", text[0]) >= 0 {
			return true
		}
	}
}

func (l *SystemdBoot) unusedKernels(named string, do func(string) error) error {
	all := l.artefacts(linuxDir)
	var kept, loose []string
	for _, e := range all {
		name := path.Join(linuxDir, e.Name())
		switch {
		case !e.IsDir():
		case mentions(named, e.Name()):
			kept = append(kept, name)
		default:
			loose = append(loose, name)
		}
	}
	for _, name := range loose {
		if l.holdsOnly(name, isKernelFile) && !l.sameAsAny(name, kept) {
			if err := do(name); err != nil {
				return err
			}
		}
	}
	return nil
}

func isKernelFile(e fs.DirEntry) bool {
	return e.Type().IsRegular() && (e.Name() == "vmlinuz" || e.Name() == "initrd")
}

// sameAsAny reports whether a directory that no entry names may be a second
// name of one that is in use. A cut while a directory was made can leave a name
// that leads to a free cluster, which another directory then gets.
func (l *SystemdBoot) sameAsAny(name string, kept []string) bool {
	for _, k := range kept {
		if l.maybeSame(name, k) {
			return true
		}
	}
	return false
}

func (l *SystemdBoot) unusedUKIs(named string, do func(string) error) error {
	all := l.artefacts(ukiDir)
	for _, e := range all {
		name := path.Join(ukiDir, e.Name())
		image, isExtra := strings.CutSuffix(e.Name(), extraDir)
		ours := e.Type().IsRegular() && !isExtra || e.IsDir() && isExtra && l.holdsOnly(name, isAddon)
		if !ours || !strings.HasSuffix(image, ukiSuffix) || mentions(named, image) {
			continue
		}
		if err := do(name); err != nil {
			return err
		}
	}
	return nil
}

func isAddon(e fs.DirEntry) bool {
	return e.Type().IsRegular() && strings.HasSuffix(e.Name(), addonTail)
}

// artefacts lists what carries our prefix in a directory. It may be missing, or
// a name that leads nowhere; then there is nothing.
func (l *SystemdBoot) artefacts(dir string) []fs.DirEntry {
	all, err := l.v.ReadDir(dir)
	if err != nil {
		return nil
	}
	var ours []fs.DirEntry
	for _, e := range all {
		if strings.HasPrefix(e.Name(), dirPrefix) {
			ours = append(ours, e)
		}
	}
	return ours
}
