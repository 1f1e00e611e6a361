package cli_test

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/bootc-go/bootc/internal/front/cli"
)

// run runs a command line in process.
func run(args ...string) (status int, stdout, stderr string) {
	var out, err bytes.Buffer
	a := &cli.App{Version: "1.2.3", Stdout: &out, Stderr: &err}
	status = a.Run(context.Background(), append([]string{"bootc"}, args...))
	return status, out.String(), err.String()
}

func TestExitStatus(t *testing.T) {
	for _, c := range []struct {
		args   string
		status int
		stderr string // a part of it
	}{
		{"--version", 0, ""},
		{"--help", 0, ""},
		{"frobnicate", 2, `unknown command "frobnicate"`},
		{"upgrade --frobnicate", 2, "unknown flag: --frobnicate"},
		{"upgrade extra", 2, `unknown command "extra" for "bootc upgrade"`},
		{"upgrade --check --apply", 2, "[apply check]"},
		{"switch", 2, "accepts 1 arg(s), received 0"},
		{"upgrade --soft-reboot=auto", 2, "--soft-reboot"},
		{"install to-disk --karg-delete x /dev/null", 2, "not supported yet"},
		{"install to-disk --via-loopback /dev/null", 2, "not supported yet"},
		{"build-disk --filesystem xfs oci:/nowhere", 1, "--filesystem xfs is not supported yet, only ext4 is"},
		{"build-disk --block-setup tpm2-luks oci:/nowhere", 1, "--block-setup tpm2-luks is not supported yet, only direct is"},
		{"install to-filesystem /mnt", 1, `error: "bootc install to-filesystem" is not supported yet`},
		{"install print-configuration /", 2, `unknown command "/"`},
		{"usr-overlay --read-only", 1, `error: "bootc usr-overlay" is not supported yet`},
		{"container lint", 1, `error: "bootc container lint" is not supported yet`},
		{"container compute-composefs-digest a b", 2, "accepts at most 1 arg(s), received 2"},
		{"container compute-composefs-digest /", 1, "error: cannot compute the digest of /: the root of the running system changes while it is read"},
		{"container compute-composefs-digest /nonexistent", 1, "error: cannot compute the digest of /nonexistent: open /nonexistent: no such file or directory"},
		{"switch --transport floppy x", 1, `unknown transport "floppy"`},
		{"build-disk --config /nonexistent x", 1, "error: cannot build disk images: --config: open /nonexistent: no such file or directory"},
		{"build-disk --config testdata/refused.toml x", 1, "--config testdata/refused.toml: customizations.hostname: is not supported: a file /etc/hostname"},
		{"build-disk --config - --root-ssh-authorized-keys - x", 1, "2 options cannot all be read from standard input"},
		{"build-disk --set-credential a:secret --load-credential a:testdata/refused.toml x", 1, `credential "a" is there twice`},
		{"build-disk --set-credential secret x", 1, "--set-credential, number 1: want a name, a colon"},
		{"build-disk --load-credential-encrypted a:testdata/refused.toml x", 1, "--load-credential-encrypted: testdata/refused.toml: not an encrypted credential"},
		{"build-disk --load-credential a:- --load-credential-encrypted b:- x", 1, "2 options cannot all be read from standard input"},
		{"build-disk --nocloud /nonexistent x", 1, "--nocloud: stat /nonexistent: no such file"},
		{"build-disk --nocloud testdata x", 1, "is not a file of a seed (meta-data, network-config, user-data, vendor-data)"},
		{"build-disk --keep -1 x", 1, "--keep -1: want a number from 0 on"},
		{"build-disk --ignition x x", 1, "--ignition is not supported: "},
		{"status --format xml", 2, "want one of humanreadable, yaml, json"},
		{"status --format-version 7", 1, "unsupported format version: 7"},
	} {
		status, _, stderr := run(strings.Fields(c.args)...)
		if status != c.status || !strings.Contains(stderr, c.stderr) {
			t.Errorf("bootc %s: status %d, stderr %q; want %d and %q", c.args, status, stderr, c.status, c.stderr)
		}
		if status == 1 && strings.Count(stderr, "\n") != 1 {
			t.Errorf("bootc %s: stderr has more than one line: %q", c.args, stderr)
		}
	}
}

