package installconfig

import (
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/BurntSushi/toml"
)

// Dirs lists the directories of the files. A file replaces one of the same name
// in an earlier directory.
func Dirs() []string {
	return []string{"/usr/lib/bootc/install", "/usr/local/lib/bootc/install", "/etc/bootc/install", "/run/bootc/install"}
}

// Wanted reports whether a name in one of the directories is that of a file.
func Wanted(name string) bool {
	return strings.HasSuffix(name, ".toml") && !strings.HasPrefix(name, ".")
}

// A File is one of the files. An empty one hides another of its name.
type File struct {
	Dir, Name string
	Data      []byte
}

// Load joins files, which are given directory by directory in the order of
// [Dirs]. They are read in byte order of their names; later values replace
// earlier ones, kernel arguments are added. arch is the architecture as
// match-architectures spells it.
func Load(files []File, arch string) (*Config, error) {
	last := map[string]File{}
	for _, f := range files {
		last[f.Name] = f
	}
	c := &Config{}
	applied := false
	for _, name := range slices.Sorted(maps.Keys(last)) {
		f := last[name]
		where := path.Join(f.Dir, name)
		t, unknown, err := parse(f.Data)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", where, err)
		}
		for _, key := range unknown {
			c.Unknown = append(c.Unknown, fmt.Sprintf("%s: %s", where, key))
		}
		if t == nil || t.MatchArchitectures != nil && !slices.Contains(t.MatchArchitectures, arch) {
			continue
		}
		if !applied {
			c.MatchArchitectures = t.MatchArchitectures
		}
		applied = true
		c.merge(t)
	}
	if applied && c.Block == nil {
		c.Block = []BlockSetup{Direct}
	}
	return c, nil
}

// parse reads one file; nil is one without [install].
func parse(data []byte) (c *Config, unknown []string, err error) {
	var file struct {
		Install *Config `toml:"install"`
	}
	meta, err := toml.Decode(string(data), &file)
	if err != nil { // which names the line
		return nil, nil, errors.New(strings.TrimPrefix(err.Error(), "toml: "))
	}
	for _, k := range meta.Keys() { // the decoder takes keys in any case
		switch key := k.String(); {
		case known(key):
		case strings.HasPrefix(key, "install.ostree."):
			unknown = append(unknown, key)
		default:
			return nil, nil, fmt.Errorf("unknown key %q", key)
		}
	}
	if file.Install != nil {
		file.Install.sync()
	}
	return file.Install, unknown, nil
}

// sync gives both spellings of the root's file system one value: that of the
// newer spelling, where a file has both.
func (c *Config) sync() {
	if c.Filesystem != nil && c.Filesystem.Root != nil && c.Filesystem.Root.Type != nil {
		c.RootFSType = c.Filesystem.Root.Type
		return
	}
	if c.RootFSType != nil {
		c.Filesystem = &Filesystems{Root: &RootFilesystem{Type: c.RootFSType}}
	}
}

// merge takes what another file sets. MatchArchitectures is not merged.
func (c *Config) merge(o *Config) {
	if o.Block != nil {
		c.Block = o.Block
	}
	extend(&c.Kargs, o.Kargs)
	extend(&c.KargDeletes, o.KargDeletes)
	set(&c.RootFSType, o.RootFSType)
	set(&c.Bootloader, o.Bootloader)
	set(&c.BootMountSpec, o.BootMountSpec)
	set(&c.RootMountSpec, o.RootMountSpec)
	set(&c.Stateroot, o.Stateroot)
	set(&c.DiscoverablePartitions, o.DiscoverablePartitions)
	set(&c.EnforceContainerSigpolicy, o.EnforceContainerSigpolicy)
	table(&c.Bootupd, o.Bootupd, func(to, from *Bootupd) { set(&to.SkipBootUUID, from.SkipBootUUID) })
	table(&c.Ostree, o.Ostree, func(to, from *Ostree) { set(&to.BLSAppendExceptDefault, from.BLSAppendExceptDefault) })
	table(&c.Filesystem, o.Filesystem, func(to, from *Filesystems) {
		table(&to.Root, from.Root, func(to, from *RootFilesystem) { set(&to.Type, from.Type) })
	})
}

func set[T any](to **T, from *T) {
	if from != nil {
		*to = from
	}
}

// extend adds to a list; an empty one is not nil.
func extend(to *[]string, more []string) {
	if *to == nil {
		*to = more
		return
	}
	*to = append(*to, more...)
}

// table merges a table into one that may not be there.
func table[T any](to **T, from *T, merge func(to, from *T)) {
	switch {
	case from == nil:
	case *to == nil:
		*to = from
	default:
		merge(*to, from)
	}
}
