package gpt_test

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/bootc-go/bootc/internal/format/gpt"
)

// A mem is a disk in memory.
type mem []byte

func (m mem) WriteAt(p []byte, off int64) (int, error) {
	if off < 0 || off+int64(len(p)) > int64(len(m)) {
		return 0, io.ErrShortWrite
	}
	return copy(m[off:], p), nil
}

func (m mem) ReadAt(p []byte, off int64) (int, error) { return bytes.NewReader(m).ReadAt(p, off) }

func guid(t testing.TB, n byte) gpt.GUID {
	t.Helper()
	g, err := gpt.ParseGUID(fmt.Sprintf("01234567-89ab-4def-8123-4567890000%02x", n))
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// bootable makes the three partitions of an installed machine.
func bootable(t testing.TB, sectorSize int, size int64) *gpt.Table {
	t.Helper()
	table, err := gpt.New(guid(t, 0), sectorSize, size)
	if err != nil {
		t.Fatal(err)
	}
	root, err := gpt.Root("amd64")
	if err != nil {
		t.Fatal(err)
	}
	for i, p := range []struct {
		kind gpt.GUID
		name string
		size int64
	}{{gpt.BIOSBoot, "BIOS-BOOT", 1 << 20}, {gpt.ESP, "EFI-SYSTEM", 8 << 20}, {root, "root", 0}} {
		if err := table.Append(p.kind, guid(t, byte(i+1)), p.name, p.size); err != nil {
			t.Fatal(err)
		}
	}
	return table
}

func write(t testing.TB, table *gpt.Table) mem {
	t.Helper()
	disk := make(mem, table.Sectors*uint64(table.SectorSize))
	if err := table.Write(disk); err != nil {
		t.Fatal(err)
	}
	return disk
}

func TestRoundTrip(t *testing.T) {
	for _, sectorSize := range []int{512, 4096} {
		want := bootable(t, sectorSize, 32<<20)
		disk := write(t, want)
		got, err := gpt.Read(disk, sectorSize, int64(len(disk)))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("sector size %d (-want +got):\n%s", sectorSize, diff)
		}
		if !bytes.Equal(disk, write(t, got)) {
			t.Errorf("sector size %d: written again, other bytes", sectorSize)
		}
		for _, p := range got.Partitions {
			if got.Offset(p)%(1<<20) != 0 || got.Size(p)%(1<<20) != 0 {
				t.Errorf("partition %d at %d, %d bytes: not on 1 MiB", p.Number, got.Offset(p), got.Size(p))
			}
		}
	}
}

// TestBootCode writes what the BIOS starts: it changes nothing else.
func TestBootCode(t *testing.T) {
	const size = 64 << 20
	plain, coded := make(mem, size), make(mem, size)
	table := bootable(t, 512, size)
	if err := table.Write(plain); err != nil {
		t.Fatal(err)
	}
	table.BootCode = bytes.Repeat([]byte("c"), 440)
	if err := table.Write(coded); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(coded[:440], table.BootCode) || !bytes.Equal(coded[440:], plain[440:]) {
		t.Error("other bytes")
	}
	table.BootCode = append(table.BootCode, 'c')
	if err := table.Write(coded); err == nil || !strings.Contains(err.Error(), "boot code of 441 bytes, at most 440") {
		t.Errorf("too much boot code: %v", err)
	}
}

func TestFind(t *testing.T) {
	table := bootable(t, 512, 32<<20)
	esp := table.Find(gpt.ESP)
	if esp == nil || esp.Number != 2 || table.Lookup(esp.GUID) != esp {
		t.Fatalf("Find(ESP) = %+v", esp)
	}
	esp.Attributes |= gpt.NoAuto
	if got := table.Find(gpt.ESP); got != nil {
		t.Errorf("Find returns a partition marked no-auto: %+v", got)
	}
	if table.Lookup(guid(t, 99)) != nil {
		t.Error("Lookup of an unknown GUID finds something")
	}
}

func TestGUID(t *testing.T) {
	const text = "c12a7328-f81f-11d2-ba4b-00a0c93ec93b"
	g, err := gpt.ParseGUID(strings.ToUpper(text))
	if err != nil || g.String() != text {
		t.Errorf("ParseGUID = %v, %v", g, err)
	}
	if want := [4]byte{0x28, 0x73, 0x2a, 0xc1}; [4]byte(g[:4]) != want {
		t.Errorf("first field on disk % x, want % x", g[:4], want)
	}
	for _, s := range []string{"", text + "0", text[1:], strings.ReplaceAll(text, "-", ""), "g" + text[1:], "c12a7328f-81f-11d2-ba4b-00a0c93ec93b"} {
		if _, err := gpt.ParseGUID(s); err == nil {
			t.Errorf("ParseGUID(%q) accepts it", s)
		}
	}
	if got := gpt.NewGUID([16]byte{}).String(); got != "00000000-0000-4000-8000-000000000000" {
		t.Errorf("NewGUID = %s", got)
	}
}

