package fat_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"strings"
	"testing"
	"unicode/utf16"
)

// A volume reads what is on a disk, and knows nothing of how it was written.
type volume struct {
	t           *testing.T
	r           io.ReaderAt
	boot        []byte
	sectorSize  int64
	clusterSize int64
	data        int64 // where cluster 2 begins
	clusters    int64
	links       []uint32
	seen        map[uint32]string // clusters that belong to something
	entries     map[string]entry  // by path; a directory's ends with a slash
	order       []string          // paths as they were met, depth first
}

type entry struct {
	short    string
	attr     byte
	stamp    [11]byte // 10 ms; time, date of creation; date of access; time, date of writing
	first    uint32
	contents []byte
}

var le = binary.LittleEndian

// readVolume reads all of a volume, and fails the test where it is not sound.
func readVolume(t *testing.T, r io.ReaderAt) *volume {
	t.Helper()
	v := &volume{t: t, r: r, seen: map[uint32]string{}, entries: map[string]entry{}}
	v.boot = v.bytes(0, 512)
	v.sectorSize = int64(le.Uint16(v.boot[11:]))
	v.clusterSize = v.sectorSize * int64(v.boot[13])
	reserved, tableSize := int64(le.Uint16(v.boot[14:])), int64(le.Uint32(v.boot[36:]))
	v.data = (reserved + 2*tableSize) * v.sectorSize
	v.clusters = (int64(le.Uint32(v.boot[32:]))*v.sectorSize - v.data) / v.clusterSize
	if v.clusters < 65525 {
		t.Fatalf("%d clusters: not FAT32", v.clusters)
	}
	if v.data%v.clusterSize != 0 || v.data%4096 != 0 {
		t.Errorf("clusters of %d bytes begin at %d", v.clusterSize, v.data)
	}
	if !bytes.Equal(v.bytes(0, 2*v.sectorSize), v.bytes(6*v.sectorSize, 2*v.sectorSize)) {
		t.Error("the boot sector differs from its copy")
	}
	table := v.bytes(reserved*v.sectorSize, tableSize*v.sectorSize)
	if !bytes.Equal(table, v.bytes((reserved+tableSize)*v.sectorSize, tableSize*v.sectorSize)) {
		t.Error("the tables differ")
	}
	if int64(len(table)) < 4*(v.clusters+2) {
		t.Fatalf("tables of %d bytes for %d clusters", len(table), v.clusters)
	}
	for i := range v.clusters + 2 {
		v.links = append(v.links, le.Uint32(table[4*i:]))
	}
	if v.links[0] != 0x0ffffff8 || v.links[1] != 0x0fffffff {
		t.Errorf("entries 0 and 1 are %#x, %#x", v.links[0], v.links[1])
	}
	v.directory("", le.Uint32(v.boot[44:]), 0)
	v.checkSpace()
	return v
}

// checkSpace compares what the table says with what was found.
func (v *volume) checkSpace() {
	v.t.Helper()
	free, next := uint32(0), uint32(0)
	for i, link := range v.links[2:] {
		switch cluster := uint32(i + 2); {
		case link == 0:
			if free++; next == 0 {
				next = cluster
			}
		case v.seen[cluster] == "":
			v.t.Errorf("cluster %d belongs to nothing", cluster)
		}
	}
	if free == 0 {
		next = 0xffffffff
	}
	info := v.bytes(v.sectorSize, 512)
	if string(info[:4]) != "RRaA" || string(info[484:488]) != "rrAa" || le.Uint32(info[508:]) != 0xaa550000 {
		v.t.Error("FSInfo has no signature")
	}
	if f, n := le.Uint32(info[488:]), le.Uint32(info[492:]); f != free || n != next {
		v.t.Errorf("FSInfo: %d free, next %d; want %d, %d", f, n, free, next)
	}
}

func (v *volume) bytes(at, n int64) []byte {
	v.t.Helper()
	b := make([]byte, n)
	if _, err := v.r.ReadAt(b, at); err != nil {
		v.t.Fatalf("reading %d bytes at %d: %v", n, at, err)
	}
	return b
}

// chain reads the clusters that begin with one.
func (v *volume) chain(of string, first uint32) []byte {
	v.t.Helper()
	var all []byte
	for c := first; c < 0x0ffffff8; c = v.links[c] {
		if c < 2 || int64(c) >= v.clusters+2 {
			v.t.Fatalf("%s: cluster %d", of, c)
		}
		if v.seen[c] != "" {
			v.t.Fatalf("cluster %d belongs to %s and %s", c, v.seen[c], of)
		}
		v.seen[c] = of
		all = append(all, v.bytes(v.data+int64(c-2)*v.clusterSize, v.clusterSize)...)
	}
	return all
}

