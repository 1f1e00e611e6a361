package uki_test

import (
	"bytes"
	"encoding/binary"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/bootc-go/bootc/internal/format/uki"
)

type section struct {
	name          string
	data          string
	virtual, size uint32 // 0: len(data)
}

// image makes a PE file of sections, each padded to 512 bytes.
func image(sections ...section) []byte {
	b := make([]byte, 1024)
	copy(b, "MZ")
	b[0x3c] = 0x80
	copy(b[0x80:], "PE\x00\x00\x64\x86")
	binary.LittleEndian.PutUint16(b[0x80+6:], uint16(len(sections)))
	binary.LittleEndian.PutUint16(b[0x80+20:], 0x20) // optional header
	for i, s := range sections {
		padded := (len(s.data) + 511) / 512 * 512
		if s.virtual == 0 {
			s.virtual = uint32(len(s.data))
		}
		if s.size == 0 {
			s.size = uint32(padded)
		}
		row := b[0x80+24+0x20+40*i:]
		copy(row[:8], s.name)
		binary.LittleEndian.PutUint32(row[8:], s.virtual)
		binary.LittleEndian.PutUint32(row[16:], s.size)
		binary.LittleEndian.PutUint32(row[20:], uint32(len(b)))
		b = append(b, s.data...)
		b = append(b, make([]byte, padded-len(s.data))...)
	}
	return b
}

func good() []byte {
	return image(
		section{name: ".text", data: "stub"},
		section{name: ".osrel", data: "ID=debian\n"},
		section{name: ".cmdline", data: "rw composefs=x \n\x00\x00"},
		section{name: ".uname", data: "6.12.0"},
		section{name: ".initrd", data: strings.Repeat("i", 700)},
		section{name: ".linux", data: strings.Repeat("l", 600)},
		section{name: ".profile", data: "ID=second"},
		section{name: ".cmdline", data: "other"},
	)
}

func TestOpen(t *testing.T) {
	i, err := uki.Open(bytes.NewReader(good()))
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name string
		read func() (string, error)
		want string
	}{
		{"Cmdline", i.Cmdline, "rw composefs=x"},
		{"OSRelease", i.OSRelease, "ID=debian"},
		{"Uname", i.Uname, "6.12.0"},
		{"Linux", all(i.Linux()), strings.Repeat("l", 600)},
		{"Initrd", all(i.Initrd()), strings.Repeat("i", 700)},
		{".text", all(i.Section(".text")), "stub"},
	} {
		if got, err := test.read(); err != nil || got != test.want {
			t.Errorf("%s: %q, %v, want %q", test.name, got, err, test.want)
		}
	}
	if i.Section(".ucode") != nil || i.Size(".ucode") != 0 || i.Size(".linux") != 600 {
		t.Errorf("sizes: .ucode %d, .linux %d", i.Size(".ucode"), i.Size(".linux"))
	}
}

func all(r io.Reader) func() (string, error) {
	return func() (string, error) {
		b, err := io.ReadAll(r)
		return string(b), err
	}
}

func TestOpenRefuses(t *testing.T) {
	patch := func(at int, with string) []byte {
		b := good()
		copy(b[at:], with)
		return b
	}
	for _, test := range []struct {
		name string
		data []byte
		want string
	}{
		{"empty", nil, "it ends before its headers do, at offset 0"},
		{"text", []byte(strings.Repeat("text", 50)), "it does not begin with MZ"},
		{"no PE header", patch(0x3c, "\xff\xff\xff\xff"), "PE header at offset 4294967295"},
		{"PE header beyond the end", patch(0x3c, "\xff\xff\x00\x00"), "it ends before its headers do, at offset 3072"},
		{"no signature", patch(0x80, "NE"), "it has no PE signature"},
		{"many sections", patch(0x86, "\xff\xff"), "65535 sections where 256 are allowed"},
		{"table beyond the end", patch(0x94, "\xff\xff"), "it ends before its headers do, at offset 65687"},
		{"an ordinary program", image(section{name: ".text", data: "x"}), "it has no section .linux"},
	} {
		if test.name == "PE header beyond the end" || test.name == "table beyond the end" {
			_, err := uki.Open(bytes.NewReader(test.data))
			if err == nil || !strings.HasPrefix(err.Error(), "not a unified kernel image: it ends before its headers do") {
				t.Errorf("%s: error %v", test.name, err)
			}
			continue
		}
		_, err := uki.Open(bytes.NewReader(test.data))
		if want := "not a unified kernel image: " + test.want; err == nil || err.Error() != want {
			t.Errorf("%s: error %v, want %q", test.name, err, want)
		}
	}
}

func TestHostileSections(t *testing.T) {
	i, err := uki.Open(bytes.NewReader(image(
		section{name: ".cmdline", data: "x", virtual: 1 << 31, size: 1 << 31},
		section{name: ".osrel", data: "x", virtual: 5000, size: 5000},
		section{name: ".uname", data: "short", virtual: 1 << 30}, // more in memory than in the file
		section{name: ".linux", data: "l", virtual: 1 << 31, size: 1 << 31},
	)))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := i.Cmdline(); err == nil || err.Error() != "section .cmdline has 2147483648 bytes where 1048576 are allowed" {
		t.Errorf("huge text: %v", err)
	}
	if _, err := i.OSRelease(); err == nil || err.Error() != "reading section .osrel: unexpected EOF" {
		t.Errorf("text that leaves the file: %v", err)
	}
	if got, err := i.Uname(); err != nil || got != "short" {
		t.Errorf("text with a big virtual size: %q, %v", got, err)
	}
	if _, err := io.Copy(io.Discard, i.Linux()); err != io.ErrUnexpectedEOF {
		t.Errorf("kernel that leaves the file: %v", err)
	}
}

// TestObjcopy reads an image as binutils write it.
func TestObjcopy(t *testing.T) {
	objcopy, err := exec.LookPath("objcopy")
	if err != nil {
		t.Skip("objcopy (package binutils) is not installed")
	}
	dir := t.TempDir()
	in, out := filepath.Join(dir, "in"), filepath.Join(dir, "out")
	write(t, in, string(image(section{name: ".linux", data: "kernel"})))
	write(t, filepath.Join(dir, "cmdline"), "rw composefs=y")
	cmd := exec.Command(objcopy, "--add-section", ".cmdline="+filepath.Join(dir, "cmdline"), "--change-section-vma", ".cmdline=0x30000", in, out)
	if text, err := cmd.CombinedOutput(); err != nil {
		t.Skipf("objcopy does not write PE files: %v: %s", err, text)
	}
	f, err := os.Open(out)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	i, err := uki.Open(f)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := i.Cmdline(); err != nil || got != "rw composefs=y" {
		t.Errorf("Cmdline = %q, %v", got, err)
	}
}

func write(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func FuzzOpen(f *testing.F) {
	f.Add(good())
	f.Add(good()[:300])
	f.Add([]byte("MZ"))
	f.Fuzz(func(t *testing.T, data []byte) {
		i, err := uki.Open(bytes.NewReader(data))
		if err != nil {
			return
		}
		for _, read := range []func() (string, error){i.Cmdline, i.OSRelease, i.Uname} {
			if text, err := read(); err == nil && len(text) > len(data) {
				t.Errorf("%d bytes of text from %d", len(text), len(data))
			}
		}
		for _, r := range []io.Reader{i.Linux(), i.Initrd()} {
			if r == nil {
				continue
			}
			if n, err := io.Copy(io.Discard, r); err == nil && n > int64(len(data)) {
				t.Errorf("%d bytes of a section from %d", n, len(data))
			}
		}
	})
}
