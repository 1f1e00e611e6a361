package boot

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/bootc-go/bootc"
	"github.com/bootc-go/bootc/internal/format/bls"
)

// A Room is how much the files of a deployment need on the EFI system
// partition, with the entries that will name them, and how much is free. Both
// are multiples of the unit in which the file system gives out space.
type Room struct {
	Free, Needed int64
	// shared is the kernel's directory, or the unified kernel image, that is
	// there already.
	shared string
}

// Shares reports whether an entry names files that the deployment will share.
func (r *Room) Shares(e *Entry) bool {
	return r.shared != "" && slices.ContainsFunc(e.Files(), func(p string) bool {
		return p == r.shared || strings.HasPrefix(p, r.shared+"/")
	})
}

// A RoomError means that the EFI system partition is too small. Other says what
// the deployments that could give way take, beside what is free.
type RoomError struct{ Free, Needed, Other int64 }

func (e *RoomError) Error() string {
	text := fmt.Sprintf("no room on the ESP: %d MiB free, %d MiB needed", e.Free>>20, (e.Needed+1<<20-1)>>20)
	if e.Other > 0 {
		text += fmt.Sprintf(", only %d MiB belong to deployments that could give way", e.Other>>20)
	}
	return text
}

// KernelRoom tells what [SystemdBoot.WriteKernel] would need. It only reads.
func (l *SystemdBoot) KernelRoom(kernel, initrd File) (Room, error) {
	digest, err := hashFiles(kernel, initrd)
	if err != nil {
		return Room{}, err
	}
	shared, err := l.findKernel(digest, kernel.Size, initrd.Size)
	if err != nil {
		return Room{}, err
	}
	var files []Named
	if shared == "" {
		files = []Named{{"vmlinuz", kernel}, {"initrd", initrd}}
	}
	r, err := l.room(files)
	r.shared = shared
	return r, err
}

// UKIRoom tells what [SystemdBoot.WriteUKI] would need. It only reads.
func (l *SystemdBoot) UKIRoom(id bootc.ID, image File, addons ...Named) (Room, error) {
	named, err := l.named()
	if err != nil {
		return Room{}, err
	}
	plain := path.Join(ukiDir, dirPrefix+string(id)+ukiSuffix)
	if mentions(named, path.Base(plain)) && l.hasUKI(plain, image, addons) {
		r, err := l.room(nil)
		r.shared = plain
		return r, err
	}
	return l.room(append([]Named{{path.Base(plain), image}}, addons...))
}

// RoomLike tells what a deployment would need whose files are as large as those of
// another one, which has an entry. It only reads.
func (l *SystemdBoot) RoomLike(id bootc.ID) (Room, error) {
	entries, err := l.Entries()
	if err != nil {
		return Room{}, err
	}
	i := slices.IndexFunc(entries, func(e Entry) bool { return e.ID == id })
	if i < 0 {
		return Room{}, fmt.Errorf("deployment %s has no boot entry", id.Short())
	}
	var files []Named
	for _, p := range entries[i].Files() {
		size, err := l.size(p)
		if err != nil {
			return Room{}, err
		}
		files = append(files, Named{path.Base(p), File{Size: size}})
	}
	return l.room(files)
}

// spare is left free beside what is counted, in units: the directories that
// are there may need another cluster for a new name.
const spare = 4

func (l *SystemdBoot) room(files []Named) (Room, error) {
	free, unit, err := l.v.Room()
	if err != nil {
		return Room{}, err
	}
	sets, err := l.setRoom(unit)
	if err != nil {
		return Room{}, err
	}
	r := Room{Free: free, Needed: sets + spare*unit}
	if len(files) > 0 {
		r.Needed += dirRoom(unit, names(files)...)
	}
	for _, f := range files {
		r.Needed += roundUp(f.Size, unit)
	}
	return r, nil
}

func names(files []Named) []string {
	var all []string
	for _, f := range files {
		all = append(all, f.Name)
	}
	return all
}

// maxNewEntry is how much longer a new entry is taken to be than the longest of
// ours.
const maxNewEntry = 1 << 10

// setRoom is what the entries of an update need: those that are staged, and
// their copy on the way to loader/entries.
func (l *SystemdBoot) setRoom(unit int64) (int64, error) {
	entries, err := l.Entries()
	if err != nil {
		return 0, err
	}
	var size, longest int64
	all := []string{stagedMark}
	for _, e := range entries {
		if e.Ours() {
			longest = max(longest, int64(len(e.raw)))
			continue
		}
		size += roundUp(int64(len(e.raw)), unit)
		all = append(all, e.Name.String())
	}
	size += 2 * roundUp(longest+maxNewEntry, unit)
	long := strings.Repeat("x", 64)
	return 2 * (size + dirRoom(unit, append(all, long, long)...)), nil
}

// dirRoom is what a directory takes: on FAT 32 bytes for itself, its parent and
// each name, and as much again for every 13 characters of a long one.
func dirRoom(unit int64, names ...string) int64 {
	slots := int64(2)
	for _, n := range names {
		slots += 1 + (int64(len(n))+12)/13
	}
	return roundUp(32*slots, unit)
}

func roundUp(n, unit int64) int64 { return (n + unit - 1) / unit * unit }

// checkRoom refuses files for which there is no room.
func (l *SystemdBoot) checkRoom(files []Named) error {
	r, err := l.room(files)
	if err == nil && r.Free < r.Needed {
		err = &RoomError{Free: r.Free, Needed: r.Needed}
	}
	return err
}

// Frees tells how many bytes would become free if the staged entries (staged)
// and the loader's entries of deployments (ids) were not there: those of the
// files that nothing else names. It only reads.
func (l *SystemdBoot) Frees(staged bool, ids ...bootc.ID) (int64, error) {
	_, unit, err := l.v.Room()
	if err != nil {
		return 0, err
	}
	entries, err := l.Entries()
	if err != nil {
		return 0, err
	}
	entries = slices.DeleteFunc(entries, func(e Entry) bool { return dropped(e, ids) })
	if !staged {
		next, err := l.StagedEntries()
		if err != nil {
			return 0, err
		}
		entries = append(entries, next...)
	}
	var free int64
	err = l.eachUnused(text(entries), func(name string) error {
		size, err := l.treeRoom(name, unit)
		free += size
		return err
	})
	return free, err
}

// treeRoom is what a file takes, or a directory with the files in it.
func (l *SystemdBoot) treeRoom(name string, unit int64) (int64, error) {
	files, err := l.sizes(name)
	if err != nil {
		size, err := l.size(name)
		return roundUp(size, unit), err
	}
	total := unit
	for _, size := range files {
		total += roundUp(max(size, 0), unit)
	}
	return total, nil
}

func dropped(e Entry, ids []bootc.ID) bool {
	return e.Ours() && e.ID != "" && slices.Contains(ids, e.ID)
}

// Drop removes the loader's entries of deployments, in one step, and then what
// only they named. The other entries stay as they are. On return it is on disk;
// a cut leaves the old entries or the new ones, with all that they name. It is
// an error if no entry of a deployment would be left.
func (l *SystemdBoot) Drop(ids ...bootc.ID) error {
	now, err := l.Entries()
	if err != nil {
		return err
	}
	var keep []bls.Entry
	boots := false
	for _, e := range now {
		if e.Ours() && !dropped(e, ids) {
			keep = append(keep, e.Entry)
			boots = boots || e.ID != ""
		}
	}
	if !boots {
		return fmt.Errorf("internal error: without the boot entries of %d deployments there would be none", len(ids))
	}
	if err := l.commit(keep, now); err != nil {
		return err
	}
	return l.Collect()
}
