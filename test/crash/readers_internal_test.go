package crash

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/bootc-go/bootc/internal/format/ext4"
	"github.com/bootc-go/bootc/internal/format/fat"
	"github.com/bootc-go/bootc/internal/format/tree"
	"github.com/bootc-go/bootc/internal/format/verity"
)

func must(t *testing.T, errs ...error) {
	t.Helper()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}

// load makes a volume of a file's bytes.
func load(t *testing.T, path string) *Volume {
	t.Helper()
	f, err := os.Open(path)
	must(t, err)
	defer f.Close()
	st, err := f.Stat()
	must(t, err)
	d := NewDisk(NewStore(), st.Size()/sectorSize)
	v := &Volume{d, 0, st.Size() / sectorSize}
	must(t, v.readBack(f))
	return v
}

// TestFAT reads what package fat writes.
func TestFAT(t *testing.T) {
	path := filepath.Join(t.TempDir(), "fat")
	out, err := os.Create(path)
	must(t, err)
	defer out.Close()
	long := strings.Repeat("x", 40) + ".efi"
	want := map[string]string{"loader/entries.srel": "type1\n", "EFI/Linux/" + long: strings.Repeat("kernel ", 20_000), "EFI/empty": ""}
	var files []fat.File
	for name, text := range want {
		files = append(files, fat.File{Name: name, Size: int64(len(text)), Open: func() (io.ReadCloser, error) {
			return io.NopCloser(strings.NewReader(text)), nil
		}})
	}
	image, err := fat.New(files, fat.Options{Size: 64 << 20, Label: "ESP"})
	must(t, err, out.Truncate(64<<20), image.Write(out))
	f, err := openFAT(load(t, path), newCache())
	must(t, err)
	for name, text := range want {
		e, err := f.find(strings.ToUpper(name))
		must(t, err)
		data, err := f.content(e)
		must(t, err)
		got, err := f.sha256(e)
		if must(t, err); string(data) != text || got != fmt.Sprintf("%x", sha256.Sum256([]byte(text))) {
			t.Errorf("%s: %d bytes, SHA-256 %s, want %d bytes", name, len(data), got, len(text))
		}
	}
	if _, err := f.find("EFI/Linux/none"); !errors.Is(err, errAbsent) {
		t.Errorf("a file that is not there: %v", err)
	}
}

// TestObject reads files with fs-verity that package ext4 writes, and finds one
// changed sector.
func TestObject(t *testing.T) {
	contents := map[string][]byte{}
	top := tree.New()
	for _, size := range []int{1, 4096, 5000, 300_000} {
		data := bytes.Repeat([]byte(fmt.Sprint(size, " ")), size)[:size]
		n := &tree.Node{Mode: typeFile | 0o644, Size: uint64(size), Object: verity.Sum(verity.SHA512, data)}
		name := fmt.Sprint("f", size)
		top.Root.SetChild(name, n)
		contents[n.Object.String()] = data
	}
	path := filepath.Join(t.TempDir(), "ext4")
	out, err := os.Create(path)
	must(t, err)
	defer out.Close()
	image, err := ext4.New(top, ext4.Options{
		Size: 64 << 20, Seal: func(string) bool { return true },
		Open: func(n *tree.Node, _ bool) (io.ReadCloser, error) {
			return io.NopCloser(bytes.NewReader(contents[n.Object.String()])), nil
		},
	})
	must(t, err, out.Truncate(64<<20), image.Write(out))
	v := load(t, path)
	f, err := openExt4(v, newCache())
	must(t, err)
	for _, name := range top.Root.Names() {
		in, err := f.lookup(rootInode, name)
		must(t, err)
		want := func(got verity.Digest) bool { return got == top.Root.Child(name).Object }
		if err := f.measures(in, want); err != nil {
			t.Errorf("%s: %v, want %v", name, err, top.Root.Child(name).Object)
		}
		// The data, the descriptor and its size.
		last := in.extents[len(in.extents)-1]
		end := (last.start + last.count) * blockSize
		for _, at := range []int64{in.extents[0].start * blockSize, end - blockSize, end - sectorSize} {
			v.d.hold()
			v.write(at, bytes.Repeat([]byte{0x55}, sectorSize))
			in.summed = false
			if err := f.measures(in, want); err == nil {
				t.Errorf("%s: the sector at %d changed, and it verifies", name, at)
			}
			v.d.release()
		}
	}
}

