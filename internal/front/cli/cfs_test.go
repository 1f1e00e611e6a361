package cli_test

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/bootc-go/bootc/internal/content/images/imagestest"
	"github.com/bootc-go/bootc/internal/format/verity"
)

// repoImage is an image and the tar of its only layer.
func repoImage() (*imagestest.Image, []byte) {
	tar := imagestest.Tar(append(imagestest.Base(), imagestest.File("usr/bin/tool", imagestest.Big("tool", 5000)), imagestest.File("usr/small", "small")))
	return imagestest.New(imagestest.Options{}, imagestest.Layer{Raw: tar, Compression: imagestest.Gzip}), tar
}

// A cfsRun runs verbs of bootc internals cfs.
type cfsRun struct {
	*testing.T
	repo string
}

func (c cfsRun) run(args ...string) string {
	c.Helper()
	status, out, stderr := run(append([]string{"internals", "cfs", "--repo", c.repo}, args...)...)
	if status != 0 {
		c.Fatalf("cfs %s: status %d: %s%s", strings.Join(args, " "), status, out, stderr)
	}
	return out
}

func (c cfsRun) fails(want string, args ...string) string {
	c.Helper()
	status, out, stderr := run(append([]string{"internals", "cfs", "--repo", c.repo}, args...)...)
	if status != 1 || !strings.Contains(stderr, want) {
		c.Errorf("cfs %s: status %d: %s; want %q", strings.Join(args, " "), status, stderr, want)
	}
	return out
}

func (c cfsRun) want(want string, args ...string) {
	c.Helper()
	if diff := cmp.Diff(want, c.run(args...)); diff != "" {
		c.Errorf("cfs %s (-want +got):\n%s", strings.Join(args, " "), diff)
	}
}

// TestCFS takes a repository through its life, as upstream's tool would.
func TestCFS(t *testing.T) {
	img, tar := repoImage()
	layout := filepath.Join(t.TempDir(), "layout")
	if err := img.SaveLayout(layout); err != nil {
		t.Fatal(err)
	}
	t.Setenv("CONTAINERS_POLICY_JSON", filepath.Join(t.TempDir(), "none")) // there is no policy
	c := cfsRun{t, filepath.Join(t.TempDir(), "repo")}
	c.want("Initialized composefs repository at "+c.repo+"\n  algorithm: fsverity-sha512-12\n  verity:    not required (insecure)\n", "init", "--insecure")
	c.want("Repository already initialized at "+c.repo+"\n", "init", "--insecure")
	c.fails("there is a repository already", "init", "--insecure", "--algorithm", "fsverity-sha256-12")
	c.want("No images found\n", "oci", "images")

	pulled := c.run("oci", "pull", "--bootable", "oci:"+layout+":latest", "a/name:1")
	lines := strings.Split(pulled, "\n")
	if want := "manifest " + string(img.Digest()); lines[0] != want || lines[3] != "tagged   a/name:1" ||
		lines[4] != fmt.Sprintf("objects  1 new + 0 already present objects; 4.88 KiB stored, %.2f KiB inlined", float64(len(tar)-5000)/1024) {
		t.Errorf("pull prints:\n%s", pulled)
	}
	id := strings.TrimPrefix(lines[5], "Boot image: ")
	c.want(id+"\n", "oci", "compute-id", "--bootable", "a/name:1")
	c.want(id+"\n", "oci", "compute-id", "--bootable", "@"+string(img.Digest()))
	c.want(id+"\n", "oci", "compute-id", "--bootable", "@"+string(imagestest.Digest(img.RawConfig)))
	c.want(`┌──────────┬──────────────┬───────┬────────┬──────┐
│ NAME     ┆ DIGEST       ┆ ARCH  ┆ LAYERS ┆ REFS │
╞══════════╪══════════════╪═══════╪════════╪══════╡
│ a/name:1 ┆ `+img.Digest().Short()+` ┆ amd64 ┆ 1      ┆ 0    │
└──────────┴──────────────┴───────┴────────┴──────┘
`, "oci", "images")
	c.want(string(img.RawManifest)+"\n", "oci", "inspect", "--manifest", "a/name:1")
	c.want(string(img.RawConfig)+"\n", "oci", "inspect", "--config", "a/name:1")
	var inspected map[string]any
	if err := json.Unmarshal([]byte(c.run("oci", "inspect", "a/name:1")), &inspected); err != nil || inspected["composefs_boot_erofs"] != id {
		t.Errorf("inspect: %v, %v", inspected, err)
	}
	diffID := fmt.Sprintf("sha256:%x", sha256.Sum256(tar))
	c.want(string(tar), "oci", "layer", diffID)
	c.want(string(tar), "cat", "oci-layer-"+diffID)
	c.want("Tagged "+string(img.Digest())+" as other\n", "oci", "tag", string(img.Digest()), "other")
	c.fails("marks digests", "oci", "tag", string(img.Digest()), "@other")
	c.fails("not in the repository", "oci", "tag", "sha256:"+strings.Repeat("0", 64), "zero")
	c.want("Removed tag a/name:1\n", "oci", "untag", "a/name:1")
	c.fails("not in the repository", "oci", "untag", "a/name:1")

	// The streams of before the images were composed are garbage.
	if out := c.run("gc"); !strings.HasPrefix(out, "Objects: 2 removed (") {
		t.Errorf("gc prints %q", out)
	}
	c.want("Objects: 0 removed (0 bytes)\n", "gc")
	if out := c.run("oci", "fsck"); !strings.HasSuffix(out, "status: ok\noci images: 1/1 ok\n") {
		t.Errorf("fsck prints\n%s", out)
	}
}

