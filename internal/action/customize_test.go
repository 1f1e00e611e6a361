package action_test

import (
	"bytes"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/bootc-go/bootc/internal/action/build"
	"github.com/bootc-go/bootc/internal/content/images/imagestest"
	"github.com/bootc-go/bootc/internal/format/blueprint"
	"github.com/bootc-go/bootc/internal/machine/deploy"
)

// saveAccounts saves an image with accounts, homes below /var and a policy.
func saveAccounts(l *lab) {
	s := v1().policy("/.* file_t\n/etc(/.*)? etc_t\n/etc/shadow shadow_t\n/etc/app(/.*)? app_t\n/var(/.*)? var_t\n/home/[^/]+ home_t\n/home/[^/]+/.* in_home_t\n/root(/.*)? root_t\n").with(spec{
		"etc/selinux/lab/contexts/files/file_contexts.subs_dist": "/var/home /home\n/var/roothome /root\n",
		"etc/passwd":          "root:x:0:0:root:/root:/bin/bash\nold:x:1000:1000::/var/home/old:/bin/bash\n",
		"etc/group":           "root:x:0:\nold:x:1000:\n",
		"etc/skel/.profile":   "profile",
		"etc/skel/.config/rc": imagestest.Big("rc", 6000),
		"etc/default/useradd": "# defaults\nSHELL=/usr/bin/tool\n",
		"usr/lib/group":       "wheel:x:10:\n",
		"usr/bin/bash":        "bash",
		"etc/app/kept":        "image",
		"etc/app/replaced":    "image",
	})
	entries := append(s.entries(),
		imagestest.Entry{Name: "etc/shadow", Body: "root:*:1:0:99999:7:::\nold:!:1:0:99999:7:::\n", Mode: 0o640},
		imagestest.Entry{Name: "etc/shadow-too", Link: "etc/shadow", Hard: true},
		imagestest.Entry{Name: "home", Link: "var/home"}, imagestest.Entry{Name: "root", Link: "/var/roothome"},
		imagestest.Entry{Name: "bin", Link: "usr/bin"}, imagestest.Entry{Name: "opt/"},
		imagestest.Entry{Name: "etc/out", Link: "../opt"}, imagestest.Entry{Name: "etc/deep/"},
		imagestest.Entry{Name: "etc/deep/absolute", Link: "/var/lib"}, imagestest.Entry{Name: "etc/deep/loop", Link: "loop"},
		imagestest.Entry{Name: "var/home/"}, imagestest.Entry{Name: "var/home/old/"}, imagestest.Entry{Name: "var/home/old/.ssh/", Mode: 0o700},
		imagestest.Entry{Name: "var/home/old/.ssh/authorized_keys", Body: "ssh-rsa OLD\n", Mode: 0o600},
	)
	saveEntries(l, "v1", "v1", entries)
}

const customized = `
[[customizations.user]]
name = "core"
description = "Core"
password = "secret"
key = "ssh-ed25519 CORE"
groups = ["wheel", "ops"]

[[customizations.user]]
name = "first"
uid = 1001
home = "/var/lib/first"
shell = "/bin/bash"

[[customizations.user]]
name = "old"
key = "ssh-ed25519 NEW\nssh-rsa OLD\n"

[[customizations.user]]
name = "root"
password = "$6$salt$hash"
key = "ssh-ed25519 ROOT"

[[customizations.group]]
name = "ops"
gid = 1200

[customizations.kernel]
append = "one=1 two"

[[customizations.directories]]
path = "/var/srv/deep/data"
mode = "1777"
user = "core"
group = "ops"
ensure_parents = true

[[customizations.directories]]
path = "/etc/app"
mode = "0750"
group = "ops"

[[customizations.directories]]
path = "/var/home/old/.ssh"

[[customizations.files]]
path = "/etc/app/replaced"
data = "blueprint"
user = "first"
mode = "0600"

[[customizations.files]]
path = "/etc/deep/absolute/linked"

[[customizations.files]]
path = "/var/srv/deep/data/new"
data = "new"
user = 12
group = 34
`

// customize are the options of a disk image with a config.
func (l *lab) customize(text string, types ...string) build.Options {
	l.Helper()
	b, err := blueprint.Parse("config.toml", []byte(text))
	must(l, err)
	o := l.toBuild(types...)
	o.Install.SSHKeys, o.Customize = nil, *b
	return o
}

