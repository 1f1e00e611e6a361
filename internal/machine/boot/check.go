package boot

import (
	"errors"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/bootc-go/bootc"
	"github.com/bootc-go/bootc/internal/format/bls"
)

// An Unreadable is a boot entry that cannot be read.
type Unreadable struct {
	Name bls.Name
	Err  error
}

// A Set is what loader/entries holds, as far as it can be read.
type Set struct {
	Entries    []Entry // in the order in which the loader tries them
	Unreadable []Unreadable
}

// Set reads the boot entries of which some may be damaged. Two names that a torn
// rename of the loader has left of one entry are one.
func (l *SystemdBoot) Set() (*Set, error) {
	files, err := l.v.ReadDir(entriesDir)
	if errors.Is(err, fs.ErrNotExist) {
		return &Set{}, nil
	}
	if err != nil {
		return nil, err
	}
	s := &Set{}
	for _, f := range files {
		name, err := bls.ParseName(f.Name())
		if err != nil || !f.Type().IsRegular() {
			continue
		}
		data, err := l.readFile(path.Join(entriesDir, f.Name()), maxEntry)
		if err != nil {
			s.Unreadable = append(s.Unreadable, Unreadable{name, err})
			continue
		}
		raw, err := bls.Parse(f.Name(), data)
		if err != nil {
			return nil, err
		}
		s.Entries = append(s.Entries, l.identify(raw, data))
	}
	sortEntries(s.Entries)
	s.Entries = dropDoubles(s.Entries)
	return s, nil
}

// Placed reports whether the sort-keys of our entries, and their names, say the
// places that they have. The sort-keys alone make the order.
func Placed(ours []Entry) (keys, names bool) {
	all := plain(InPlaces(ours))
	keys, names = true, true
	for i, e := range arrange(all) {
		keys = keys && e.Get("sort-key") == all[i].Get("sort-key")
		names = names && e.Name.Base == all[i].Name.Base
	}
	return keys, names
}

// FirstByName reports whether the name of an entry is that of a first choice.
func FirstByName(n bls.Name) bool { return strings.HasSuffix(n.Base, "-1") }

// UKIOf returns the deployment for which the unified kernel image that the entry names
// was written, by its file name, "" if it names none. Where what the file says is
// another one, its content is that of another file.
func (e *Entry) UKIOf() bootc.ID {
	for _, key := range []string{"efi", "uki"} {
		base, ok := strings.CutPrefix(path.Base(cleanPath(e.Get(key))), dirPrefix)
		name, _, _ := strings.Cut(base, ".")
		if id, err := bootc.ParseID(name); ok && err == nil {
			return id
		}
	}
	return ""
}

// IsCredentials reports whether a path of an entry is the archive of credentials,
// which is no image's and may be empty.
func IsCredentials(name string) bool { return mayBeEmpty(name) }

// Open opens a file on the partition, which is also an [io.ReaderAt].
func (l *SystemdBoot) Open(name string) (fs.File, error) { return l.v.Open(name) }

// KernelDirs lists the directories of kernels and initrds, named by an entry or
// not, and UKIs the unified kernel images.
func (l *SystemdBoot) KernelDirs() []string {
	var all []string
	for _, e := range l.artefacts(linuxDir) {
		if e.IsDir() {
			all = append(all, path.Join(linuxDir, e.Name()))
		}
	}
	slices.Sort(all)
	return all
}

// UKIs is described with [SystemdBoot.KernelDirs].
func (l *SystemdBoot) UKIs() []string {
	var all []string
	for _, e := range l.artefacts(ukiDir) {
		if e.Type().IsRegular() && strings.HasSuffix(e.Name(), ukiSuffix) {
			all = append(all, path.Join(ukiDir, e.Name()))
		}
	}
	slices.Sort(all)
	return all
}

// Aside lists the directories of entries that a power cut has left: on their way,
// or set aside.
func (l *SystemdBoot) Aside() []string {
	all, err := l.v.ReadDir(loaderDir)
	if err != nil {
		return nil
	}
	var names []string
	for _, e := range all {
		if strings.HasPrefix(e.Name(), tornPrefix) || strings.HasPrefix(e.Name(), path.Base(nextDir)) {
			names = append(names, path.Join(loaderDir, e.Name()))
		}
	}
	return names
}

// The files that configure the loader, and what install writes to them.
const (
	LoaderConf  = "loader/loader.conf"
	EntriesSrel = "loader/entries.srel"
)

// Config is what install writes to [LoaderConf] and [EntriesSrel].
func Config() map[string]string {
	return map[string]string{EntriesSrel: "type1\n", LoaderConf: "#timeout 3\n#console-mode keep\n"}
}

// ReadFile reads a small file of the partition, such as [LoaderConf].
func (l *SystemdBoot) ReadFile(name string) ([]byte, error) { return l.readFile(name, maxEntry) }
