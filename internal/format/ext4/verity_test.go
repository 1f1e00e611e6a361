package ext4_test

import (
	"bytes"
	"crypto/sha512"
	"encoding/binary"
	"io"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"testing"

	"github.com/bootc-go/bootc/internal/format/tree"
	"github.com/bootc-go/bootc/internal/format/verity"
)

// TestSealed looks at what stands after the end of sealed files: a Merkle tree
// made by the simplest program, and a descriptor that hashes to the digest.
func TestSealed(t *testing.T) {
	f := everything()
	o := options(512*mib, sealAll)
	path := f.write(t, o)
	image, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer image.Close()
	for _, name := range []string{"big", "one", "exact", "more"} {
		n := f.Root.Child(name)
		data := f.contents[n.Object]
		extents := readExtents(t, path, "/"+name)
		file := make([]byte, (len(data)+4095)/4096*4096)
		readBlocks(t, image, extents, 0, file)
		if !bytes.Equal(file[:len(data)], data) || len(bytes.Trim(file[len(data):], "\x00")) > 0 {
			t.Errorf("%s: the data on disk differ", name)
		}
		want := merkle(file)
		at := int64((len(data)+65535)/65536) * 16
		got := make([]byte, len(want)+4096)
		readBlocks(t, image, extents, at, got)
		if !bytes.Equal(got[:len(want)], want) {
			t.Errorf("%s: the Merkle tree on disk differs", name)
		}
		descriptor := got[len(want):]
		if size := binary.LittleEndian.Uint32(descriptor[4092:]); size != 256 {
			t.Errorf("%s: the descriptor is said to have %d bytes", name, size)
		}
		if sum := sha512.Sum512(descriptor[:256]); string(sum[:]) != n.Object.Raw() {
			t.Errorf("%s: the descriptor does not hash to the digest", name)
		}
		if out := debugfs(t, path, "stat /"+name); !regexp.MustCompile(`Flags: 0x180000`).MatchString(out) {
			t.Errorf("%s: no flag for fs-verity: %s", name, out)
		}
	}
}

// merkle makes the SHA-512 Merkle tree of whole blocks: top level first, nothing
// for one block.
func merkle(blocks []byte) []byte {
	if len(blocks) <= 4096 {
		return nil
	}
	var level []byte
	for ; len(blocks) > 0; blocks = blocks[4096:] {
		sum := sha512.Sum512(blocks[:4096])
		level = append(level, sum[:]...)
	}
	level = append(level, make([]byte, -len(level)&4095)...)
	return append(merkle(level), level...)
}

type diskExtent struct{ logical, blocks, start int64 }

func debugfs(t *testing.T, image, command string) string {
	t.Helper()
	out, err := exec.Command(program(t, "debugfs"), "-R", command, image).Output()
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

func readExtents(t *testing.T, image, name string) (all []diskExtent) {
	t.Helper()
	line := regexp.MustCompile(`(?m)^ *0/ *\d+ +\d+/ *\d+ +(\d+) - +\d+ +(\d+) - +\d+ +(\d+)`)
	for _, m := range line.FindAllStringSubmatch(debugfs(t, image, "ex "+name), -1) {
		var v [3]int64
		for k := range v {
			v[k], _ = strconv.ParseInt(m[k+1], 10, 64)
		}
		all = append(all, diskExtent{logical: v[0], start: v[1], blocks: v[2]})
	}
	return all
}

// readBlocks fills b with what a file has from one of its blocks on.
func readBlocks(t *testing.T, image *os.File, extents []diskExtent, from int64, b []byte) {
	t.Helper()
	for ; len(b) > 0; b, from = b[4096:], from+1 {
		found := false
		for _, e := range extents {
			if from < e.logical || from >= e.logical+e.blocks {
				continue
			}
			found = true
			if _, err := image.ReadAt(b[:4096], (e.start+from-e.logical)*4096); err != nil {
				t.Fatal(err)
			}
		}
		if !found {
			t.Fatalf("block %d is not in the extents %v", from, extents)
		}
	}
}

// zeros is endless.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

// TestLargeFile has more extents than fit in an inode.
func TestLargeFile(t *testing.T) {
	f := newFixture()
	n := f.object("large", verity.SHA512, nil)
	n.Size = 700 * mib
	o := options(2<<30, nil)
	o.Open = func(*tree.Node, bool) (io.ReadCloser, error) {
		return io.NopCloser(io.LimitReader(zeros{}, 700*mib)), nil
	}
	path := f.write(t, o)
	check(t, path)
	if out := debugfs(t, path, "ex /large"); !bytes.Contains([]byte(out), []byte("0/ 1")) {
		t.Fatalf("the tree of extents has no level of its own:\n%s", out)
	}
	line := regexp.MustCompile(`(?m)^ *1/ *1 +\d+/ *\d+ +(\d+) - +\d+ +(\d+) - +\d+ +(\d+)`)
	var blocks int64
	for _, m := range line.FindAllStringSubmatch(debugfs(t, path, "ex /large"), -1) {
		k, _ := strconv.ParseInt(m[3], 10, 64)
		blocks += k
	}
	if want := int64(n.Size) / 4096; blocks != want {
		t.Errorf("the extents have %d blocks, want %d", blocks, want)
	}
}