// TestCFSImages makes images of directories.
func TestCFSImages(t *testing.T) {
	c := cfsRun{t, filepath.Join(t.TempDir(), "repo")}
	c.run("init", "--insecure")
	dir := t.TempDir()
	for _, name := range []string{"usr/bin", "run", "boot", "sysroot"} {
		if err := os.MkdirAll(filepath.Join(dir, name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	tool := imagestest.Big("tool", 5000)
	if err := os.WriteFile(filepath.Join(dir, "usr/bin/tool"), []byte(tool), 0o644); err != nil {
		t.Fatal(err)
	}
	id := strings.TrimPrefix(strings.TrimSpace(c.run("create-image", dir, "some/name")), "sha512:")
	c.want(id+"\n", "compute-id", dir)
	c.want("composefs.digest=v1-sha512-12:"+c.run("compute-id", "--bootable", dir), "compute-karg", dir)
	c.want("composefs="+c.run("--erofs-version", "2", "compute-id", "--bootable", dir), "--erofs-version", "2", "compute-karg", dir)
	c.want(`┌───────────┬──────────────┐
│ NAME      ┆ DIGEST       │
╞═══════════╪══════════════╡
│ some/name ┆ `+id[:12]+` │
└───────────┴──────────────┘
`, "images")
	object := strings.TrimSpace(c.run("dump-files", "--backing-path-only", "refs/some/name", "/usr/bin/tool"))
	data, err := os.ReadFile(filepath.Join(c.repo, "objects", object))
	if err != nil || string(data) != tool {
		t.Errorf("the object %s has %d bytes, %v", object, len(data), err)
	}
	c.want("sha512:"+strings.Replace(object, "/", "", 1)+"\n", "image-objects", id)
	whole := c.run("create-dumpfile", dir)
	c.want(whole, "dump-files", "some/name", "/")
	if below := c.run("dump-files", "some/name", "/usr/bin"); !strings.HasPrefix(below, "/usr/bin ") || !strings.Contains(whole, below) {
		t.Errorf("dump-files /usr/bin prints\n%s", below)
	}
	c.want("Objects: 0 removed (0 bytes)\n", "gc")
	if err := os.Remove(filepath.Join(c.repo, "images/refs/some/name")); err != nil {
		t.Fatal(err)
	}
	c.want("Objects: 0 removed (0 bytes)\n", "gc", "-r", id)
	c.want("Dry run (no files deleted):\nObjects: 2 removed ("+fmt.Sprint(5000+imageSize(t, c.repo, id))+" bytes)\n", "gc", "-n")
}

func imageSize(t *testing.T, repo, id string) int64 {
	t.Helper()
	info, err := os.Stat(filepath.Join(repo, "images", id))
	if err != nil {
		t.Fatal(err)
	}
	return info.Size()
}

// TestCFSFsck finds damage, in both forms.
func TestCFSFsck(t *testing.T) {
	c := cfsRun{t, filepath.Join(t.TempDir(), "repo")}
	c.run("init", "--insecure")
	c.want("meta.json: ok\nobjects: 0/0 ok\nstreams: 0/0 ok\nimages: 0/0 ok\nstatus: ok\n", "fsck")
	c.want("meta.json: ok\nobjects: 0/0 ok\nstreams: 0/0 ok\nimages: 0/0 ok\nstatus: ok\noci images: 0/0 ok\n", "oci", "fsck")
	if err := os.WriteFile(filepath.Join(c.repo, "objects/x"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	out := c.fails("repository integrity check failed", "fsck")
	if want := "meta.json: ok\nobjects: 0/0 ok\nstreams: 0/0 ok\nimages: 0/0 ok\nstatus: 1 error(s)\n  - fsck: object-invalid-name: objects/x: not an object of this repository\n"; out != want {
		t.Errorf("fsck prints\n%s", out)
	}
	c.fails("OCI integrity check failed", "oci", "fsck")
	var report map[string]any
	if err := json.Unmarshal([]byte(c.run("fsck", "--json")), &report); err != nil || report["ok"] != false || report["has_metadata"] != true {
		t.Errorf("fsck --json: %v, %v", report, err)
	}
	if err := os.Remove(filepath.Join(c.repo, "meta.json")); err != nil {
		t.Fatal(err)
	}
	c.fails("there is no repository", "fsck")
}

// TestCFSRepair heals a repository from the layout that a tag names.
func TestCFSRepair(t *testing.T) {
	img, _ := repoImage()
	layout := filepath.Join(t.TempDir(), "layout")
	if err := img.SaveLayout(layout); err != nil {
		t.Fatal(err)
	}
	policy := filepath.Join(t.TempDir(), "policy.json")
	if err := os.WriteFile(policy, []byte(`{"default":[{"type":"insecureAcceptAnything"}]}`), 0o644); err != nil {
		t.Fatal(err)
	}
	t.Setenv("CONTAINERS_POLICY_JSON", policy)
	c := cfsRun{t, filepath.Join(t.TempDir(), "repo")}
	c.run("init", "--insecure")
	c.run("oci", "pull", "oci:"+layout+":latest")
	d := verity.Sum(verity.SHA512, []byte(imagestest.Big("tool", 5000)))
	object := filepath.Join(c.repo, "objects", d.ObjectPath())
	for range 2 {
		if err := os.WriteFile(object, []byte("damaged"), 0o644); err != nil {
			t.Fatal(err)
		}
		c.fails("repository integrity check failed", "fsck")
		c.run("fsck", "--repair")
		c.run("fsck")
		c.run("oci", "tag", string(img.Digest()), "name")
		c.run("oci", "untag", "oci:"+layout+":latest")
		if err := os.Remove(object); err != nil {
			t.Fatal(err)
		}
		c.fails("image name: it is not known where it is kept", "fsck", "--repair")
		c.run("fsck", "--repair", "--source", "oci:"+layout+":latest")
		c.run("oci", "tag", string(img.Digest()), "oci:"+layout+":latest")
		c.run("oci", "untag", "name")
	}
}

// TestCFSRefuses names what is not there.
func TestCFSRefuses(t *testing.T) {
	for _, c := range []struct {
		args   string
		status int
		stderr string
	}{
		{"--repo /nonexistent fsck", 1, "cannot open the repository"},
		{"ostree pull x", 1, `"bootc internals cfs ostree" is not supported yet`},
		{"oci copy x", 1, `"bootc internals cfs oci copy" is not supported yet`},
		{"--repo x --system fsck", 2, "[repo system]"},
		{"--erofs-version 3 fsck", 2, "want one of 0, 1, 2"},
		{"frobnicate", 2, "unknown command"},
		{"oci pull", 2, "accepts between 1 and 2 arg(s)"},
		{"oci tag sha256:00 x", 2, "want 64 lower-case hex digits"},
		{"init --algorithm md5 /nonexistent", 1, `"md5" is not supported`},
	} {
		status, _, stderr := run(append([]string{"internals", "cfs"}, strings.Fields(c.args)...)...)
		if status != c.status || !strings.Contains(stderr, c.stderr) {
			t.Errorf("cfs %s: status %d, stderr %q; want %d and %q", c.args, status, stderr, c.status, c.stderr)
		}
	}
}