func TestVersion(t *testing.T) {
	if _, out, _ := run("--version"); out != "bootc 1.2.3\n" {
		t.Errorf("--version prints %q", out)
	}
}

// TestPrintConfiguration prints the defaults of the running root, which may have
// none: all keys are there.
func TestPrintConfiguration(t *testing.T) {
	status, stdout, stderr := run("install", "print-configuration")
	if status != 0 || strings.Count(stdout, "\n") != 1 {
		t.Errorf("status %d, stdout %q, stderr %q", status, stdout, stderr)
	}
	var keys map[string]any
	if err := json.Unmarshal([]byte(stdout), &keys); err != nil || len(keys) != 12 {
		t.Errorf("stdout %q: %d keys, want 12, %v", stdout, len(keys), err)
	}
}

// TestComputeDigest computes the digest of an empty system and writes its dump.
func TestComputeDigest(t *testing.T) {
	root, dump := t.TempDir(), filepath.Join(t.TempDir(), "dump")
	for _, d := range []string{"usr", "boot", "sysroot"} {
		if err := os.Mkdir(filepath.Join(root, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, d := range []string{"usr", "boot", "sysroot"} {
		when := time.Unix(1000, 5)
		if err := os.Chtimes(filepath.Join(root, d), when, when); err != nil {
			t.Fatal(err)
		}
	}
	status, stdout, stderr := run("container", "compute-composefs-digest", "--write-dumpfile-to", dump, root)
	if status != 0 || !regexp.MustCompile(`^[0-9a-f]{128}\n$`).MatchString(stdout) {
		t.Errorf("status %d, stdout %q", status, stdout)
	}
	if want := "warning: the times of 4 files and directories have fractions of a second, first that of \"/\"; an image that is pushed with whole seconds has another digest\n"; stderr != want {
		t.Errorf("stderr %q, want %q", stderr, want)
	}
	data, err := os.ReadFile(dump)
	if err != nil || strings.Count(string(data), "\n") != 4 || !strings.HasPrefix(string(data), "/ 0 40755 5 ") {
		t.Errorf("dump: %q, %v", data, err)
	}
}

// TestManPages fails when an option that --help shows is not in the manual
// page, or the page names one that is not there.
func TestManPages(t *testing.T) {
	for _, verb := range []string{"upgrade", "switch", "rollback", "status", "config-diff", "build-disk", "install to-disk", "install interactive", "install print-configuration", "container compute-composefs-digest",
		"internals mkcomposefs", "internals composefs-info"} {
		name := "../../../docs/man/bootc-" + strings.ReplaceAll(verb, " ", "-") + ".8.md"
		page, err := os.ReadFile(name)
		if err != nil {
			t.Error(err)
			continue
		}
		text := strings.ReplaceAll(string(page), `\-`, "-")
		_, help, _ := run(append(strings.Fields(verb), "--help")...)
		shown := flags(help)
		for f := range shown {
			if f != "--help" && !strings.Contains(text, "**"+f+"**") {
				t.Errorf("%s does not have %s", name, f)
			}
		}
		_, options, _ := strings.Cut(text, "# OPTIONS")
		options, _, _ = strings.Cut(options, "\n# ")
		for f := range flags(options) {
			if !shown[f] && f != "--progress-fd" {
				t.Errorf("%s has %s, which --help does not show", name, f)
			}
		}
	}
}

func flags(text string) map[string]bool {
	all := map[string]bool{}
	for _, m := range regexp.MustCompile(`(?m)^(?:\*\*| +(?:-\w, )?)(--[a-z-]+)`).FindAllStringSubmatch(text, -1) {
		all[m[1]] = true
	}
	return all
}