// debugfs runs commands on the root of a raw disk, and returns what each prints.
func debugfs(t *testing.T, file string, commands ...string) []string {
	t.Helper()
	var script bytes.Buffer
	for _, c := range commands {
		fmt.Fprintln(&script, c)
	}
	name := filepath.Join(t.TempDir(), "script")
	must(t, os.WriteFile(name, script.Bytes(), 0o600))
	all := tell(t, "debugfs", "-f", name, file)
	var out []string
	for part := range strings.SplitSeq(all, "debugfs: ") {
		_, text, _ := strings.Cut(part, "\n")
		out = append(out, text)
	}
	return out[len(out)-len(commands):]
}

// TestCustomize looks at what a config has added to a disk image.
func TestCustomize(t *testing.T) {
	l := newStore(t)
	saveAccounts(l)
	o := l.customize(customized, "raw")
	p, err := build.New(t.Context(), o)
	must(t, err)
	defer p.Close()
	for _, want := range []string{
		"Kernel argument: local=1\nKernel argument: one=1\nKernel argument: two\n", "Group: ops with ID 1200\n",
		"User: core, in wheel, ops, with a password, with SSH keys\n", "User: first with ID 1001\n",
		"Added directory: /var/srv/deep/data\n", "Added file: /etc/app/replaced (9 bytes)\n",
	} {
		if !strings.Contains(p.String(), want) {
			t.Errorf("the plan is\n%s, want %q in it", p, want)
		}
	}
	id, files, err := p.Apply(t.Context(), nil)
	must(t, err)
	file := extract(t, files[0], "root")
	if out := tell(t, "e2fsck", "-f", "-n", file); strings.Contains(out, "? no") {
		t.Errorf("e2fsck: %s", out)
	}
	etc, varDir := "/"+deploy.EtcPath(id), "/"+deploy.VarPath()
	texts := map[string]string{
		etc + "/passwd": "root:x:0:0:root:/root:/bin/bash\nold:x:1000:1000::/var/home/old:/bin/bash\n" +
			"first:x:1001:1001::/var/lib/first:/bin/bash\ncore:x:1002:1002:Core:/home/core:/usr/bin/tool\n",
		etc + "/group": "root:x:0:\nold:x:1000:\nops:x:1200:core\nfirst:x:1001:\ncore:x:1002:\nwheel:x:10:core\n",
		etc + "/shadow": "root:$6$salt$hash:20455:0:99999:7:::\nold:!:1:0:99999:7:::\nfirst:!:20455:0:99999:7:::\n" +
			"core:$6$HASH:20455:0:99999:7:::\n",
		etc + "/shadow-too":                        "root:*:1:0:99999:7:::\nold:!:1:0:99999:7:::\n",
		etc + "/app/replaced":                      "blueprint",
		etc + "/app/kept":                          "image",
		varDir + "/srv/deep/data/new":              "new",
		varDir + "/home/core/.profile":             "profile",
		varDir + "/home/core/.config/rc":           imagestest.Big("rc", 6000),
		varDir + "/home/core/.ssh/authorized_keys": "ssh-ed25519 CORE\n",
		varDir + "/home/old/.ssh/authorized_keys":  "ssh-rsa OLD\nssh-ed25519 NEW\n",
		varDir + "/roothome/.ssh/authorized_keys":  "ssh-ed25519 ROOT\n",
	}
	for name, want := range texts {
		got := debugfs(t, file, "cat "+name)[0]
		if name == etc+"/shadow" {
			got = hideHash(t, got)
		}
		// debugfs begins a line after a file that does not end with one.
		if diff := cmp.Diff(strings.TrimSuffix(want, "\n"), strings.TrimSuffix(got, "\n")); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
	for name, want := range map[string]string{ // mode, user, group, label
		etc + "/passwd":                            "100644 0 0 etc_t",
		etc + "/shadow":                            "100640 0 0 shadow_t",
		etc + "/app":                               "040750 0 1200 app_t",
		etc + "/app/replaced":                      "100600 1001 0 app_t",
		etc + "/app/kept":                          "100644 0 0 app_t",
		varDir + "/srv":                            "040755 0 0 var_t",
		varDir + "/srv/deep/data":                  "041777 1002 1200 var_t",
		varDir + "/srv/deep/data/new":              "100644 12 34 var_t",
		varDir + "/home/core":                      "040700 1002 1002 home_t",
		varDir + "/home/core/.profile":             "100644 1002 1002 in_home_t",
		varDir + "/home/core/.config":              "040755 1002 1002 in_home_t",
		varDir + "/home/core/.ssh":                 "040700 1002 1002 in_home_t",
		varDir + "/home/core/.ssh/authorized_keys": "100600 1002 1002 in_home_t",
		varDir + "/home/old":                       "040755 0 0 home_t",
		varDir + "/home/old/.ssh":                  "040700 0 0 in_home_t",
		varDir + "/lib/first":                      "040700 1001 1001 var_t",
		varDir + "/lib/linked":                     "100644 0 0 var_t",
		varDir + "/roothome":                       "040700 0 0 root_t",
		varDir + "/roothome/.ssh":                  "040700 0 0 root_t",
	} {
		out := debugfs(t, file, "ls -p "+path.Dir(name), "ea_get "+name+" security.selinux")
		got := ""
		for line := range strings.Lines(out[0]) { // /inode/mode/user/group/name/size/
			if f := strings.Split(line, "/"); len(f) > 5 && f[5] == path.Base(name) {
				got = strings.Join(f[2:5], " ")
			}
		}
		_, label, _ := strings.Cut(out[1], `"`)
		label, _, _ = strings.Cut(label, `"`)
		if got += " " + strings.TrimSuffix(label, `\000`); got != want {
			t.Errorf("%s is %q, want %q (%s)", name, got, want, out[1])
		}
	}
}

// hideHash checks the hash of the password "secret" and takes it out.
func hideHash(t *testing.T, shadow string) string {
	t.Helper()
	before, rest, _ := strings.Cut(shadow, "core:$6$")
	hash, after, _ := strings.Cut(rest, ":")
	salt, _, _ := strings.Cut(hash, "$")
	if got := strings.TrimSpace(tell(t, "openssl", "passwd", "-6", "-salt", salt, "secret")); got != "$6$"+hash {
		t.Errorf("the hash is $6$%s, openssl says %s", hash, got)
	}
	return before + "core:$6$HASH:" + after
}

// TestCustomizeSameBytes builds with the same config, and with another seed,
// which gives a password another salt.
func TestCustomizeSameBytes(t *testing.T) {
	l := newStore(t)
	saveAccounts(l)
	const text = "[[customizations.user]]\nname = \"core\"\npassword = \"secret\""
	hash := func(o build.Options) (all []byte, hash string) {
		file := l.build(o)[0]
		all, err := os.ReadFile(file)
		must(t, err)
		_, hash, _ = strings.Cut(string(all), "core:$6$")
		hash, _, _ = strings.Cut(hash, ":")
		return all, hash
	}
	first, hash1 := hash(l.customize(text, "qcow2"))
	second, hash2 := hash(l.customize(text, "qcow2"))
	if !bytes.Equal(first, second) || hash1 == "" || hash1 != hash2 {
		t.Errorf("other bytes; the hashes are %s and %s", hash1, hash2)
	}
	o := l.customize(text, "qcow2")
	o.Seed = "another"
	if _, hash3 := hash(o); hash3 == "" || hash3 == hash1 {
		t.Errorf("another seed gives the hash %s, the first was %s", hash3, hash1)
	}
}

// TestCustomizeSize wants a root that does not fit a disk of the usual size.
func TestCustomizeSize(t *testing.T) {
	l := newStore(t)
	for text, want := range map[string]string{
		"[[customizations.filesystem]]\nmountpoint = \"/\"\nminsize = \"20 GiB\"": "20 GiB",
		"[[customizations.filesystem]]\nmountpoint = \"/\"\nminsize = \"2 GiB\"":  "8.9 GiB",
		"[customizations.disk]\nminsize = \"30 GiB\"":                             "28.9 GiB",
	} {
		o := l.customize(text, "raw")
		o.Size = 0
		p, err := build.New(t.Context(), o)
		must(t, err)
		if !strings.Contains(p.String(), "root") || !strings.Contains(p.String(), want) {
			t.Errorf("%s: the plan is\n%s, want %s in it", text, p, want)
		}
		must(t, p.Close())
	}
}

// TestCustomizeRefused is what only the image can tell. The key is named, and no
// file is left.
func TestCustomizeRefused(t *testing.T) {
	l := newStore(t)
	saveAccounts(l)
	const user = "[[customizations.user]]\nname = \"new\"\n"
	for _, c := range []struct{ text, want string }{
		{user + "groups = [\"docker\"]", `customizations.user[0]: the image has no group "docker"`},
		{user + "uid = 1000", "customizations.user[0]: the user old has the ID 1000 already"},
		{user + "shell = \"/bin/zsh\"", "customizations.user[0].shell: the image has no /bin/zsh"},
		{user + "home = \"/opt/new\"", "customizations.user[0].home: /opt/new is in the image at /opt/new, where nothing can be added"},
		{user + "home = \"/etc/passwd/x\"", "customizations.user[0].home: /etc/passwd is not a directory"},
		{user + "password = \"$6$a:b\"", "customizations.user[0].password: a hashed password with a colon"},
		{"[[customizations.user]]\nname = \"old\"\nuid = 5", "customizations.user[0]: the image has the user old with the ID 1000"},
		{"[[customizations.group]]\nname = \"new\"\ngid = 10", "customizations.group[0]: the group wheel has the ID 10 already"},
		{"[[customizations.files]]\npath = \"/etc/no/file\"", "customizations.files[0].path: the image has no directory /etc/no; customizations.directories can make it"},
		{"[[customizations.files]]\npath = \"/etc/out/file\"", "customizations.files[0].path: /etc/out/file is in the image at /opt/file, where nothing can be added"},
		{"[[customizations.files]]\npath = \"/etc/deep/loop/file\"", "customizations.files[0].path: /etc/deep/loop/file leads through more than 40 links"},
		{"[[customizations.files]]\npath = \"/etc/app\"", "customizations.files[0].path: /etc/app of the image is not a regular file"},
		{"[[customizations.files]]\npath = \"/etc/x\"\nuser = \"no\"", `customizations.files[0].user: the image has no user "no"`},
		{"[[customizations.files]]\npath = \"/etc/x\"\ngroup = \"no\"", `customizations.files[0].group: the image has no group "no"`},
		{"[[customizations.directories]]\npath = \"/etc/no/dir\"", "customizations.directories[0].path: the image has no directory /etc/no, and ensure_parents"},
		{"[[customizations.directories]]\npath = \"/etc/passwd\"", "customizations.directories[0].path: /etc/passwd is made by"},
		{"[[customizations.directories]]\npath = \"/etc/kept\"", "customizations.directories[0].path: /etc/kept of the image is not a directory"},
		{"[[customizations.filesystem]]\nmountpoint = \"/\"\nminsize = \"2 GiB\"", "customizations.filesystem[0].minsize: the root has 1070596096 bytes, at least 2147483648 are wanted"},
		{"[customizations.disk]\nminsize = \"3 GiB\"", "customizations.disk.minsize: the disk has 2147483648 bytes"},
		{"[[customizations.user]]\nname = \"root\"\nkey = \"ssh\"", "customizations.user[0].key: the SSH keys of root are given by --root-ssh-authorized-keys, too"},
	} {
		b, err := blueprint.Parse("config.toml", []byte(c.text))
		o := l.toBuild("raw")
		if err == nil {
			o.Customize = *b
			var p *build.Plan
			if p, err = build.New(t.Context(), o); err == nil {
				_, _, err = p.Apply(t.Context(), nil)
				p.Close()
			}
		}
		if err == nil || !strings.HasPrefix(err.Error(), c.want) {
			t.Errorf("%s\nThe error is %v, want %q at its beginning", c.text, err, c.want)
		}
		if left, err := os.ReadDir(o.Dir); err != nil || len(left) > 0 {
			t.Errorf("left behind: %v %v", left, err)
		}
	}
}

// TestCustomizeUKI has kernel arguments for an image whose command line is fixed.
func TestCustomizeUKI(t *testing.T) {
	l := newStore(t)
	v1().with(spec{"boot/EFI/Linux/lab.efi": "MZ"}).save(l, "v1")
	o := l.customize("[customizations.kernel]\nappend = \"quiet\"", "raw")
	o.Install.Kargs = nil
	p, err := build.New(t.Context(), o)
	must(t, err)
	defer p.Close()
	const want = "customizations.kernel.append cannot be used with a unified kernel image"
	if _, _, err := p.Apply(t.Context(), nil); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("the error is %v, want %q in it", err, want)
	}
	if left, err := os.ReadDir(o.Dir); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v %v", left, err)
	}
}
