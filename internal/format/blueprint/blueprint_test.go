package blueprint_test

import (
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/bootc-go/bootc/internal/format/blueprint"
)

func id(n uint32) *uint32 { return &n }

// TestAll reads all keys that are honoured, in both languages.
func TestAll(t *testing.T) {
	want := &blueprint.Blueprint{
		Kargs:    []string{"nosmt=force", "quiet"},
		RootSize: blueprint.Size{Key: "customizations.filesystem[0].minsize", Bytes: 25 << 29},
		Divided:  true,
		Groups: []blueprint.Group{
			{Key: "customizations.group[0]", Name: "operators", GID: id(1050)},
			{Key: "customizations.group[1]", Name: "web"},
		},
		Users: []blueprint.User{
			{
				Key: "customizations.user[0]", Name: "core", Description: "Core User", Password: "secret", SSHKeys: "ssh-ed25519 AAAA core@host",
				Home: "/home/core", Shell: "/bin/bash", Groups: []string{"wheel", "operators"}, UID: id(1042), GID: id(1043), Expires: id(20000), Reset: true,
			},
			{Key: "customizations.user[1]", Name: "root", Password: "$6$salt$hash"},
		},
		Directories: []blueprint.Directory{
			{Node: blueprint.Node{
				Key: "customizations.directories[0]", Path: "/etc/app", Mode: id(0o750),
				User: &blueprint.Owner{Name: "core"}, Group: &blueprint.Owner{ID: 1050},
			}, Parents: true},
			{Node: blueprint.Node{Key: "customizations.directories[1]", Path: "/var/data"}},
		},
		Files: []blueprint.File{
			{Node: blueprint.Node{
				Key: "customizations.files[0]", Path: "/etc/app/app.conf", Mode: id(0o600),
				User: &blueprint.Owner{ID: 7}, Group: &blueprint.Owner{Name: "web"},
			}, Data: "a = 1\n"},
			{Node: blueprint.Node{Key: "customizations.files[1]", Path: "/var/data/empty"}},
		},
	}
	for _, name := range []string{"all.toml", "all.json"} {
		data, err := os.ReadFile("testdata/" + name)
		if err != nil {
			t.Fatal(err)
		}
		for _, as := range []string{name, "-"} {
			got, err := blueprint.Parse(as, data)
			if err != nil {
				t.Errorf("%s as %s: %v", name, as, err)
			} else if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("%s as %s (-want +got):\n%s", name, as, diff)
			}
		}
	}
}

// TestDisk reads the sizes.
func TestDisk(t *testing.T) {
	for text, want := range map[string][2]uint64{ // of the disk and of the root
		"":                 {},
		"[customizations]": {},
		"[customizations.disk]\nminsize = \"20 GiB\"": {20 << 30, 0},
		"[[customizations.disk.partitions]]\nmountpoint = \"/\"\nminsize = 2147483648\nfs_type = \"ext4\"\ntype = \"plain\"":          {0, 2 << 30},
		"[[customizations.filesystem]]\nmountpoint = \"/\"\nsize = \"5GB\"":                                                           {0, 5e9},
		"[customizations]\ndisk = {type = \"gpt\", minsize = \"1 TiB\", partitions = [{mountpoint = \"/\", minsize = \"4096 MiB\"}]}": {1 << 40, 4 << 30},
	} {
		b, err := blueprint.Parse("config.toml", []byte(text))
		if err != nil {
			t.Errorf("%s: %v", text, err)
		} else if got := [2]uint64{b.DiskSize.Bytes, b.RootSize.Bytes}; got != want {
			t.Errorf("%s: the sizes are %d, want %d", text, got, want)
		}
	}
}

// TestPartitions reads what is beside the root, in its order.
func TestPartitions(t *testing.T) {
	b, err := blueprint.Parse("config.toml", []byte(`
[[customizations.disk.partitions]]
mountpoint = "/var/log"
minsize = "1 GiB"
label = "log"

[[customizations.disk.partitions]]
mountpoint = "/"
minsize = "5 GiB"

[[customizations.disk.partitions]]
fs_type = "swap"
minsize = "512 MiB"

[[customizations.disk.partitions]]
type = "plain"
mountpoint = "/var/exchange"
fs_type = "vfat"
minsize = "100 MiB"
label = "EXCHANGE"
`))
	if err != nil {
		t.Fatal(err)
	}
	want := []blueprint.Partition{
		{Key: "customizations.disk.partitions[0]", Mount: "/var/log", Filesystem: "ext4", Label: "log", Size: 1 << 30},
		{Key: "customizations.disk.partitions[2]", Filesystem: "swap", Size: 512 << 20},
		{Key: "customizations.disk.partitions[3]", Mount: "/var/exchange", Filesystem: "vfat", Label: "EXCHANGE", Size: 100 << 20},
	}
	if diff := cmp.Diff(want, b.Partitions); diff != "" || !b.Divided {
		t.Errorf("partitions (-want +got):\n%s", diff)
	}
	b, err = blueprint.Parse("config.toml", []byte("[[customizations.filesystem]]\nmountpoint = \"/var/lib/data\"\nsize = \"1 GiB\""))
	if err != nil {
		t.Fatal(err)
	}
	want = []blueprint.Partition{{Key: "customizations.filesystem[0]", Mount: "/var/lib/data", Filesystem: "ext4", Size: 1 << 30}}
	if diff := cmp.Diff(want, b.Partitions); diff != "" {
		t.Errorf("file systems (-want +got):\n%s", diff)
	}
}

