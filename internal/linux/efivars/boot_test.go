package efivars_test

import (
	"errors"
	"io/fs"
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/bootc-go/bootc/internal/linux/efivars"
)

// TestBootFirst takes the first free number, puts it in front, and removes what is
// stale, whatever else there is.
func TestBootFirst(t *testing.T) {
	vars, err := os.OpenRoot(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer vars.Close()
	const global = "-" + efivars.GlobalVendor
	start := map[string]string{
		"Boot0000" + global:                "\x07\x00\x00\x00disk",
		"Boot0001" + global:                "\x07\x00\x00\x00old",
		"Boot000A" + global:                "\x07\x00\x00\x00disc",
		"BootOrder" + global:               "\x07\x00\x00\x00\x0a\x00\x01\x00\x02\x00\x00\x00",
		"BootCurrent" + global:             "\x06\x00\x00\x00\x0a\x00",
		"Boot0003-" + efivars.LoaderVendor: "\x07\x00\x00\x00other",
		"BootABCDE" + global:               "\x07\x00\x00\x00other",
		"Boot000a" + global:                "\x07\x00\x00\x00other",
		"OsIndicationsSupported" + global:  "\x06\x00\x00\x00",
	}
	for name, data := range start {
		if err := vars.WriteFile(name, []byte(data), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	options, err := efivars.BootOptions(vars.FS())
	if diff := cmp.Diff(map[uint16][]byte{0: []byte("disk"), 1: []byte("old"), 10: []byte("disc")}, options); err != nil || diff != "" {
		t.Fatalf("BootOptions: %v (-want +got):\n%s", err, diff)
	}
	if err := efivars.BootFirst(vars, []byte("new"), []uint16{1}); err != nil {
		t.Fatal(err)
	}
	want := map[string]string{
		"Boot0002" + global:  "\x07\x00\x00\x00new",
		"BootOrder" + global: "\x07\x00\x00\x00\x02\x00\x0a\x00\x00\x00",
		"BootNext" + global:  "\x07\x00\x00\x00\x02\x00",
	}
	for name, data := range start {
		if _, changed := want[name]; !changed && name != "Boot0001"+global {
			want[name] = data
		}
	}
	got := map[string]string{}
	entries, err := fs.ReadDir(vars.FS(), ".")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		data, err := vars.ReadFile(e.Name())
		if err != nil {
			t.Fatal(err)
		}
		got[e.Name()] = string(data)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("variables (-want +got):\n%s", diff)
	}
}

// TestBootFirstBare has a firmware without any option.
func TestBootFirstBare(t *testing.T) {
	vars, err := os.OpenRoot(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer vars.Close()
	if err := efivars.BootFirst(vars, []byte("new"), nil); err != nil {
		t.Fatal(err)
	}
	data, err := vars.ReadFile("BootOrder-" + efivars.GlobalVendor)
	if err != nil || string(data) != "\x07\x00\x00\x00\x00\x00" {
		t.Errorf("BootOrder is %q, %v", data, err)
	}
	if err := vars.WriteFile("BootOrder-"+efivars.GlobalVendor, []byte{7, 0, 0, 0, 1}, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := efivars.BootFirst(vars, []byte("new"), nil); err == nil {
		t.Error("a BootOrder of an odd length is taken")
	}
	if _, err := vars.ReadFile("Boot0001-" + efivars.GlobalVendor); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("an option was added all the same: %v", err)
	}
}
