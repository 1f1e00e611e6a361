package install

import (
	"io/fs"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/bootc-go/bootc/internal/format/gpt"
	"github.com/bootc-go/bootc/internal/format/loadoption"
	"github.com/bootc-go/bootc/internal/linux/efivars"
)

func guid(n byte) gpt.GUID { return gpt.NewGUID([16]byte{n}) }

func TestLoadOption(t *testing.T) {
	table, err := gpt.New(guid(1), 512, 4<<30)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := loadOption(table, "amd64"); err == nil || !strings.Contains(err.Error(), "no EFI system partition") {
		t.Errorf("an empty table: %v", err)
	}
	for n, kind := range []gpt.GUID{gpt.BIOSBoot, gpt.ESP} {
		if err := table.Append(kind, guid(byte(n+2)), "x", 1<<30); err != nil {
			t.Fatal(err)
		}
	}
	got, err := loadOption(table, "amd64")
	want := loadoption.Option{
		Description: "Linux Boot Manager", File: "EFI/systemd/systemd-bootx64.efi",
		Partition: loadoption.Partition{Number: 2, Start: table.Partitions[1].First, Size: 1 << 30 / 512, GUID: guid(3)},
	}
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
}

// TestRegister removes the options of partitions that were erased, and no other.
func TestRegister(t *testing.T) {
	vars, err := os.OpenRoot(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer vars.Close()
	on := func(n byte) []byte {
		return loadoption.Option{Description: "x", Partition: loadoption.Partition{Number: 1, GUID: guid(n)}, File: "x"}.Bytes()
	}
	nowhere := loadoption.Option{Description: "net", File: "x"}.Bytes()
	for name, data := range map[string][]byte{"Boot0000": on(1), "Boot0001": on(2), "Boot0002": nowhere, "Boot0004": []byte("broken"), "BootOrder": {1, 0, 0, 0, 2, 0}} {
		if err := vars.WriteFile(name+"-"+efivars.GlobalVendor, append([]byte{7, 0, 0, 0}, data...), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	option := loadoption.Option{Description: "new", Partition: loadoption.Partition{Number: 2, GUID: guid(9)}, File: "y"}
	if err := register(vars, option, []gpt.GUID{guid(1), {}, guid(7)}); err != nil {
		t.Fatal(err)
	}
	entries, err := fs.ReadDir(vars.FS(), ".")
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, strings.TrimSuffix(e.Name(), "-"+efivars.GlobalVendor))
	}
	want := []string{"Boot0001", "Boot0002", "Boot0003", "Boot0004", "BootNext", "BootOrder"}
	if !slices.Equal(names, want) {
		t.Errorf("variables %q, want %q", names, want)
	}
	for name, want := range map[string]string{
		"Boot0003": string(option.Bytes()), "BootNext": "\x03\x00", "BootOrder": "\x03\x00\x01\x00\x02\x00",
	} {
		data, err := vars.ReadFile(name + "-" + efivars.GlobalVendor)
		if err != nil || string(data[4:]) != want {
			t.Errorf("%s is %q, %v, want %q", name, data, err, want)
		}
	}
}
