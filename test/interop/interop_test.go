// Package interop_test works on the same repositories with our tool and with
// upstream's, cfsctl: what one writes the other must read, check, and collect,
// and both must find the same digests.
package interop_test

import (
	"bytes"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/bootc-go/bootc/internal/front/cli"
)

var cfsctl = flag.String("cfsctl", "", "path of upstream's cfsctl; without it nothing is tested")

// A tool works on repositories. It returns what it writes to standard output,
// and whether it succeeds.
type tool struct {
	name string
	run  func(t *testing.T, args ...string) (out string, ok bool)
}

func theirs(t *testing.T) tool {
	if *cfsctl == "" {
		t.Skip("-cfsctl is not given: see make interop")
	}
	return tool{"cfsctl", func(t *testing.T, args ...string) (string, bool) {
		cmd := exec.Command(*cfsctl, args...)
		cmd.Env = append(os.Environ(), "RUST_BACKTRACE=0", "RUST_LIB_BACKTRACE=0")
		var out, err bytes.Buffer
		cmd.Stdout, cmd.Stderr = &out, &err
		e := cmd.Run()
		if e != nil && err.Len() > 0 {
			t.Logf("cfsctl %s: %s", strings.Join(args, " "), firstLine(err.String()))
		}
		return out.String(), e == nil
	}}
}

func ours(t *testing.T) tool {
	policy := filepath.Join(t.TempDir(), "policy.json")
	must(t, os.WriteFile(policy, []byte(`{"default":[{"type":"insecureAcceptAnything"}]}`), 0o644))
	t.Setenv("CONTAINERS_POLICY_JSON", policy)
	return tool{"ours", func(t *testing.T, args ...string) (string, bool) {
		var out, err bytes.Buffer
		a := &cli.App{Version: "interop", Stdout: &out, Stderr: &err}
		status := a.Run(t.Context(), append([]string{"bootc", "internals", "cfs"}, args...))
		if err.Len() > 0 {
			t.Logf("cfs %s: %s", strings.Join(args, " "), firstLine(err.String()))
		}
		return out.String(), status == 0
	}}
}

func firstLine(s string) string {
	line, _, _ := strings.Cut(s, "\n")
	return line
}

// A repository is one that a tool has made.
type repository struct {
	*testing.T
	path string
}

// kinds are the kinds of repository that are compared. Upstream's tool makes
// one of format 0, too, but cannot pull into it.
func kinds() [][]string {
	return [][]string{
		{},
		{"--algorithm", "fsverity-sha256-12"},
		{"--erofs-version", "2"},
		{"--algorithm", "fsverity-sha256-12", "--erofs-version", "2"},
	}
}

func newRepository(t *testing.T, by tool, kind []string) repository {
	t.Helper()
	r := repository{t, filepath.Join(quickDir(t), "repo")}
	r.must(by, append([]string{"init", "--insecure"}, kind...)...)
	return r
}

// quickDir makes a directory in memory where that is possible: both tools flush
// the file system again and again.
func quickDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "interop-")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// with runs a verb on the repository.
func (r repository) with(by tool, args ...string) (string, bool) {
	r.Helper()
	return by.run(r.T, append([]string{"--repo", r.path}, args...)...)
}

func (r repository) must(by tool, args ...string) string {
	r.Helper()
	out, ok := r.with(by, args...)
	if !ok {
		r.Errorf("%s %s fails: %s", by.name, strings.Join(args, " "), out)
	}
	return out
}

// sound is checked by both tools.
func (r repository) sound(tools ...tool) {
	r.Helper()
	for _, by := range tools {
		r.must(by, "fsck")
		r.must(by, "oci", "fsck")
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// same fails where the tools do not write the same.
func same(t *testing.T, what string, ours, theirs string) {
	t.Helper()
	if ours != theirs {
		t.Errorf("%s: ours %s, theirs %s", what, ours, theirs)
	}
}
