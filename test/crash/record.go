// Package crash cuts the power of a computer that was recorded, everywhere.
//
//   - A [Recording] is every write and flush that reached a disk, a [Timeline] the
//     same with what was being done meanwhile. [Record] has a guest make one.
//   - A [State] is a [Disk] as a power cut may have left it: all writes up to a
//     flush, and a [Choice] of those after it.
//   - A [View] is what the next boot finds on it, a [Verdict] whether that may be.
//   - [Run] leads a campaign, [Machines] go on for real from what it has judged.
//   - A [Bug] shows that the campaign would find one.
//
// The method and its limits are in docs/crash-campaign.md.
package crash

import (
	"encoding/binary"
	"fmt"
	"io"
	"os"
)

// A Recording is what QEMU's blklogwrites driver has recorded of a disk: every
// write and flush, in order. Replaying the first n entries onto a copy of the
// disk as it was before gives the disk as a power cut at that moment leaves it,
// with everything written that a disk may still lose.
//
// The format is that of the kernel's dm-log-writes
// (Documentation/admin-guide/device-mapper/log-writes.rst): a superblock in the
// first sector, then entries of one sector each, followed by their data.
type Recording struct {
	Entries []Entry

	log *os.File
}

// An Entry is one request to the disk.
type Entry struct {
	Offset, Length int64 // in bytes
	Flush          bool  // all before it is on the medium
	Discard        bool  // no data; the sectors may hold anything afterwards

	data int64 // where its data are in the log
}

const (
	recordingMagic   = 0x6a736677736872
	recordingVersion = 1

	entryFlush   = 1 << 0
	entryFUA     = 1 << 1
	entryDiscard = 1 << 2
)

// ReadRecording reads the list of entries. The caller closes the recording.
func ReadRecording(path string) (*Recording, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	r := &Recording{log: f}
	if err := r.read(); err != nil {
		f.Close()
		return nil, fmt.Errorf("reading recording %s: %w", path, err)
	}
	return r, nil
}

func (r *Recording) read() error {
	var super struct {
		Magic, Version, Entries uint64
		SectorSize              uint32
	}
	if err := binary.Read(io.NewSectionReader(r.log, 0, 512), binary.LittleEndian, &super); err != nil {
		return err
	}
	if super.Magic != recordingMagic || super.Version != recordingVersion {
		return fmt.Errorf("no superblock (magic %#x, version %d): a disk with cache=unsafe is not recorded", super.Magic, super.Version)
	}
	sector := int64(super.SectorSize)
	if sector < 512 || sector&(sector-1) != 0 {
		return fmt.Errorf("sectors of %d bytes", sector)
	}
	info, err := r.log.Stat()
	if err != nil {
		return err
	}
	at := sector
	for i := range super.Entries {
		var raw struct{ Sector, Sectors, Flags, DataLen uint64 }
		if err := binary.Read(io.NewSectionReader(r.log, at, sector), binary.LittleEndian, &raw); err != nil {
			return fmt.Errorf("entry %d of %d: %w", i, super.Entries, err)
		}
		e := Entry{
			Offset: int64(raw.Sector) * sector, Length: int64(raw.Sectors) * sector,
			Flush: raw.Flags&(entryFlush|entryFUA) != 0, Discard: raw.Flags&entryDiscard != 0,
			data: at + sector,
		}
		at += sector
		if !e.Discard {
			at += e.Length
		}
		if e.Offset < 0 || e.Length < 0 || at > info.Size() {
			return fmt.Errorf("entry %d of %d reaches beyond the log's %d bytes", i, super.Entries, info.Size())
		}
		r.Entries = append(r.Entries, e)
	}
	return nil
}

// Flushes returns the places after a flush: replaying Entries[:n] for each n
// gives every disk that a power cut right after a flush leaves.
func (r *Recording) Flushes() []int {
	var places []int
	for i, e := range r.Entries {
		if e.Flush {
			places = append(places, i+1)
		}
	}
	return places
}

// Replay writes the entries from, …, to-1 to a raw disk.
func (r *Recording) Replay(disk string, from, to int) (err error) {
	f, err := os.OpenFile(disk, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer func() {
		if closing := f.Close(); err == nil {
			err = closing
		}
	}()
	for _, e := range r.Entries[from:to] {
		if e.Discard || e.Length == 0 {
			continue
		}
		if _, err := io.Copy(io.NewOffsetWriter(f, e.Offset), r.data(e)); err != nil {
			return fmt.Errorf("replaying onto %s: %w", disk, err)
		}
	}
	return nil
}

// data reads what an entry has written.
func (r *Recording) data(e Entry) io.Reader { return io.NewSectionReader(r.log, e.data, e.Length) }

// Close closes the log.
func (r *Recording) Close() error { return r.log.Close() }