// TestParseDisk passes over what is not about the disk, wrong or not.
func TestParseDisk(t *testing.T) {
	b, passed, err := blueprint.ParseDisk("config.json", []byte(
		`{"name": "x", "packages": [], "customizations": {"user": 1, "nonsense": {}, "filesystem": [{"mountpoint": "/", "minsize": "5 GiB"}]}}`))
	if err != nil {
		t.Fatal(err)
	}
	want := &blueprint.Blueprint{Divided: true, RootSize: blueprint.Size{Key: "customizations.filesystem[0].minsize", Bytes: 5 << 30}}
	if diff := cmp.Diff(want, b); diff != "" {
		t.Errorf("ParseDisk (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"customizations.nonsense", "customizations.user", "packages"}, passed); diff != "" {
		t.Errorf("passed over (-want +got):\n%s", diff)
	}
	if _, _, err := blueprint.ParseDisk("config.toml", []byte("[customizations.disk]\ntype = \"dos\"")); err == nil || !strings.HasPrefix(err.Error(), "customizations.disk.type: ") {
		t.Errorf("the error is %v", err)
	}
}

// TestInstaller reads what is said about installing.
func TestInstaller(t *testing.T) {
	mode := uint32(0o440)
	for text, want := range map[string]*blueprint.Blueprint{
		"[customizations.installer]":                                        {},
		"[customizations]\ninstallation_device = \"/dev/disk/by-id/ata-1\"": {Installer: blueprint.Installer{Key: "customizations.installation_device", Device: "/dev/disk/by-id/ata-1"}},
		"[customizations.installer]\nunattended = true\npoweroff = true":    {Installer: blueprint.Installer{Key: "customizations.installer.unattended", Unattended: true, PowerOff: true}},
		"[customizations.installer]\nsudo-nopasswd = [\"core\", \"%wheel\"]": {
			Installer: blueprint.Installer{Key: "customizations.installer.sudo-nopasswd"},
			Files: []blueprint.File{{
				Node: blueprint.Node{Key: "customizations.installer.sudo-nopasswd", Path: "/etc/sudoers.d/bootc-nopasswd", Mode: &mode},
				Data: "core\tALL=(ALL)\tNOPASSWD: ALL\n%wheel\tALL=(ALL)\tNOPASSWD: ALL\n",
			}},
		},
	} {
		got, err := blueprint.Parse("config.toml", []byte(text))
		if err != nil {
			t.Errorf("%s: %v", text, err)
		} else if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", text, diff)
		}
	}
}

