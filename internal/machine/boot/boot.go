// Package boot writes kernels and boot entries to the EFI system partition and
// decides their order. The boot loader is systemd-boot.
//
// It knows deployments only by their ID and never decides which one to keep:
// what an entry names is kept.
//
// Invariants (the argument is in docs/formats/boot-entries.md):
//   - an entry is written after what it names is on disk;
//   - loader/entries changes in one step, by an exchange with a directory that
//     is complete and flushed;
//   - a directory of entries whose content equals another's may be that other
//     one under a second name and is never removed;
//   - files under their final name are never taken for complete: contents are
//     compared.
package boot

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"strings"

	"github.com/bootc-go/bootc"
	"github.com/bootc-go/bootc/internal/format/bls"
	"github.com/bootc-go/bootc/internal/format/cmdline"
	"github.com/bootc-go/bootc/internal/format/uki"
	"github.com/bootc-go/bootc/internal/linux/dir"
)

const (
	entriesDir = "loader/entries"
	stagedDir  = "loader/entries.staged"
	linuxDir   = "EFI/Linux"
	dirPrefix  = "bootc_composefs-"
	ukiDir     = "EFI/Linux/bootc"
)

// SystemdBoot is the boot loader on an EFI system partition.
type SystemdBoot struct{ esp *os.Root }

// New returns the boot loader of a mounted EFI system partition.
func New(esp *os.Root) *SystemdBoot { return &SystemdBoot{esp} }

// An Entry is a boot entry of a deployment, or a foreign one.
type Entry struct {
	bls.Entry
	// ID is the deployment that it boots; "" for a foreign entry.
	ID bootc.ID
	// Cmdline is the kernel command line: the entry's options, or what the
	// unified kernel image carries.
	Cmdline string
}

// Options returns the options line, "" for a unified kernel image.
func (e *Entry) Options() string { return e.Get("options") }

// paths lists the files that the entry names.
func (e *Entry) paths() []string {
	var all []string
	for _, key := range []string{"linux", "initrd", "efi", "uki"} {
		if v := e.Get(key); v != "" {
			all = append(all, strings.TrimPrefix(path.Clean("/"+v), "/"))
		}
	}
	return all
}

// Entries lists the boot entries in the order in which the loader tries them.
func (l *SystemdBoot) Entries() ([]Entry, error) { return l.read(entriesDir) }

// StagedEntries lists the entries that the next switch brings, in their order;
// none if nothing is staged.
func (l *SystemdBoot) StagedEntries() ([]Entry, error) {
	all, err := l.read(stagedDir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return all, err
}

func (l *SystemdBoot) read(name string) ([]Entry, error) {
	files, err := fs.ReadDir(l.esp.FS(), name)
	if err != nil {
		return nil, err
	}
	var raw []bls.Entry
	for _, f := range files {
		if _, err := bls.ParseName(f.Name()); err != nil || !f.Type().IsRegular() {
			continue
		}
		data, err := l.esp.ReadFile(path.Join(name, f.Name()))
		if err != nil {
			return nil, fmt.Errorf("reading boot entry %s: %w", f.Name(), err)
		}
		e, err := bls.Parse(f.Name(), data)
		if err != nil {
			return nil, err
		}
		raw = append(raw, e)
	}
	bls.Sort(raw)
	all := make([]Entry, 0, len(raw))
	for _, e := range raw {
		all = append(all, l.identify(e))
	}
	return all, nil
}

// identify finds out which deployment an entry boots.
func (l *SystemdBoot) identify(raw bls.Entry) Entry {
	e := Entry{Entry: raw, Cmdline: raw.Get("options")}
	if e.Cmdline == "" {
		e.Cmdline = l.embedded(e.paths())
	}
	if i, err := cmdline.Composefs(e.Cmdline); err == nil {
		e.ID = i.ID
	}
	return e
}

// embedded reads the command line of a unified kernel image.
func (l *SystemdBoot) embedded(paths []string) string {
	for _, p := range paths {
		f, err := l.esp.Open(p)
		if err != nil {
			continue
		}
		defer f.Close()
		if i, err := uki.Open(f); err == nil {
			if text, err := i.Cmdline(); err == nil {
				return text
			}
		}
	}
	return ""
}

// write makes a directory of entries that nothing uses yet. It is on disk on
// return.
func (l *SystemdBoot) write(name string, entries []bls.Entry) error {
	if err := l.esp.MkdirAll(name, 0o755); err != nil {
		return err
	}
	for _, e := range entries {
		if err := l.writeFile(path.Join(name, e.Name.String()), e.Bytes()); err != nil {
			return err
		}
	}
	return dir.SyncFS(l.esp)
}

// writeFile writes a file under a name that nothing uses yet, and flushes it.
func (l *SystemdBoot) writeFile(name string, data []byte) error {
	f, err := l.esp.Create(name)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}
