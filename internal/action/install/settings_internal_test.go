package install

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/bootc-go/bootc/internal/format/installconfig"
	"github.com/bootc-go/bootc/internal/machine/bootable"
	"github.com/bootc-go/bootc/internal/machine/storage"
)

// config is what a table [install] says.
func config(t *testing.T, table string) *installconfig.Config {
	t.Helper()
	c, err := load([]installconfig.File{{Dir: "/usr/lib/bootc/install", Name: "a.toml", Data: []byte("[install]\n" + table)}}, "amd64")
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestSettings(t *testing.T) {
	given := Options{Storage: storage.Options{Filesystem: "ext4"}, BlockSetup: "direct", Bootloader: "systemd"}
	for _, c := range []struct {
		table         string
		refused       string // without options, a part of the error
		option        string // that it offers
		refusedThough bool   // with options too
	}{
		{table: ``},
		{table: `filesystem.root.type = "ext4"`},
		{table: `root-fs-type = "xfs"`, refused: `filesystem.root.type = "xfs", and only "ext4" is supported`, option: "--filesystem ext4"},
		{table: `bootloader = "systemd"`},
		{table: `bootloader = "grub"`, refused: `bootloader = "grub"`, option: "--bootloader systemd"},
		{table: `block = ["direct", "tpm2-luks"]`},
		{table: `block = ["tpm2-luks", "direct"]`, refused: `block = ["tpm2-luks", "direct"], and only "direct" is`, option: "--block-setup direct"},
		{table: `block = ["tpm2-luks"]`, refused: `block = ["tpm2-luks"]`, refusedThough: true},
		{table: `block = []`, refused: `block = []`, refusedThough: true},
		{table: `stateroot = "default"`},
		{table: `stateroot = "os"`, refused: `stateroot = "os"`, refusedThough: true},
		{table: `stateroot = ""`, refused: `stateroot = ""`, refusedThough: true},
		{table: `discoverable-partitions = true`},
		{table: `discoverable-partitions = false`, refused: `discoverable-partitions = false, and only true is`, refusedThough: true},
		{table: `enforce-container-sigpolicy = false`},
		{table: `enforce-container-sigpolicy = true`, refused: `enforce-container-sigpolicy = true`, refusedThough: true},
		{table: "root-mount-spec = \"LABEL=r\"\nboot-mount-spec = \"\"\nbootupd.skip-boot-uuid = true\nostree.bls-append-except-default = \"x\""},
		{table: `kargs = ["a b", "", "c=\"d e\""]`},
		{table: `kargs = ["composefs=x"]`, refused: "composefs= is set by bootc alone", refusedThough: true},
		{table: `kargs = ["a=\"b", "c"]`, refused: "not closed", refusedThough: true},
		{table: `karg-deletes = ["composefs=x"]`, refused: "composefs= is set by bootc alone", refusedThough: true},
	} {
		cfg := config(t, c.table)
		err := (&Options{}).checkConfig(cfg)
		if (err == nil) != (c.refused == "") || err != nil && !strings.Contains(err.Error(), c.refused) {
			t.Errorf("%s: %v, want %q in it", c.table, err, c.refused)
		}
		var s *SettingError
		if errors.As(err, &s) && s.Option != c.option {
			t.Errorf("%s: offers %q, want %q", c.table, s.Option, c.option)
		}
		if err := given.checkConfig(cfg); (err != nil) != c.refusedThough {
			t.Errorf("%s: %v with all options", c.table, err)
		}
	}
}

// TestOptions is the order of kernel arguments, and what is deleted.
func TestOptions(t *testing.T) {
	system := &bootable.System{Kargs: []string{"quiet", "image=1", "drop"}}
	for _, c := range []struct{ table, want string }{
		{``, "rw local=1 drop composefs=ID quiet image=1 drop"},
		{`kargs = ["b a=1", "b"]`, "rw b a=1 b local=1 drop composefs=ID quiet image=1 drop"},
		{"kargs = [\"a=1\", \"a=2\", \"c-d=1\"]\nkarg-deletes = [\"drop a=1\", 'c_d=\"1\"', \"local=1\", \"image\"]", "rw a=2 local=1 drop composefs=ID quiet image=1"},
		{`karg-deletes = ["rw"]`, "local=1 drop composefs=ID quiet image=1 drop"},
	} {
		p := &Plan{Options: Options{Kargs: []string{"local=1", "drop"}}}
		if diff := cmp.Diff(c.want, p.options(config(t, c.table), system, "ID")); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.table, diff)
		}
	}
	p := &Plan{Options: Options{Kargs: []string{"local=1"}, DisableSELinux: true}}
	want := "rw selinux=1 selinux=0 local=1 composefs=ID quiet image=1 drop"
	if diff := cmp.Diff(want, p.options(config(t, `kargs = ["selinux=1"]`), system, "ID")); diff != "" {
		t.Errorf("without SELinux (-want +got):\n%s", diff)
	}
}

// TestSealed is what a unified kernel image has to have, as nothing can be added to
// its command line.
func TestSealed(t *testing.T) {
	for _, c := range []struct{ table, refused string }{
		{``, ""},
		{`kargs = ["console=ttyS0", "quiet"]`, ""},
		{`kargs = ["console=ttyS1"]`, `add the kernel argument "console=ttyS1"`},
		{"kargs = [\"console=ttyS1\"]\nkarg-deletes = [\"console=ttyS1\"]", ""},
		{`karg-deletes = ["splash"]`, ""},
		{`karg-deletes = ["splash quiet"]`, `delete the kernel argument "quiet"`},
	} {
		err := checkSealed(config(t, c.table), "rw composefs=ID quiet console=ttyS0")
		if (err == nil) != (c.refused == "") || err != nil && !strings.Contains(err.Error(), c.refused) {
			t.Errorf("%s: %v, want %q in it", c.table, err, c.refused)
		}
	}
	for option, o := range map[string]Options{"--karg": {Kargs: []string{"a"}}, "--disable-selinux": {DisableSELinux: true}} {
		if err := (&Plan{Options: o}).checkSealedOptions(); err == nil || !strings.Contains(err.Error(), option) || !strings.Contains(err.Error(), "cannot be used") {
			t.Errorf("%s: %v", option, err)
		}
	}
}
