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

// esp copies what is in a directory of the EFI system partition of a raw disk, and
// returns the files.
func esp(t *testing.T, raw, dir string) map[string]string {
	t.Helper()
	to := t.TempDir()
	at := partition(t, raw, "EFI-SYSTEM").First * 512
	tell(t, "mcopy", "-s", "-Q", "-i", fmt.Sprintf("%s@@%d", raw, at), "::"+dir, to)
	all := map[string]string{}
	entries, err := os.ReadDir(filepath.Join(to, filepath.Base(dir)))
	must(t, err)
	for _, e := range entries {
		data, err := os.ReadFile(filepath.Join(to, filepath.Base(dir), e.Name()))
		must(t, err)
		all[e.Name()] = string(data)
	}
	return all
}

// TestBuildCredentials has credentials for a kernel and its initrd, and for a unified
// kernel image.
func TestBuildCredentials(t *testing.T) {
	l := newStore(t)
	v1().save(l, "v1")
	o := l.toBuild("raw")
	o.Install.Kargs = nil
	encoded, err := credential.Encode("passwd.hashed-password.root", []byte("secret"))
	must(t, err)
	o.Install.Credentials = []credential.Credential{{Name: "passwd.hashed-password.root", Encoded: encoded}}
	p, err := build.New(t.Context(), o)
	must(t, err)
	defer p.Close()
	if text := p.String(); !strings.Contains(text, "Credential: passwd.hashed-password.root\n") || strings.Contains(text, string(encoded[:8])) {
		t.Errorf("the plan is\n%s", text)
	}
	id, files, err := p.Apply(t.Context(), nil)
	must(t, err)
	want := map[string]string{
		"passwd.hashed-password.root.cred": string(encoded), "bootc.initrd": string(credential.Archive(o.Install.Credentials)),
	}
	if diff := cmp.Diff(want, esp(t, files[0], "loader/credentials")); diff != "" {
		t.Error(diff)
	}
	for name, entry := range esp(t, files[0], "loader/entries") {
		if !strings.Contains(entry, "/initrd\ninitrd /loader/credentials/bootc.initrd\n") {
			t.Errorf("%s is\n%s", name, entry)
		}
	}

	v1().sealed("rw composefs="+string(id)).save(l, "v1")
	_, files, err = l.apply(o)
	must(t, err)
	delete(want, "bootc.initrd")
	if diff := cmp.Diff(want, esp(t, files[0], "loader/credentials")); diff != "" {
		t.Error("unified kernel image", diff)
	}
}

// TestBuildSeed has a seed for cloud-init, with labels.
func TestBuildSeed(t *testing.T) {
	l := newStore(t)
	s := v1().policy("/.* file_t\n/var(/.*)? var_t\n").with(spec{"usr/bin/cloud-init": "cloud-init"})
	saveEntries(l, "v1", "v1", append(s.entries(), imagestest.Entry{Name: "var/lib/cloud/seed/nocloud/"},
		imagestest.Entry{Name: "var/lib/cloud/seed/nocloud/network-config", Body: "the image's"}))
	o := l.toBuild("raw")
	o.NoCloud = &custom.Seed{UserData: []byte("#cloud-config\n"), VendorData: []byte("vendor")}
	p, err := build.New(t.Context(), o)
	must(t, err)
	defer p.Close()
	if want := "For cloud-init: meta-data, user-data, vendor-data\n"; !strings.Contains(p.String(), want) {
		t.Errorf("the plan is\n%s, want %q in it", p, want)
	}
	_, files, err := p.Apply(t.Context(), nil)
	must(t, err)
	root, dir := extract(t, files[0], "root"), "/"+deploy.VarPath()+"/lib/cloud/seed/nocloud"
	out := debugfs(t, root, "cat "+dir+"/user-data", "cat "+dir+"/vendor-data", "cat "+dir+"/meta-data", "ls -p "+dir, "ea_get "+dir+"/user-data security.selinux")
	if out[0] != "#cloud-config\n" || !strings.HasPrefix(out[1], "vendor") {
		t.Errorf("user and vendor data are %q and %q", out[0], out[1])
	}
	if id := strings.TrimSpace(strings.TrimPrefix(out[2], "instance-id: iid-")); len(id) != 16 {
		t.Errorf("meta-data is %q", out[2])
	}
	if strings.Contains(out[3], "network-config") || strings.Count(out[3], "/100600/0/0/") != 3 || !strings.Contains(out[3], "/040700/0/0/./") {
		t.Errorf("the files are\n%s", out[3])
	}
	if !strings.Contains(out[4], "var_t") {
		t.Errorf("the label is %s", out[4])
	}

	o.Dir, o.NoCloud = t.TempDir(), &custom.Seed{UserData: []byte("x"), MetaData: []byte("instance-id: mine\n")}
	files = l.build(o)
	if got := debugfs(t, extract(t, files[0], "root"), "cat "+dir+"/meta-data")[0]; got != "instance-id: mine\n" {
		t.Errorf("meta-data is %q", got)
	}
	l = newStore(t) // without cloud-init
	o = l.toBuild("raw")
	o.NoCloud = &custom.Seed{UserData: []byte("x")}
	_, _, err = l.apply(o)
	if want := "--nocloud: the image has no cloud-init"; err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("the error is %v, want %q in it", err, want)
	}
	if left, err := os.ReadDir(o.Dir); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v %v", left, err)
	}
}

// TestBuildKeep builds two images with a store that keeps one, and with a repository
// that is no store of ours, which keeps all.
func TestBuildKeep(t *testing.T) {
	for _, ours := range []bool{true, false} {
		l := newStore(t)
		o := l.toBuild("qcow2")
		o.Keep = 1
		l.build(o)
		tag := filepath.Join(o.Store, "CACHEDIR.TAG")
		if _, err := os.Stat(tag); err != nil {
			t.Error(err)
		}
		if !ours {
			must(t, os.Remove(tag))
		}
		v2().save(l, "v1")
		l.build(o)
		tags, err := os.ReadDir(filepath.Join(o.Store, "streams/refs/oci"))
		must(t, err)
		if want := map[bool]int{true: 1, false: 2}[ours]; len(tags) != want {
			t.Errorf("a store of ours: %v; %d images are kept, want %d", ours, len(tags), want)
		}
		l.build(o) // from what is left
	}
}