func TestDamage(t *testing.T) {
	table := bootable(t, 512, 32<<20)
	whole := write(t, table)
	last := len(whole) - 512
	damage := func(at ...int) mem {
		d := bytes.Clone(whole)
		for _, i := range at {
			d[i] ^= 0x40
		}
		return d
	}
	for name, d := range map[string]mem{
		"primary signature": damage(512), "primary header": damage(512 + 60), "primary entries": damage(1024 + 40),
		"backup header": damage(last + 60), "backup entries": damage(last - 32*512), "boot code": damage(3),
	} {
		got, err := gpt.Read(d, 512, int64(len(d)))
		if err != nil {
			t.Errorf("%s damaged: %v", name, err)
		} else if diff := cmp.Diff(table, got); diff != "" {
			t.Errorf("%s damaged (-want +got):\n%s", name, diff)
		}
	}
	for name, d := range map[string]mem{
		"both headers": damage(512+60, last+60), "both entries": damage(1024+40, last-32*512+40),
	} {
		if _, err := gpt.Read(d, 512, int64(len(d))); err == nil || errors.Is(err, gpt.ErrNone) {
			t.Errorf("%s damaged: %v, want an error", name, err)
		}
	}
	for name, d := range map[string]mem{
		"empty disk": make(mem, 1<<20), "tiny disk": make(mem, 512), "MBR signature": damage(510),
		"MBR not protective": damage(446 + 4), "both signatures": damage(512, last),
	} {
		if _, err := gpt.Read(d, 512, int64(len(d))); !errors.Is(err, gpt.ErrNone) {
			t.Errorf("%s: %v, want ErrNone", name, err)
		}
	}
}

// TestHostile gives headers with good check sums and bad numbers.
func TestHostile(t *testing.T) {
	le := binary.LittleEndian
	for name, change := range map[string]func(h []byte){
		"header of 0 bytes":       func(h []byte) { le.PutUint32(h[12:], 0) },
		"header of 4 GiB":         func(h []byte) { le.PutUint32(h[12:], 0xffffffff) },
		"2^32-1 entries":          func(h []byte) { le.PutUint32(h[80:], 0xffffffff) },
		"entries of 0 bytes":      func(h []byte) { le.PutUint32(h[84:], 0) },
		"entries of 8 bytes":      func(h []byte) { le.PutUint32(h[84:], 8) },
		"entries of 2^31 bytes":   func(h []byte) { le.PutUint32(h[84:], 1<<31) },
		"entries far away":        func(h []byte) { le.PutUint64(h[72:], 1<<62) },
		"entries over the end":    func(h []byte) { le.PutUint64(h[72:], 65530) },
		"entries over the header": func(h []byte) { le.PutUint64(h[72:], 1) },
		"header of elsewhere":     func(h []byte) { le.PutUint64(h[24:], 7) },
	} {
		disk := write(t, bootable(t, 512, 32<<20))
		clear(disk[len(disk)-512:]) // no backup
		h := disk[512:1024]
		change(h)
		clear(h[16:20])
		if size := le.Uint32(h[12:]); size <= 512 {
			le.PutUint32(h[16:], crc32.ChecksumIEEE(h[:size]))
		}
		if got, err := gpt.Read(disk, 512, int64(len(disk))); err == nil {
			t.Errorf("%s: read as %+v", name, got)
		}
	}
	for name, change := range map[string]func(p *gpt.Partition){
		"backwards":       func(p *gpt.Partition) { p.First, p.Last = p.Last, p.First },
		"beyond the disk": func(p *gpt.Partition) { p.Last = 1 << 40 },
		"over the table":  func(p *gpt.Partition) { p.First = 5 },
		"overlap":         func(p *gpt.Partition) { p.First -= 2048 },
		"long name":       func(p *gpt.Partition) { p.Name = strings.Repeat("x", 37) },
		"no type":         func(p *gpt.Partition) { p.Type = gpt.GUID{} },
		"same GUID":       func(p *gpt.Partition) { p.GUID = guid(t, 1) },
		"same number":     func(p *gpt.Partition) { p.Number = 1 },
		"number 129":      func(p *gpt.Partition) { p.Number = 129 },
	} {
		table := bootable(t, 512, 32<<20)
		change(&table.Partitions[2])
		if err := table.Write(make(mem, 32<<20)); err == nil {
			t.Errorf("partition %s: written", name)
		}
	}
}

func TestNoRoom(t *testing.T) {
	if _, err := gpt.New(guid(t, 0), 512, 10<<10); err == nil {
		t.Error("a table on 10 KiB")
	}
	if _, err := gpt.New(guid(t, 0), 777, 1<<30); err == nil {
		t.Error("sectors of 777 bytes")
	}
	table, err := gpt.New(guid(t, 0), 512, 8<<20)
	if err != nil {
		t.Fatal(err)
	}
	if err := table.Append(gpt.ESP, guid(t, 1), "EFI-SYSTEM", 100<<20); err == nil {
		t.Error("100 MiB on a disk of 8")
	}
	if err := table.Append(gpt.ESP, guid(t, 1), "EFI-SYSTEM", 6<<20); err != nil {
		t.Error(err)
	}
	if err := table.Append(gpt.Linux, guid(t, 2), "root", 0); err == nil {
		t.Error("the rest of a full disk")
	}
}