// TestJournal has the kernel write to ext4 and replays its journal from a copy
// that was made meanwhile, as e2fsck does.
func TestJournal(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root, to mount")
	}
	dir := t.TempDir()
	image, mnt := filepath.Join(dir, "image"), filepath.Join(dir, "mnt")
	must(t, os.WriteFile(image, nil, 0o600), os.Truncate(image, 64<<20), os.Mkdir(mnt, 0o755))
	tool(t, "mkfs.ext4", "-q", "-F", "-b", "4096", "-O", "verity", image)
	if out, err := exec.Command("mount", "-o", "loop", image, mnt).CombinedOutput(); err != nil {
		t.Skipf("mount: %v: %s", err, out)
	}
	mounted := true
	defer func() {
		if mounted {
			exec.Command("umount", mnt).Run()
		}
	}()
	for i := range 40 {
		name := fmt.Sprintf("%s/d%d", mnt, i)
		must(t, os.Mkdir(name, 0o755), os.Symlink("target", name+"/link"))
		for k := range 20 {
			must(t, os.WriteFile(fmt.Sprintf("%s/f%d", name, k), bytes.Repeat([]byte{byte(i), byte(k)}, 1000*k), 0o640))
		}
		if i%3 == 2 { // blocks of directories become blocks of files: revoked
			must(t, os.RemoveAll(fmt.Sprintf("%s/d%d", mnt, i-1)))
		}
		// The first block of a file looks like one of the journal.
		must(t, os.WriteFile(name+"/magic", []byte("\xc0\x3b\x39\x98"), 0o600))
		tool(t, "sync", "-f", mnt)
	}
	ours, theirs := filepath.Join(dir, "ours"), filepath.Join(dir, "theirs")
	tool(t, "cp", "--sparse=always", image, ours)
	tool(t, "cp", "--sparse=always", image, theirs)
	tool(t, "umount", mnt)
	mounted = false
	tool(t, "e2fsck", "-E", "journal_only", "-p", theirs)
	v := load(t, ours)
	f, err := openExt4(v, newCache())
	must(t, err)
	if f.replayed == 0 {
		t.Fatal("nothing was replayed")
	}
	same(t, f, load(t, theirs))
	got, err := f.tree(rootInode)
	must(t, err)
	g, err := openExt4(load(t, theirs), newCache())
	must(t, err)
	if again, err := g.tree(rootInode); err != nil || again == 0 || got == 0 {
		t.Errorf("trees: %v, %v, %v", got, again, err)
	}
}

// same compares all blocks but the superblock and the journal.
func same(t *testing.T, f *ext4fs, theirs *Volume) {
	t.Helper()
	in, err := f.inode(journalInode)
	must(t, err)
	skip := map[int64]bool{0: true}
	for _, e := range in.extents {
		for i := range e.count {
			skip[e.start+i] = true
		}
	}
	differ := 0
	for block := range f.v.count * sectorSize / blockSize {
		a, err := f.v.bytes(block*blockSize, blockSize)
		must(t, err)
		b, err := theirs.bytes(block*blockSize, blockSize)
		if must(t, err); !bytes.Equal(a, b) && !skip[block] {
			differ++
		}
	}
	if differ > 0 {
		t.Errorf("%d of %d blocks differ after %d were replayed", differ, f.v.count*sectorSize/blockSize, f.replayed)
	}
}

func tool(t *testing.T, name string, args ...string) {
	t.Helper()
	out, err := exec.Command(name, args...).CombinedOutput()
	if code := exitCode(err); code != 0 && (code != 1 || name != "e2fsck") {
		t.Fatalf("%s: %v: %s", name, err, out)
	}
}
