package efivars_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"testing/fstest"
	"unicode/utf16"

	"github.com/bootc-go/bootc/internal/linux/efivars"
)

const (
	infoName = "LoaderInfo-4a67b082-0a4c-41cf-b6c7-440b29bb8c4f"
	partName = "LoaderDevicePartUUID-4a67b082-0a4c-41cf-b6c7-440b29bb8c4f"
)

func variable(text string) *fstest.MapFile {
	data := []byte{6, 0, 0, 0}
	for _, u := range utf16.Encode([]rune(text)) {
		data = binary.LittleEndian.AppendUint16(data, u)
	}
	return &fstest.MapFile{Data: data}
}

func TestLoader(t *testing.T) {
	tests := []struct {
		name       string
		vars       fstest.MapFS
		info, part string
		bad        bool
	}{
		{name: "systemd-boot", vars: fstest.MapFS{infoName: variable("systemd-boot 257\x00"), partName: variable("C12A7328-F81F-11D2-BA4B-00A0C93EC93B\x00")},
			info: "systemd-boot 257", part: "c12a7328-f81f-11d2-ba4b-00a0c93ec93b"},
		{name: "without NUL", vars: fstest.MapFS{infoName: variable("grüß 😀")}, info: "grüß 😀"},
		{name: "other loader", vars: fstest.MapFS{"BootOrder-8be4df61-93ca-11d2-aa0d-00e098032b8c": variable("")}},
		{name: "empty", vars: fstest.MapFS{infoName: {}}, bad: true},
		{name: "odd length", vars: fstest.MapFS{partName: {Data: []byte{6, 0, 0, 0, 'x'}}}, bad: true},
		{name: "attributes only", vars: fstest.MapFS{partName: {Data: []byte{6, 0, 0, 0}}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			info, part, err := efivars.LoaderIn(tt.vars)
			if (err != nil) != tt.bad || info != tt.info || part != tt.part {
				t.Errorf("LoaderIn = %q, %q, %v, want %q, %q", info, part, err, tt.info, tt.part)
			}
		})
	}
	if _, _, err := efivars.LoaderIn(fstest.MapFS{}); !errors.Is(err, efivars.ErrNotEFI) {
		t.Errorf("no variables: %v, want ErrNotEFI", err)
	}
}

func TestEntries(t *testing.T) {
	vars := fstest.MapFS{
		"LoaderEntrySelected-" + efivars.LoaderVendor: variable("b.conf\x00"),
		"LoaderEntries-" + efivars.LoaderVendor:       variable("a.conf\x00b.conf\x00auto-reboot-to-firmware-setup\x00"),
	}
	selected, all, err := efivars.Entries(vars)
	if want := []string{"a.conf", "b.conf", "auto-reboot-to-firmware-setup"}; err != nil || selected != "b.conf" || !slices.Equal(all, want) {
		t.Errorf("Entries = %q, %q, %v, want b.conf, %q", selected, all, err, want)
	}
	if selected, all, err := efivars.Entries(fstest.MapFS{}); err != nil || selected != "" || all != nil {
		t.Errorf("no loader: Entries = %q, %q, %v, want nothing", selected, all, err)
	}
}

// TestSetText writes what Text reads. How the firmware takes it is seen by the
// story TestDamagedImage of test/vm.
func TestSetText(t *testing.T) {
	dir := t.TempDir()
	vars, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer vars.Close()
	for _, text := range []string{"a longer text, grüß 😀", "short"} {
		if err := efivars.SetText(vars, "Test", efivars.BootcVendor, text); err != nil {
			t.Fatal(err)
		}
		if got, err := efivars.Text(vars.FS(), "Test", efivars.BootcVendor); err != nil || got != text {
			t.Errorf("Text = %q, %v, want %q", got, err, text)
		}
	}
	data, err := os.ReadFile(filepath.Join(dir, "Test-"+efivars.BootcVendor))
	if want := append([]byte{7, 0, 0, 0}, "s\x00h\x00o\x00r\x00t\x00\x00\x00"...); err != nil || !bytes.Equal(data, want) {
		t.Errorf("the variable is %q, %v, want %q", data, err, want)
	}
	for range 2 {
		if err := efivars.Remove(vars, "Test", efivars.BootcVendor); err != nil {
			t.Errorf("Remove: %v", err)
		}
	}
	if got, err := efivars.Text(vars.FS(), "Test", efivars.BootcVendor); err != nil || got != "" {
		t.Errorf("after Remove: Text = %q, %v, want nothing", got, err)
	}
}
