// Package boot writes kernels and boot entries to the EFI system partition and
// decides their order. The boot loader is systemd-boot.
//
// It knows deployments only by their ID and never decides which one to keep:
// what an entry names is kept. Which update is staged is the caller's to know;
// loader/entries.staged alone says nothing.
//
// The partition is FAT, which has no journal. Between two flushes the writes of
// any operation reach the disk in any order, or not at all. The argument that
// every cut leaves the old entries or the new ones is in
// docs/formats/boot-entries.md; its rules are the invariants of this package:
//
//   - an entry is written after what it names is on disk;
//   - loader/entries changes only by one exchange with loader/entries.next,
//     which is complete and on disk before;
//   - nothing else is renamed, and no file is written twice;
//   - what an earlier cut has left is removed before anything is written;
//   - a name is removed and the removal is on disk before the clusters that it
//     leads to become free;
//   - a directory that may be a second name of another is never removed.
package boot

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"

	"github.com/bootc-go/bootc"
	"github.com/bootc-go/bootc/internal/format/bls"
	"github.com/bootc-go/bootc/internal/format/cmdline"
	"github.com/bootc-go/bootc/internal/format/uki"
)

// The names on the partition.
const (
	loaderDir  = "loader"
	entriesDir = "loader/entries"
	stagedDir  = "loader/entries.staged"
	nextDir    = "loader/entries.next"
	tornPrefix = "entries.torn-"

	// stagedMark is an empty file among the staged entries. With it they never
	// look like the same entries in loader/entries, and can be removed after
	// the switch.
	stagedMark = "bootc-staged"

	linuxDir   = "EFI/Linux"
	ukiDir     = "EFI/Linux/bootc"
	dirPrefix  = "bootc_composefs-"
	ukiSuffix  = ".efi"
	extraDir   = ".extra.d"
	addonTail  = ".addon.efi"
	namePrefix = "bootc_" // of the entries that are ours
)

// maxEntry bounds the size of an entry that is read.
const maxEntry = 1 << 20

// SystemdBoot is systemd-boot on an EFI system partition. It is not safe for
// concurrent use: its caller holds the machine's lock.
type SystemdBoot struct{ v Volume }

// New returns the boot loader of a mounted EFI system partition. Nothing is
// read.
func New(esp *os.Root) *SystemdBoot { return On(Mounted(esp)) }

// On returns the boot loader of a volume.
func On(v Volume) *SystemdBoot { return &SystemdBoot{v} }

// An Entry is a boot entry of a deployment, or a foreign one.
type Entry struct {
	bls.Entry
	// ID is the deployment that it boots; "" for an entry that boots none.
	ID bootc.ID
	// Cmdline is the kernel command line: the entry's options, or what the
	// unified kernel image carries.
	Cmdline string

	raw []byte // the file as it is
}

// Options returns the options line, "" for a unified kernel image.
func (e *Entry) Options() string { return e.Get("options") }

// Ours reports whether the entry is this package's to rename and drop. Every
// other one is foreign: it is kept byte for byte.
func (e *Entry) Ours() bool {
	return strings.HasPrefix(strings.ToLower(e.Name.Base), namePrefix)
}

// Files lists the files that the entry boots, by their paths on the partition.
func (e *Entry) Files() []string {
	var all []string
	for _, key := range []string{"linux", "initrd", "efi", "uki"} {
		all = append(all, e.FilesOf(key)...)
	}
	return all
}

// FilesOf lists the files of one key, by their paths on the partition.
func (e *Entry) FilesOf(key string) []string {
	var all []string
	for _, v := range e.All(key) {
		all = append(all, cleanPath(v))
	}
	return all
}

func cleanPath(p string) string {
	return strings.TrimPrefix(path.Clean("/"+strings.ReplaceAll(p, `\`, "/")), "/")
}

// Entries lists the boot entries, foreign ones too, in the order in which the
// loader tries them.
func (l *SystemdBoot) Entries() ([]Entry, error) { return l.read(entriesDir) }

// StagedEntries lists the entries that the next switch brings, in their order;
// none if there are none.
func (l *SystemdBoot) StagedEntries() ([]Entry, error) {
	dirs, err := l.sets(stagedDir)
	if err != nil {
		return nil, err
	}
	for _, dir := range dirs {
		if _, err := l.v.ReadDir(dir); err != nil || l.maybeSame(dir, entriesDir) {
			continue // it leads nowhere, or to the loader's own entries
		}
		if all, err := l.read(dir); err != nil || len(all) > 0 {
			return all, err
		}
	}
	return nil, nil
}

// read lists the entries in a directory, none if it does not exist. What is
// not an entry to systemd-boot is left out.
func (l *SystemdBoot) read(dir string) ([]Entry, error) {
	files, err := l.v.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var all []Entry
	for _, f := range files {
		if _, err := bls.ParseName(f.Name()); err != nil || !f.Type().IsRegular() {
			continue
		}
		data, err := l.readFile(path.Join(dir, f.Name()), maxEntry)
		if err != nil {
			return nil, fmt.Errorf("reading boot entry %s: %w", f.Name(), err)
		}
		raw, err := bls.Parse(f.Name(), data)
		if err != nil {
			return nil, err
		}
		all = append(all, l.identify(raw, data))
	}
	sortEntries(all)
	return dropDoubles(all), nil
}

// identify finds out which deployment an entry boots. What a unified kernel
// image carries wins over the options of its entry.
func (l *SystemdBoot) identify(raw bls.Entry, data []byte) Entry {
	e := Entry{Entry: raw, Cmdline: raw.Get("options"), raw: data}
	for _, key := range []string{"efi", "uki"} {
		if p := raw.Get(key); p != "" {
			if text := l.embedded(cleanPath(p)); text != "" {
				e.Cmdline = text
			}
		}
	}
	if i, err := cmdline.Composefs(e.Cmdline); err == nil {
		e.ID = i.ID
	}
	return e
}

// embedded reads the command line of a unified kernel image, "" if the file is
// none.
func (l *SystemdBoot) embedded(name string) string {
	f, err := l.v.Open(name)
	if err != nil {
		return ""
	}
	defer f.Close()
	at, ok := f.(io.ReaderAt)
	if !ok {
		return ""
	}
	i, err := uki.Open(at)
	if err != nil {
		return ""
	}
	text, err := i.Cmdline()
	if err != nil {
		return ""
	}
	return text
}

func (l *SystemdBoot) readFile(name string, limit int64) ([]byte, error) {
	f, err := l.v.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err == nil && int64(len(data)) > limit {
		err = fmt.Errorf("more than %d bytes", limit)
	}
	return data, err
}
