package fat

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"slices"
)

const (
	chunk = 64 << 10 // bytes that are read or written at once

	firstLink = 0x0ffffff8 // what the standard puts into entry 0: the medium
	endLink   = 0x0fffffff // also entry 1, where it means: clean, no errors
)

// Write writes the volume to w, which holds zeros. Each write begins where the
// one before it ends, or behind that; w never has to go back. What it does not
// write is zero. A file that has more or fewer bytes than it says is an error.
// After an error, w has a part of the volume.
func (m *Image) Write(w io.WriterAt) error {
	if err := m.writeTables(w); err != nil {
		return fmt.Errorf("writing the tables of a FAT volume: %w", err)
	}
	for _, n := range m.dirs {
		if _, err := w.WriteAt(m.encode(n), m.cluster(n.first)); err != nil {
			return fmt.Errorf("writing directory %q to a FAT volume: %w", n.path(), err)
		}
	}
	buf := make([]byte, chunk)
	for _, n := range m.files {
		if n.file.Open == nil {
			continue
		}
		if err := m.copy(w, n, buf); err != nil {
			return fmt.Errorf("writing file %q to a FAT volume: %w", n.path(), err)
		}
	}
	return nil
}

// writeTables writes what is before the first cluster.
func (m *Image) writeTables(w io.WriterAt) error {
	head := slices.Concat(m.bootSector(), m.info())
	for _, sector := range []int64{0, backupSector} {
		if _, err := w.WriteAt(head, sector*m.sectorSize); err != nil {
			return err
		}
	}
	var link [linkSize]byte
	for i := range int64(tables) {
		out := bufio.NewWriterSize(io.NewOffsetWriter(w, m.table(i)), chunk)
		for v := range m.links {
			binary.LittleEndian.PutUint32(link[:], v)
			if _, err := out.Write(link[:]); err != nil {
				return err
			}
		}
		if err := out.Flush(); err != nil {
			return err
		}
	}
	return nil
}

// links goes through a table up to the last cluster in use; section "FAT Data
// Structure" of the standard.
func (m *Image) links(yield func(uint32) bool) {
	if !yield(firstLink) || !yield(endLink) {
		return
	}
	for n := range m.nodes {
		for c := n.first + 1; c < n.first+n.count; c++ {
			if !yield(c) {
				return
			}
		}
		if n.count > 0 && !yield(endLink) {
			return
		}
	}
}

// bootSector makes the boot sector, section "Boot Sector and BPB".
func (m *Image) bootSector() []byte {
	b := make([]byte, m.sectorSize)
	le := binary.LittleEndian
	copy(b, "\xeb\x58\x90MSWIN4.1") // the jump goes to the code
	le.PutUint16(b[11:], uint16(m.sectorSize))
	b[13] = byte(m.clusterSize / m.sectorSize)
	le.PutUint16(b[14:], uint16(m.reserved))
	b[16] = tables
	b[21] = 0xf8
	le.PutUint16(b[24:], track)
	le.PutUint16(b[26:], heads)
	le.PutUint32(b[28:], m.hidden)
	le.PutUint32(b[32:], uint32(m.sectors))
	le.PutUint32(b[36:], uint32(m.tableSize))
	le.PutUint32(b[44:], rootCluster)
	le.PutUint16(b[48:], infoSector)
	le.PutUint16(b[50:], backupSector)
	b[64] = 0x80
	b[66] = 0x29 // the three fields that follow are there
	le.PutUint32(b[67:], m.id)
	label := packLabel(m.label)
	if m.label == "" {
		label = packLabel("NO NAME")
	}
	copy(b[71:], label[:])
	copy(b[82:], "FAT32   ")
	copy(b[90:], "\xcd\x18\xf4\xeb\xfd") // int 18h; hlt, again and again
	b[510], b[511] = 0x55, 0xaa
	return b
}

// info makes the sector FSInfo, section "FAT32 FSInfo Sector Structure and
// Backup Boot Sector".
func (m *Image) info() []byte {
	b := make([]byte, m.sectorSize)
	le := binary.LittleEndian
	copy(b, "RRaA")
	copy(b[484:], "rrAa")
	le.PutUint32(b[488:], uint32(m.clusters-m.used))
	next := uint32(0xffffffff) // unknown
	if m.used < m.clusters {
		next = rootCluster + uint32(m.used)
	}
	le.PutUint32(b[492:], next)
	b[510], b[511] = 0x55, 0xaa
	return b
}

// copy writes the contents of a file.
func (m *Image) copy(w io.WriterAt, n *node, buf []byte) error {
	r, err := n.file.Open()
	if err != nil {
		return err
	}
	defer r.Close()
	for done := int64(0); done < n.size; {
		part := buf[:min(n.size-done, chunk)]
		got, err := io.ReadFull(r, part)
		if err == io.EOF || err == io.ErrUnexpectedEOF {
			return fmt.Errorf("%d bytes instead of %d", done+int64(got), n.size)
		}
		if err != nil {
			return err
		}
		if err := writeSparse(w, part, m.cluster(n.first)+done, int(max(m.clusterSize, dataGrain))); err != nil {
			return err
		}
		done += int64(len(part))
	}
	switch _, err := io.ReadFull(r, buf[:1]); err {
	case io.EOF:
		return nil
	case nil:
		return fmt.Errorf("more than %d bytes", n.size)
	default:
		return err
	}
}

// writeSparse writes p without those of its blocks that are zero.
func writeSparse(w io.WriterAt, p []byte, at int64, block int) error {
	zeros := make([]byte, block)
	for begin := 0; begin < len(p); {
		end := begin
		for end < len(p) {
			b := p[end:min(end+block, len(p))]
			if bytes.Equal(b, zeros[:len(b)]) {
				break
			}
			end += len(b)
		}
		if end > begin {
			if _, err := w.WriteAt(p[begin:end], at+int64(begin)); err != nil {
				return err
			}
		}
		begin = end + block // behind the block of zeros
	}
	return nil
}