// TestRefused has the key in each error.
func TestRefused(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"x = ", "toml: line 1"},
		{"{", "json: unexpected EOF"},
		{"{} {}", "json: something follows"},
		{`{"customizations": {"user": [{"name": "a", "uid": 1.5}]}}`, "customizations.user[0].uid: want a whole number"},
		{`{"customizations": {"hostname": null}}`, "customizations.hostname: is not supported: a file /etc/hostname"},
		{"extra = 1", "extra: no such key is known"},
		{"name = 1", "name: want a text"},
		{"[[packages]]\nname = \"tmux\"", "packages: is not supported: software is installed when the image is built"},
		{"[[blueprint.customizations.user]]\nname = \"a\"", "blueprint: is not supported: customizations has to be at the top"},
		{"customizations = 1", "customizations: want a table"},
		{"[customizations]\n\"100%d\" = 1", "customizations.100%d: no such key is known"},
		{"[customizations.installer.kickstart]\ncontents = \"x\"", "customizations.installer.kickstart: is not supported: the installer is not Anaconda"},
		{"[customizations.installer.modules]\nenable = [\"x\"]", "customizations.installer.modules: is not supported"},
		{"[customizations.installer]\nunattended = \"yes\"", "customizations.installer.unattended: want true or false"},
		{"[customizations.installer]\nattended = true", "customizations.installer.attended: no such key is known"},
		{"[customizations.installer]\nsudo-nopasswd = [\"a b\"]", "customizations.installer.sudo-nopasswd: \"a b\" is not the name"},
		{"[customizations.installer]\nsudo-nopasswd = \"a\"", "customizations.installer.sudo-nopasswd: want a list of texts"},
		{"[customizations]\ninstaller = true", "customizations.installer: want a table"},
		{"[customizations]\ninstallation_device = \"vda\"", "customizations.installation_device: \"vda\" is not a path below /dev"},
		{"[customizations]\ninstallation_device = \"\"", "customizations.installation_device: is empty"},
		{"[customizations.fdo]\nmanufacturing_server_url = \"x\"", "customizations.fdo: is not supported: it is for installers of another kind"},
		{"[customizations.ignition.firstboot]\nurl = \"x\"", "customizations.ignition: is not supported"},
		{"[customizations]\nfips = true", "customizations.fips: is not supported"},
		{"[customizations.timezone]\ntimezone = \"UTC\"", "customizations.timezone: is not supported"},
		{"[customizations.kernel]\nname = \"kernel-rt\"", "customizations.kernel.name: is not supported: the kernel is the image's"},
		{"[customizations.kernel]\nappend = \"a composefs=1\"", "customizations.kernel.append: kernel argument"},
		{"[customizations.kernel]\nappend = \"\"", "customizations.kernel.append: is empty"},
		{"[customizations.user]\nname = \"a\"", "customizations.user: want a list of tables"},
		{"[customizations]\nuser = [1]", "customizations.user: want a list of tables"},
		{"[[customizations.user]]", `customizations.user[0].name: "" cannot be the name`},
		{"[[customizations.user]]\nname = \"a:b\"", `customizations.user[0].name: "a:b" cannot be the name`},
		{"[[customizations.user]]\nname = \"a\"\npassword = \"\"", "customizations.user[0].password: is empty"},
		{"[[customizations.user]]\nname = \"a\"\ndescription = \"x:y\"", "customizations.user[0].description:"},
		{"[[customizations.user]]\nname = \"a\"\nhome = \"a\"", "customizations.user[0].home:"},
		{"[[customizations.user]]\nname = \"a\"\nshell = \"/bin/../sh\"", "customizations.user[0].shell:"},
		{"[[customizations.user]]\nname = \"a\"\nuid = -1", "customizations.user[0].uid:"},
		{"[[customizations.user]]\nname = \"a\"\ngroups = [1]", "customizations.user[0].groups: want a list of texts"},
		{"[[customizations.user]]\nname = \"a\"\nkeys = \"x\"", "customizations.user[0].keys: no such key is known"},
		{"[[customizations.user]]\nname = \"a\"\n[[customizations.user]]\nname = \"a\"", "customizations.user[1]: a is in customizations.user[0] already"},
		{"[[customizations.group]]\nname = \"a\"\ngid = \"x\"", "customizations.group[0].gid:"},
		{"[[customizations.files]]\npath = \"/usr/bin/x\"", "customizations.files[0].path: /usr/bin/x is the image's"},
		{"[[customizations.files]]\npath = \"/etc/../usr/x\"", "customizations.files[0].path:"},
		{"[[customizations.files]]\npath = \"/etc\"", "customizations.files[0].path:"},
		{"[[customizations.files]]\npath = \"/etc/shadow\"", "customizations.files[0].path: /etc/shadow is made by customizations.user"},
		{"[[customizations.files]]\npath = \"/etc/x\"\nmode = 420", "customizations.files[0].mode:"},
		{"[[customizations.files]]\npath = \"/etc/x\"\nmode = \"9\"", "customizations.files[0].mode:"},
		{"[[customizations.files]]\npath = \"/etc/x\"\nuri = \"file:///x\"", "customizations.files[0].uri: is not supported"},
		{"[[customizations.files]]\npath = \"/etc/x\"\nensure_parents = true", "customizations.files[0].ensure_parents: no such key"},
		{"[[customizations.directories]]\npath = \"/opt/x\"", "customizations.directories[0].path: /opt/x is the image's"},
		{"[[customizations.directories]]\npath = \"/etc/x\"\nensure_parents = 1", "customizations.directories[0].ensure_parents: want true or false"},
		{"[[customizations.directories]]\npath = \"/etc/x\"\n[[customizations.files]]\npath = \"/etc/x\"", "customizations.files[0]: /etc/x is in customizations.directories[0] already"},
		{"[[customizations.filesystem]]\nmountpoint = \"/var/data\"\nminsize = 1", "customizations.filesystem[0].minsize: 1 bytes are too few for ext4"},
		{"[[customizations.filesystem]]\nmountpoint = \"/\"", "customizations.filesystem[0].minsize: want the least size"},
		{"[[customizations.filesystem]]\nmountpoint = \"/\"\nminsize = \"10 G\"", "customizations.filesystem[0].minsize: size \"10 G\""},
		{"[[customizations.filesystem]]\nmountpoint = \"/\"\nminsize = \"1e3 MB\"", "customizations.filesystem[0].minsize: size"},
		{"[[customizations.filesystem]]\nmountpoint = \"/\"\nminsize = \"9999999 TiB\"", "customizations.filesystem[0].minsize: size"},
		{"[[customizations.filesystem]]\nmountpoint = \"/\"\nminsize = 1\nsize = 2", "customizations.filesystem[0].size: no such key"},
		{"[[customizations.filesystem]]\nmountpoint = \"/\"\nminsize = 1\nlabel = \"x\"", "customizations.filesystem[0].label: no such key"},
		{"[customizations]\ndisk.minsize = 1\nfilesystem = [{mountpoint = \"/\", minsize = 1}]", "customizations.disk: cannot be used together"},
		{"[customizations.disk]\ntype = \"dos\"", "customizations.disk.type:"},
		{"[customizations.disk]\nsector_size = 4096", "customizations.disk.sector_size: is not supported"},
		{"[[customizations.disk.partitions]]\ntype = \"lvm\"", `customizations.disk.partitions[0].type: "lvm" is not supported: volumes`},
		{"[[customizations.disk.partitions]]\nfs_type = \"swap\"", "customizations.disk.partitions[0].minsize: want the least size of the partition"},
		{"[[customizations.disk.partitions]]\nfs_type = \"swap\"\nmountpoint = \"/var/x\"", "customizations.disk.partitions[0].mountpoint: swap space has none"},
		{"[[customizations.disk.partitions]]\nfs_type = \"xfs\"\nmountpoint = \"/var/x\"", `customizations.disk.partitions[0].fs_type: "xfs" is not supported: ext4, vfat and swap are`},
		{"[[customizations.disk.partitions]]\nfs_type = \"xfs\"\nmountpoint = \"/\"\nminsize = 1", `customizations.disk.partitions[0].fs_type: "xfs" is not supported yet for the root`},
		{"[[customizations.disk.partitions]]\ntype = \"btrfs\"\nsubvolumes = []", `customizations.disk.partitions[0].type: "btrfs" is not supported: volumes`},
		{"[[customizations.disk.partitions]]\nmountpoint = \"/boot\"\nminsize = \"1 GiB\"", "customizations.disk.partitions[0].mountpoint: /boot is the image's"},
		{"[[customizations.filesystem]]\nmountpoint = \"/var\"\nminsize = \"1 GiB\"", "customizations.filesystem[0].mountpoint: /var is a part of the root's file system"},
		{"[[customizations.filesystem]]\nmountpoint = \"/var/a b\"\nminsize = \"1 GiB\"", "customizations.filesystem[0].mountpoint: \"/var/a b\" is not an absolute path"},
		{"[[customizations.filesystem]]\nmountpoint = \"/var/a/../b\"\nminsize = \"1 GiB\"", "customizations.filesystem[0].mountpoint: \"/var/a/../b\" is not an absolute path"},
		{"[[customizations.filesystem]]\nmountpoint = \"/var/a\"\nminsize = \"1 GiB\"\n[[customizations.filesystem]]\nmountpoint = \"/var/a\"\nminsize = \"1 GiB\"", "customizations.filesystem[1]: /var/a is in customizations.filesystem[0] already"},
		{"[[customizations.disk.partitions]]\nmountpoint = \"/var/x\"\nminsize = \"1 GiB\"\nlabel = \"seventeen letters\"", "customizations.disk.partitions[0].label: \"seventeen letters\" has 17 bytes, ext4 takes 16"},
		{"[[customizations.disk.partitions]]\nmountpoint = \"/var/x\"\nminsize = \"33 MiB\"\nfs_type = \"vfat\"", "customizations.disk.partitions[0].minsize: 34603008 bytes are too few for vfat"},
		{"[[customizations.disk.partitions]]\nmountpoint = \"/\"\nlabel = \"x\"\nminsize = 1", "customizations.disk.partitions[0].label: is not supported"},
	} {
		if _, err := blueprint.Parse("config.toml", []byte(c.text)); err == nil || !strings.HasPrefix(err.Error(), c.want) {
			t.Errorf("%s\nThe error is %v, want %q at its beginning", c.text, err, c.want)
		}
	}
}

// FuzzParse refuses or reads everything; what is read is in its place.
func FuzzParse(f *testing.F) {
	for _, name := range []string{"all.toml", "all.json"} {
		data, err := os.ReadFile("testdata/" + name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		b, err := blueprint.Parse("-", data)
		if err != nil {
			return
		}
		for _, n := range b.Files {
			if !strings.HasPrefix(n.Path, "/etc/") && !strings.HasPrefix(n.Path, "/var/") {
				t.Errorf("a file in %q", n.Path)
			}
		}
	})
}
