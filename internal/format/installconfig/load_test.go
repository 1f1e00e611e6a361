package installconfig_test

import (
	"bytes"
	"encoding/json"
	"maps"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/bootc-go/bootc/internal/format/installconfig"
)

// a file in one of the directories, "/usr" for the first.
func in(top, name, text string) installconfig.File {
	return installconfig.File{Dir: top + "/bootc/install", Name: name, Data: []byte(text)}
}

// TestLoad is what the recorded cases do not have; see internal/action/install.
func TestLoad(t *testing.T) {
	for _, c := range []struct {
		name  string
		files []installconfig.File
		want  string // what is printed, without keys that are null
	}{
		{"all keys", []installconfig.File{in("/usr", "a.toml", `
[install]
block = ["direct", "tpm2-luks"]
kargs = ["<a>", "ä"]
karg-deletes = []
match-architectures = ["x86_64", "aarch64"]
bootupd.skip-boot-uuid = true
bootloader = "grub-cc"
[install.filesystem]
root = {type = "btrfs"}
`)}, `{"block":["direct","tpm2-luks"],"bootloader":"grub-cc","bootupd":{"skip-boot-uuid":true},"filesystem":{"root":{"type":"btrfs"}},` +
			`"karg-deletes":[],"kargs":["<a>","ä"],"match-architectures":["x86_64","aarch64"],"root-fs-type":"btrfs"}`},
		{"later values", []installconfig.File{
			in("/usr", "b.toml", "[install]\nblock = []\nkargs = [\"b\", \"a\"]\nbootloader = \"none\"\n[install.ostree]\n"),
			in("/usr", "a.toml", "[install]\nblock = [\"direct\"]\nkargs = [\"a\"]\nbootloader = \"systemd\"\nostree.bls-append-except-default = \"x\"\n"),
		}, `{"block":[],"bootloader":"none","kargs":["a","b","a"],"ostree":{"bls-append-except-default":"x"}}`},
		{"empty lists", []installconfig.File{in("/usr", "a.toml", "[install]\n"), in("/usr", "b.toml", "install.kargs = []\n")},
			`{"block":["direct"],"kargs":[]}`},
		{"the later spelling", []installconfig.File{
			in("/usr", "a.toml", "install.root-fs-type = \"xfs\"\n"), in("/usr", "b.toml", "install.filesystem.root.type = \"ext4\"\n"),
			in("/usr", "c.toml", "install.root-fs-type = \"btrfs\"\n"), in("/usr", "d.toml", "[install.filesystem.root]\n"),
		}, `{"block":["direct"],"filesystem":{"root":{"type":"btrfs"}},"root-fs-type":"btrfs"}`},
		{"hidden", []installconfig.File{in("/usr", "a.toml", "junk ["), in("/etc", "a.toml", "")}, `{}`},
	} {
		got, err := installconfig.Load(c.files, "x86_64")
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		if diff := cmp.Diff(c.want, set(t, got)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.name, diff)
		}
	}
}

// set is what is printed of a configuration, without the keys that are null.
func set(t *testing.T, c *installconfig.Config) string {
	t.Helper()
	var b bytes.Buffer
	if err := c.Print(&b, true); err != nil {
		t.Fatal(err)
	}
	var all map[string]any
	if err := json.Unmarshal(b.Bytes(), &all); err != nil {
		t.Fatal(err)
	}
	maps.DeleteFunc(all, func(_ string, v any) bool { return v == nil })
	b.Reset()
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(all); err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(b.String())
}

func TestLoadRefuses(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"[install]\nkargs = [\"a\"\n", "/usr/bootc/install/a.toml: line 2"},
		{"[install]\n\nblock = [\"direct\", \"raid\"]\n", `/usr/bootc/install/a.toml: line 3 (last key "install.block"): "raid" is not one of direct, tpm2-luks`},
		{"[install]\nstateroot = 7\n", `/usr/bootc/install/a.toml: line 2 (last key "install.stateroot")`},
		{"[install]\nbootloader = \"\"\n", `"" is not one of grub, grub-cc, systemd, none`},
		{"[install.filesystem.root]\ntype = true\n", `"true" is not one of xfs, ext4, btrfs`},
		{"[install]\nkargs = [1]\n", "line 2"},
		{"install = 1\n", "line 1"},
		{"[[install]]\n", "install"},
		{"[Install]\n", `unknown key "Install"`},
		{"[install]\nStateroot = \"a\"\n", `unknown key "install.Stateroot"`},
		{"[install]\nstateroot = \"a\"\nStateroot = \"a\"\n", `unknown key "install.Stateroot"`},
		{"[install]\nbootupd = {skip-boot-uuid = true, x = 1}\n", `unknown key "install.bootupd.x"`},
		{"[install.filesystem.root]\nlabel = \"x\"\n", `unknown key "install.filesystem.root.label"`},
		{"[installer]\n", `unknown key "installer"`},
		{"kargs = [\"a\"]\n", `unknown key "kargs"`},
	} {
		_, err := installconfig.Load([]installconfig.File{in("/usr", "a.toml", c.text)}, "x86_64")
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q: %v, want %s in it", c.text, err, c.want)
		} else if strings.Contains(err.Error(), "\n") || strings.Contains(err.Error(), "toml:") && !strings.Contains(err.Error(), "a.toml:") {
			t.Errorf("%q: %v is not one sentence", c.text, err)
		}
	}
}

// TestUnknown is what is passed over.
func TestUnknown(t *testing.T) {
	c, err := installconfig.Load([]installconfig.File{in("/etc", "a.toml", "[install.ostree]\nfoo = {bar = 1}\n")}, "x86_64")
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"/etc/bootc/install/a.toml: install.ostree.foo", "/etc/bootc/install/a.toml: install.ostree.foo.bar"}
	if diff := cmp.Diff(want, c.Unknown); diff != "" {
		t.Errorf("Unknown (-want +got):\n%s", diff)
	}
}

func TestWanted(t *testing.T) {
	for name, want := range map[string]bool{"a.toml": true, "a.toml.toml": true, "\xff.toml": true, ".toml": false, ".a.toml": false, "a.TOML": false, "toml": false, "a.toml~": false} {
		if got := installconfig.Wanted(name); got != want {
			t.Errorf("Wanted(%q) = %t, want %t", name, got, want)
		}
	}
}

// FuzzLoad prints what it has read, and the result can be read again.
func FuzzLoad(f *testing.F) {
	f.Add([]byte("[install]\nkargs = [\"a\"]\nblock = []\nmatch-architectures = [\"x86_64\"]\n"))
	f.Add([]byte("install.filesystem.root.type = \"xfs\"\ninstall.ostree.x = 1\n"))
	f.Add([]byte("[install.bootupd]\nskip-boot-uuid = true\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := installconfig.Load([]installconfig.File{in("/usr", "f.toml", string(data))}, "x86_64")
		if err != nil {
			return
		}
		var b bytes.Buffer
		if err := c.Print(&b, true); err != nil {
			t.Fatal(err)
		}
		var again installconfig.Config
		d := json.NewDecoder(&b)
		d.DisallowUnknownFields()
		if err := d.Decode(&again); err != nil {
			t.Fatal(err)
		}
		again.Unknown = c.Unknown
		if diff := cmp.Diff(c, &again); diff != "" {
			t.Errorf("%q (-read +printed):\n%s", data, diff)
		}
	})
}