// directory reads a directory and what is below it.
func (v *volume) directory(path string, first, parent uint32) {
	v.t.Helper()
	slots := v.chain("/"+path, first)
	for i, want := range []uint32{first, parent} {
		if path == "" {
			break
		}
		s := slots[32*i:]
		if name := string(s[:11]); name != fmt.Sprintf("%-11s", ".."[:i+1]) || s[11] != 0x10 || cluster(s) != want {
			v.t.Errorf("%s: entry %d is %q of cluster %d, want %d", path, i, name, cluster(s), want)
		}
	}
	if path != "" {
		slots = slots[64:]
	}
	var long []uint16
	var sum byte
	expect := 0 // number of the long entry that must follow
	shorts := map[string]bool{}
	for ; len(slots) > 0 && slots[0] != 0; slots = slots[32:] {
		s := slots[:32]
		if s[11] == 0x0f {
			if s[0]&0x40 != 0 {
				expect, long, sum = int(s[0]&0x3f), nil, s[13]
			}
			if int(s[0]&0x3f) != expect || s[13] != sum || s[12] != 0 || le.Uint16(s[26:]) != 0 {
				v.t.Fatalf("%s: long entry % x, want number %d", path, s, expect)
			}
			expect--
			long = append(longUnits(s), long...)
			continue
		}
		if expect != 0 {
			v.t.Fatalf("%s: %d long entries are missing", path, expect)
		}
		short := strings.TrimRight(string(s[:8]), " ")
		if ext := strings.TrimRight(string(s[8:11]), " "); ext != "" {
			short += "." + ext
		}
		if shorts[short] {
			v.t.Errorf("%s: short name %q twice", path, short)
		}
		shorts[short] = true
		name := short
		if long != nil {
			if sum != shortSum(s[:11]) {
				v.t.Errorf("%s: %s: check sum %#x of long entries", path, short, sum)
			}
			name = v.longName(long)
		}
		long = nil
		v.entry(path, name, short, s, first)
	}
	if expect != 0 {
		v.t.Errorf("%s: ends with long entries", path)
	}
	if rest := bytes.Trim(slots, "\x00"); len(rest) > 0 {
		v.t.Errorf("%s: %d bytes behind its end", path, len(rest))
	}
}

// entry notes an entry and reads what it leads to.
func (v *volume) entry(path, name, short string, s []byte, dir uint32) {
	v.t.Helper()
	e := entry{short: short, attr: s[11], first: cluster(s), stamp: [11]byte(append(bytes.Clone(s[13:20]), s[22:26]...))}
	size := int64(le.Uint32(s[28:]))
	switch {
	case e.attr == 0x08:
		if path != "" || cluster(s) != 0 || size != 0 {
			v.t.Errorf("%s: label %q leads to cluster %d", path, s[:11], cluster(s))
		}
		v.entries["label"] = entry{short: string(s[:11]), attr: 0x08, stamp: e.stamp}
		return
	case e.attr == 0x10:
		v.order = append(v.order, path+name+"/")
		if size != 0 {
			v.t.Errorf("directory %s%s has size %d", path, name, size)
		}
		v.entries[path+name+"/"] = e
		up := dir
		if path == "" {
			up = 0
		}
		v.directory(path+name+"/", cluster(s), up)
		return
	case size == 0:
		if cluster(s) != 0 {
			v.t.Errorf("%s%s is empty and has cluster %d", path, name, cluster(s))
		}
	default:
		all := v.chain(path+name, cluster(s))
		if int64(len(all)) < size || int64(len(all)) >= size+v.clusterSize {
			v.t.Fatalf("%s%s: %d bytes of clusters for %d", path, name, len(all), size)
		}
		if len(bytes.Trim(all[size:], "\x00")) > 0 {
			v.t.Errorf("%s%s: something behind its end", path, name)
		}
		e.contents = all[:size]
	}
	v.order = append(v.order, path+name)
	v.entries[path+name] = e
}

func cluster(s []byte) uint32 { return uint32(le.Uint16(s[20:]))<<16 | uint32(le.Uint16(s[26:])) }

func longUnits(s []byte) []uint16 {
	var u []uint16
	for _, part := range [][]byte{s[1:11], s[14:26], s[28:32]} {
		for ; len(part) > 0; part = part[2:] {
			u = append(u, le.Uint16(part))
		}
	}
	return u
}

// longName cuts what is behind a name: a zero, then 0xffff, less than an entry.
func (v *volume) longName(u []uint16) string {
	v.t.Helper()
	name := u
	for i, unit := range u {
		if unit != 0 {
			continue
		}
		name = u[:i]
		for _, pad := range u[i+1:] {
			if pad != 0xffff {
				v.t.Errorf("long name %x is padded wrongly", u)
			}
		}
		if len(u)-i > 12 {
			v.t.Errorf("long name %x has an entry too many", u)
		}
		break
	}
	return string(utf16.Decode(name))
}

func shortSum(name []byte) byte {
	var sum byte
	for _, c := range name {
		sum = (sum&1)<<7 + sum>>1 + c
	}
	return sum
}
