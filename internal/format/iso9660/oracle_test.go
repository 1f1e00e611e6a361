package iso9660_test

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/bootc-go/bootc/internal/format/iso9660"
)

// ask runs a program of others.
func ask(t *testing.T, name string, args ...string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		t.Skipf("%s is not installed", name)
	}
	out, err := exec.Command(path, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

// write makes a medium whose files have some contents.
func write(t *testing.T, files []iso9660.File, o iso9660.Options) (path string, contents map[string][]byte) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "medium.iso")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	v, err := iso9660.New(files, o)
	if err != nil {
		t.Fatal(err)
	}
	if err := v.Write(f); err != nil {
		t.Fatal(err)
	}
	contents = map[string][]byte{}
	for _, file := range files {
		if file.Size > 1<<30 { // a hole
			continue
		}
		data := make([]byte, file.Size)
		for k := 0; k < len(data); k += sha256.Size {
			sum := sha256.Sum256(fmt.Append(nil, file.Name, k))
			copy(data[k:], sum[:])
		}
		if _, err := f.WriteAt(data, file.At); err != nil {
			t.Fatal(err)
		}
		contents[file.Name] = data
	}
	if err := f.Truncate(o.Size); err != nil {
		t.Fatal(err)
	}
	return path, contents
}

// TestXorriso has xorriso read catalog, directory and files.
func TestXorriso(t *testing.T) {
	files, o := hybrid()
	o.Boot = []iso9660.Boot{{Platform: iso9660.BIOS, File: "ROOT.IMG", Load: 2048}, o.Boot[0]}
	path, contents := write(t, files, o)
	to := t.TempDir()
	out := ask(t, "xorriso", "-abort_on", "WARNING", "-indev", path, "-pvd_info", "-report_el_torito", "plain", "-osirrox", "on", "-extract", "/", to)
	for _, want := range []string{
		`Volume Id    : LAB_1\n`, `Creation Time: 2026112602040567\n`, `El Torito catalog  : 19  1\n`,
		// number, platform, bootable, emulation, segment, system, sectors, block
		`El Torito boot img :   1  BIOS  y   none  0x0000  0x00      4       17920\n`,
		`El Torito boot img :   2  UEFI  y   none  0x0000  0x00      0         512\n`,
	} {
		if !regexp.MustCompile(want).MatchString(out) {
			t.Errorf("xorriso does not say %s:\n%s", want, out)
		}
	}
	for name, want := range contents {
		if got, err := os.ReadFile(filepath.Join(to, name)); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s: %d bytes instead of %d, or others; %v", name, len(got), len(want), err)
		}
	}
}

// TestXorrisoSections has xorriso read where the sections of a large file are.
func TestXorrisoSections(t *testing.T) {
	files := []iso9660.File{{Name: "ROOT.IMG", At: mib, Size: 9 << 30}}
	path, _ := write(t, files, iso9660.Options{Size: 10 << 30})
	out := ask(t, "xorriso", "-abort_on", "WARNING", "-indev", path, "-find", "/ROOT.IMG", "-exec", "report_lba")
	for _, want := range []string{
		`lba: +0 , +512 , +2097151 , +9663676416 , +'/ROOT.IMG'`, `lba: +1 , +2097663 , +2097151 , `, `lba: +2 , +4194814 , +524290 , `,
	} {
		if !regexp.MustCompile(want).MatchString(out) {
			t.Errorf("xorriso does not say %s:\n%s", want, out)
		}
	}
}

// TestIsoinfo has isoinfo read the directory.
func TestIsoinfo(t *testing.T) {
	files, o := hybrid()
	path, contents := write(t, files, o)
	if out := ask(t, "isoinfo", "-l", "-i", path); !regexp.MustCompile(`3145733 Nov 26 2026 \[ *17920 00\] +ROOT.IMG;1`).MatchString(out) {
		t.Errorf("isoinfo says\n%s", out)
	}
	if got := ask(t, "isoinfo", "-x", "/EFI.IMG;1", "-i", path); got != string(contents["EFI.IMG"]) {
		t.Errorf("EFI.IMG has %d bytes instead of %d, or others", len(got), len(contents["EFI.IMG"]))
	}
	if out := ask(t, "isoinfo", "-d", "-i", path); !strings.Contains(out, "Arch 239") && !strings.Contains(out, "EF") {
		t.Errorf("isoinfo says\n%s", out)
	}
}
