package action_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/bootc-go/bootc/internal/action/build"
	"github.com/bootc-go/bootc/internal/content/images/imagestest"
	"github.com/bootc-go/bootc/internal/format/credential"
	"github.com/bootc-go/bootc/internal/machine/custom"
	"github.com/bootc-go/bootc/internal/machine/deploy"
)

// TestBuildMixed makes a disk and media at once. The partition is the disk's alone, and
// what the media have in its place is in their root; credentials and a seed are for all.
func TestBuildMixed(t *testing.T) {
	l := newStore(t)
	s := v1().with(spec{"etc/fstab": "# nothing\n", "usr/bin/cloud-init": "cloud-init"})
	saveEntries(l, "v1", "v1", append(s.entries(), imagestest.Entry{Name: "var/spool/file", Body: "spool"}))
	o := l.customize("[[customizations.disk.partitions]]\nmountpoint = \"/var/spool\"\nminsize = \"20 MiB\"", "iso", "raw", "pxe")
	encoded, err := credential.Encode("some.name", []byte("secret"))
	must(t, err)
	o.Install.Credentials = []credential.Credential{{Name: "some.name", Encoded: encoded}}
	o.NoCloud = &custom.Seed{UserData: []byte("#cloud-config\n")}
	p, err := build.New(t.Context(), o)
	must(t, err)
	defer p.Close()
	id, files, err := p.Apply(t.Context(), nil)
	must(t, err)
	var iso, raw, pxe string
	for _, f := range files {
		*map[string]*string{".iso": &iso, ".raw": &raw, ".pxe": &pxe}[filepath.Ext(f)] = f
	}

	etc, varDir := "/"+deploy.EtcPath(id), "/"+deploy.VarPath()
	for _, c := range []struct {
		file, names string
		volume      bool
	}{
		{raw, "EFI-SYSTEM var-spool root", true}, {iso, "EFI-SYSTEM root", false},
	} {
		var names []string
		for _, part := range partitions(t, c.file) {
			if part.Name != "BIOS-BOOT" {
				names = append(names, part.Name)
			}
		}
		if got := strings.Join(names, " "); got != c.names {
			t.Errorf("%s: the partitions are %s, want %s", c.file, got, c.names)
		}
		out := debugfs(t, extract(t, c.file, "root"), "cat "+etc+"/fstab", "ls -p "+varDir+"/spool", "cat "+varDir+"/lib/cloud/seed/nocloud/user-data")
		if strings.Contains(out[0], " /var/spool ext4 ") != c.volume || strings.Contains(out[1], "/file/") == c.volume {
			t.Errorf("%s: fstab and what is at the mountpoint:\n%s%s", c.file, out[0], out[1])
		}
		if out[2] != "#cloud-config\n" {
			t.Errorf("%s: the user data is %q", c.file, out[2])
		}
		want := map[string]string{"some.name.cred": string(encoded), "bootc.initrd": string(credential.Archive(o.Install.Credentials))}
		if diff := cmp.Diff(want, esp(t, c.file, "loader/credentials")); diff != "" {
			t.Error(c.file, diff)
		}
		for name, entry := range esp(t, c.file, "loader/entries") {
			if !strings.Contains(entry, "/initrd\ninitrd /loader/credentials/bootc.initrd\n") {
				t.Errorf("%s: %s is\n%s", c.file, name, entry)
			}
		}
	}
	if got := debugfs(t, extract(t, raw, "var-spool"), "cat /file")[0]; strings.TrimSpace(got) != "spool" {
		t.Errorf("the partition has %q", got)
	}

	for name, want := range map[string]string{
		"initrd":           imagestest.Big("initrd", 9000),
		"credentials.cpio": string(credential.Archive(o.Install.Credentials)),
		"boot.ipxe":        "\ninitrd initrd\ninitrd credentials.cpio\ninitrd root.cpio\nboot\n",
		"grub.cfg":         "\ninitrd $config_directory/initrd $config_directory/credentials.cpio $config_directory/root.cpio\nboot\n",
	} {
		if got, err := os.ReadFile(filepath.Join(pxe, name)); err != nil || !strings.HasSuffix(string(got), want) {
			t.Errorf("%s: %.300q, %v", name, got, err)
		}
		if want := fmt.Sprintf("File: %s\n", filepath.Join(pxe, name)); !strings.Contains(p.String(), want) {
			t.Errorf("the plan is\n%s, want %s in it", p, want)
		}
	}
	if script, err := os.ReadFile(filepath.Join(pxe, "boot.ipxe")); err != nil || !strings.Contains(string(script), " initrd=initrd initrd=credentials.cpio initrd=root.cpio root=") {
		t.Errorf("boot.ipxe is %s, %v", script, err)
	}
}