// FuzzRead gives any header and entries, with check sums made right.
func FuzzRead(f *testing.F) {
	const sectors, array = 128, 4 * 128
	disk := write(f, bootable(f, 512, 12<<20))
	f.Add(bytes.Clone(disk[512:512+92]), bytes.Clone(disk[1024:1024+array]))
	f.Add([]byte("EFI PART"), []byte{})
	f.Fuzz(func(t *testing.T, header, entries []byte) {
		disk := make(mem, sectors*512)
		disk[446+4], disk[510], disk[511] = 0xee, 0x55, 0xaa
		h, a := disk[512:1024], disk[1024:1024+array]
		copy(h[:92], header)
		copy(a, entries)
		le := binary.LittleEndian
		le.PutUint32(h[12:], 92)
		le.PutUint64(h[24:], 1)
		if size := int(le.Uint32(h[80:])) * int(le.Uint32(h[84:])); le.Uint64(h[72:]) == 2 && size >= 0 && size <= len(disk)-1024 {
			le.PutUint32(h[88:], crc32.ChecksumIEEE(disk[1024:1024+size]))
		}
		clear(h[16:20])
		le.PutUint32(h[16:], crc32.ChecksumIEEE(h[:92]))
		table, err := gpt.Read(disk, 512, int64(len(disk)))
		if err != nil {
			return
		}
		for _, p := range table.Partitions {
			if table.Offset(p) < 512 || table.Size(p) <= 0 || table.Offset(p)+table.Size(p) > int64(len(disk)) {
				t.Fatalf("partition outside of the disk: %+v", p)
			}
		}
	})
}

// TestSfdisk has a foreign program read what we write.
func TestSfdisk(t *testing.T) {
	sfdisk := tool(t, "sfdisk")
	table := bootable(t, 512, 64<<20)
	out, err := exec.Command(sfdisk, "--json", save(t, table)).Output()
	if err != nil {
		t.Fatal(err)
	}
	var read struct {
		PartitionTable struct {
			Label, ID  string
			Partitions []struct {
				Start, Size      uint64
				Type, UUID, Name string
			}
		}
	}
	if err := json.Unmarshal(out, &read); err != nil {
		t.Fatal(err)
	}
	got := read.PartitionTable
	if got.Label != "gpt" || !strings.EqualFold(got.ID, table.Disk.String()) || len(got.Partitions) != len(table.Partitions) {
		t.Fatalf("sfdisk reads %s", out)
	}
	for i, p := range table.Partitions {
		q := got.Partitions[i]
		if q.Start != p.First || q.Size != p.Last-p.First+1 || q.Name != p.Name ||
			!strings.EqualFold(q.Type, p.Type.String()) || !strings.EqualFold(q.UUID, p.GUID.String()) {
			t.Errorf("sfdisk reads partition %d as %+v, want %+v", p.Number, q, p)
		}
	}
	if out, err := exec.Command(sfdisk, "--verify", save(t, table)).CombinedOutput(); err != nil {
		t.Errorf("sfdisk --verify: %v\n%s", err, out)
	}
}

// TestSgdisk has sgdisk judge the table, and reads one that sgdisk made.
func TestSgdisk(t *testing.T) {
	sgdisk := tool(t, "sgdisk")
	out, err := exec.Command(sgdisk, "--verify", save(t, bootable(t, 512, 64<<20))).CombinedOutput()
	if err != nil || !strings.Contains(string(out), "No problems found") {
		t.Errorf("sgdisk --verify: %v\n%s", err, out)
	}
	path := filepath.Join(t.TempDir(), "disk")
	if err := os.WriteFile(path, make([]byte, 16<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(sgdisk, "-n", "3:4096:8191", "-t", "3:ef00", "-c", "3:größe", "-A", "3:set:63", path).CombinedOutput(); err != nil {
		t.Fatalf("sgdisk: %v\n%s", err, out)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	table, err := gpt.Read(mem(data), 512, int64(len(data)))
	if err != nil {
		t.Fatal(err)
	}
	if len(table.Partitions) != 1 {
		t.Fatalf("%d partitions, want 1", len(table.Partitions))
	}
	p := table.Partitions[0]
	want := gpt.Partition{Number: 3, Type: gpt.ESP, GUID: p.GUID, First: 4096, Last: 8191, Attributes: gpt.NoAuto, Name: "größe"}
	if diff := cmp.Diff(want, p); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func tool(t *testing.T, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		if path, err = exec.LookPath("/usr/sbin/" + name); err != nil {
			t.Skipf("%s is not installed", name)
		}
	}
	return path
}

func save(t *testing.T, table *gpt.Table) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "disk")
	if err := os.WriteFile(path, write(t, table), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
