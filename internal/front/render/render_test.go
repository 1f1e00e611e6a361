package render_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"

	"github.com/bootc-go/bootc"
	"github.com/bootc-go/bootc/internal/front/render"
)

func load(t *testing.T, name string) (*bootc.Host, string) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	var h bootc.Host
	d := json.NewDecoder(strings.NewReader(string(text)))
	d.DisallowUnknownFields()
	if err := d.Decode(&h); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return &h, strings.TrimSpace(string(text))
}

func read(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestRecorded renders the documents of a recorded machine and compares them
// with what was recorded in the other forms.
func TestRecorded(t *testing.T) {
	names, err := filepath.Glob("testdata/*/status.json")
	if err != nil || len(names) == 0 {
		t.Fatalf("%d records, %v", len(names), err)
	}
	for _, name := range names {
		dir := filepath.Base(filepath.Dir(name))
		t.Run(dir, func(t *testing.T) {
			h, text := load(t, filepath.Join(dir, "status.json"))
			var asJSON, asYAML, human strings.Builder
			if err := render.JSON(&asJSON, h); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(text+"\n", asJSON.String()); diff != "" {
				t.Errorf("JSON (-want +got):\n%s", diff)
			}
			if err := render.YAML(&asYAML, h); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(read(t, dir+"/status.yaml"), asYAML.String()); diff != "" {
				t.Errorf("YAML (-want +got):\n%s", diff)
			}
			// What is said of a queued rollback is ours.
			queued := h.Status.RollbackQueued
			h.Status.RollbackQueued = false
			if err := render.Human(&human, h, true); err != nil {
				t.Fatal(err)
			}
			h.Status.RollbackQueued = queued
			if diff := cmp.Diff(read(t, dir+"/status-verbose.txt"), human.String()); diff != "" {
				t.Errorf("rows (-want +got):\n%s", diff)
			}
		})
	}
}

func TestRecordedJSON(t *testing.T) {
	for _, name := range []string{"status-dlonly.json", "status-rb1.json", "status-rb2.json", "status-switch-oci.json"} {
		h, text := load(t, name)
		var got strings.Builder
		if err := render.JSON(&got, h); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(text+"\n", got.String()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

// full is a document with everything that the records do not have.
func full(t *testing.T) *bootc.Host {
	h, _ := load(t, "status-dlonly.json")
	kind, version := bootc.HostType, "a: \"b\" #c\n"
	h.Status.Type = &kind
	h.Status.UsrOverlay = &bootc.FilesystemOverlay{AccessMode: "readWrite", Persistence: "transient"}
	h.Status.RollbackQueued = true
	h.Status.Staged.EtcConflicts = []string{"ssh/sshd_config", "line\nbreak"}
	h.Status.Notices = []string{"The image sha256:12 was rolled back; take it again with bootc upgrade --retry."}
	h.Status.RejectedImages = []bootc.RejectedImage{
		{ImageDigest: "sha256:12", Image: "docker://quay.io/os/web:stable", Reason: "failed", Time: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC),
			Detail: "3 boots came to nothing; the last evidence: 10-web: exit status 1",
			Boots: []bootc.FailedTry{{Boot: "b1", Time: time.Date(2026, 1, 2, 3, 0, 0, 0, time.UTC), Journal: "[ 1.5] kernel: odd\n[ 2.5] web[1]: cannot\n",
				Failures: []bootc.BootFailure{{Kind: "check", Text: "10-web: exit status 1", Output: "no answer\n\x1b[31mred\n"}}}}},
		{ImageDigest: "sha256:13", Reason: "rolled back", Time: time.Date(2026, 1, 1, 3, 4, 5, 0, time.UTC)},
		{ImageDigest: "sha256:14", Reason: "rolled back", Time: time.Date(2025, 1, 1, 3, 4, 5, 0, time.UTC)},
		{ImageDigest: "sha256:15", Reason: "rolled back", Time: time.Date(2024, 1, 1, 3, 4, 5, 0, time.UTC)},
	}
	h.Status.Booted.Trial = &bootc.TrialStatus{TriesLeft: 2, TriesDone: 1}
	h.Status.Booted.Pinned = true
	h.Status.Booted.CachedUpdate = &bootc.ImageStatus{ImageDigest: h.Status.Staged.Image.ImageDigest}
	h.Status.Booted.Image.Image.Signature = &bootc.ImageSignature{Kind: "containerPolicy"}
	h.Status.Rollback.Image.Image.Signature = &bootc.ImageSignature{OstreeRemote: "fedora"}
	h.Status.Rollback.Image.Version = nil
	h.Status.Rollback.Composefs.MissingVerityAllowed = true
	h.Status.Rollback.Composefs.BootDigest = ""
	h.Status.OtherDeployments = []bootc.BootEntry{
		{Image: &bootc.ImageStatus{Image: bootc.Ref{Transport: bootc.OCI, Name: "/v:1"}.Reference(), Version: &version}},
		{Composefs: &bootc.ComposefsStatus{Verity: "12ab", BootType: "Bls", Bootloader: "none"}},
	}
	return h
}

func TestFull(t *testing.T) {
	h := full(t)
	for _, form := range []struct {
		name  string
		write func(*strings.Builder) error
	}{
		{"full.txt", func(b *strings.Builder) error { return render.Human(b, h, true) }},
		{"full-short.txt", func(b *strings.Builder) error { return render.Human(b, h, false) }},
		{"full.yaml", func(b *strings.Builder) error { return render.YAML(b, h) }},
		{"full.json", func(b *strings.Builder) error { return render.JSON(b, h) }},
	} {
		var got strings.Builder
		if err := form.write(&got); err != nil {
			t.Fatal(err)
		}
		golden(t, form.name, got.String())
	}
}

// TestFormsAgree reads JSON and YAML back and finds the same document.
func TestFormsAgree(t *testing.T) {
	want := full(t)
	for _, write := range []func(*strings.Builder) error{
		func(b *strings.Builder) error { return render.JSON(b, want) },
		func(b *strings.Builder) error { return render.YAML(b, want) },
	} {
		var b strings.Builder
		if err := write(&b); err != nil {
			t.Fatal(err)
		}
		var got bootc.Host
		if err := yaml.UnmarshalStrict([]byte(b.String()), &got); err != nil {
			t.Fatalf("%v:\n%s", err, b.String())
		}
		if diff := cmp.Diff(want, &got); diff != "" {
			t.Errorf("read back (-want +got):\n%s", diff)
		}
	}
}

func TestNotDeployed(t *testing.T) {
	var got strings.Builder
	if err := render.Human(&got, bootc.NewHost(), false); err != nil {
		t.Fatal(err)
	}
	if want := "System is not deployed via bootc.\n"; got.String() != want {
		t.Errorf("got %q, want %q", got.String(), want)
	}
}

// FuzzYAMLText puts any text into a document: YAML readers must find it again,
// as a string.
func FuzzYAMLText(f *testing.F) {
	for _, s := range []string{"", "1.0", "1e3", "0x1f", "null", "~", "on", "a: b", "- a", "-", "?", "'", "a'b", "\"", "#", "a #b",
		"2026-11-21", "12:30:00", "1_000", ".5", "a:", ":", "x\ny", "\t", "é", "\u2028", "%", "@x", "[", "{}", "---", "... ", "!t", "=", "<<", "\u0085", "0o7", "+.inf", "\x7f"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		s = strings.ToValidUTF8(s, "?")
		h := bootc.NewHost()
		h.Status.Notices = []string{s}
		h.Metadata.Labels = map[string]string{"k": s}
		var b strings.Builder
		if err := render.YAML(&b, h); err != nil {
			t.Fatal(err)
		}
		var got bootc.Host
		if err := yaml.UnmarshalStrict([]byte(b.String()), &got); err != nil {
			t.Fatalf("%q: %v:\n%s", s, err, b.String())
		}
		if got.Status.Notices[0] != s || got.Metadata.Labels["k"] != s {
			t.Errorf("%q became %q and %q", s, got.Status.Notices[0], got.Metadata.Labels["k"])
		}
	})
}
