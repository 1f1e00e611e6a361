package policy_test

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go.podman.io/image/v5/docker"
	"go.podman.io/image/v5/types"

	"github.com/bootc-go/bootc/internal/content/policy"
)

const (
	accept = `{"default": [{"type": "insecureAcceptAnything"}]}`
	reject = `{"default": [{"type": "reject"}]}`
	signed = `{"default": [{"type": "signedBy", "keyType": "GPGKeys", "keyPath": "/nonexistent"}]}`
)

// image is an image without signatures.
type image struct {
	types.ImageReference
	signatures error
}

func (i image) Reference() types.ImageReference { return i.ImageReference }

func (i image) Manifest(context.Context) ([]byte, string, error) { return []byte("{}"), "", nil }

func (i image) Signatures(context.Context) ([][]byte, error) { return nil, i.signatures }

func newImage(t *testing.T, signatures error) image {
	t.Helper()
	ref, err := docker.ParseReference("//example.test/fleet/os:v1")
	if err != nil {
		t.Fatal(err)
	}
	return image{ref, signatures}
}

// elsewhere keeps a test away from the computer's own policy, and returns the
// root and the user's configuration directory to use instead.
func elsewhere(t *testing.T) (root, user string) {
	t.Helper()
	root = t.TempDir()
	user = filepath.Join(root, "home/.config")
	t.Setenv("XDG_CONFIG_HOME", user)
	t.Setenv("CONTAINERS_POLICY_JSON", "")
	return root, user
}

func write(t *testing.T, file, content string) string {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
	return file
}

func TestSearchOrder(t *testing.T) {
	root, user := elsewhere(t)
	want := []string{
		filepath.Join(user, "containers/policy.json"),
		filepath.Join(root, "etc/containers/policy.json"),
		filepath.Join(root, "usr/share/containers/policy.json"),
	}
	places, err := policy.Places(policy.Options{Root: root})
	if err != nil || !slices.Equal(places, want) {
		t.Fatalf("Places = %v, %v, want %v", places, err, want)
	}
	_, err = policy.Load(policy.Options{Root: root})
	if !errors.Is(err, policy.ErrMissing) || err.Error() != "no signature policy: none of "+strings.Join(want, ", ")+" exists" {
		t.Errorf("Load without a policy = %v", err)
	}
	for _, file := range slices.Backward(want) { // each wins over those before it
		write(t, file, accept)
		p, err := policy.Load(policy.Options{Root: root})
		if err != nil || p.File() != file {
			t.Errorf("Load = %v, %v, want the file %s", p, err, file)
		}
	}
	env := write(t, filepath.Join(root, "env.json"), accept)
	t.Setenv("CONTAINERS_POLICY_JSON", env)
	if p, err := policy.Load(policy.Options{Root: root}); err != nil || p.File() != env {
		t.Errorf("Load with CONTAINERS_POLICY_JSON = %v, %v, want %s", p, err, env)
	}
	named := write(t, filepath.Join(root, "named.json"), accept)
	if p, err := policy.Load(policy.Options{Root: root, File: named}); err != nil || p.File() != named {
		t.Errorf("Load of a named file = %v, %v", p, err)
	}
	// A named file that is not there is not replaced by another.
	for _, o := range []policy.Options{{Root: root, File: named + "x"}, {Root: root}} {
		t.Setenv("CONTAINERS_POLICY_JSON", named+"x")
		if _, err := policy.Load(o); !errors.Is(err, policy.ErrMissing) || !strings.Contains(err.Error(), named+"x does not exist") {
			t.Errorf("Load(%+v) = %v, want ErrMissing", o, err)
		}
	}
}

func TestLoadRefuses(t *testing.T) {
	root, _ := elsewhere(t)
	file := filepath.Join(root, "etc/containers/policy.json")
	for _, text := range []string{
		``, `{`, `{}`, `[]`, `{"default": []}`, `{"default": [{"type": "unknown"}]}`,
		`{"defualt": [{"type": "reject"}]}`,
		`{"default": [{"type": "insecureAcceptAnything"}], "default": [{"type": "reject"}]}`,
	} {
		write(t, file, text)
		_, err := policy.Load(policy.Options{Root: root})
		if err == nil || !strings.HasPrefix(err.Error(), "signature policy "+file+": ") {
			t.Errorf("Load of %q = %v, want an error that names the file", text, err)
		}
	}
	// What exists and cannot be read is never passed over for the next place.
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(file, 0o755); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(root, "usr/share/containers/policy.json"), accept)
	if p, err := policy.Load(policy.Options{Root: root}); err == nil {
		t.Errorf("Load took %s although %s cannot be read", p.File(), file)
	}
}

func TestCheck(t *testing.T) {
	scope := func(name, requirement string) string {
		return `{"default": [{"type": "reject"}], "transports": {"docker": {"` + name + `": [{"type": "` + requirement + `"}]}}}`
	}
	for _, tt := range []struct {
		name, policy string
		require      bool
		want         string // the reason; "" means allowed
	}{
		{"accept", accept, false, ""},
		{"reject", reject, false, `the policy says "reject" for it`},
		{"no signature", signed, false, "a signature was required, but no signature exists"},
		{"scope", scope("example.test/fleet/os", "insecureAcceptAnything"), false, ""},
		{"parent scope", scope("example.test/fleet", "insecureAcceptAnything"), false, ""},
		{"any of the transport", scope("", "insecureAcceptAnything"), false, ""},
		{"another scope", scope("example.test/flee", "insecureAcceptAnything"), false, `the policy says "reject" for it`},
		{"signature required", accept, true, "the policy accepts it without a signature, but this machine requires one"},
		{"signature required, reject", reject, true, `the policy says "reject" for it`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			root, _ := elsewhere(t)
			file := write(t, filepath.Join(root, "policy.json"), tt.policy)
			p, err := policy.Load(policy.Options{File: file, RequireSignature: tt.require})
			if err != nil {
				t.Fatal(err)
			}
			for range 2 { // a verdict leaves nothing behind
				err = p.Check(t.Context(), newImage(t, nil))
				var refusal *policy.Refusal
				if tt.want == "" {
					if err != nil {
						t.Errorf("Check = %v, want nil", err)
					}
					continue
				}
				if !errors.As(err, &refusal) || refusal.Reason != tt.want || refusal.Image != "docker://example.test/fleet/os:v1" || refusal.File != file {
					t.Errorf("Check = %v, want a refusal: %s", err, tt.want)
				}
			}
		})
	}
}

// TestCheckFails: no verdict is neither an acceptance nor a refusal.
func TestCheckFails(t *testing.T) {
	root, _ := elsewhere(t)
	p, err := policy.Load(policy.Options{File: write(t, filepath.Join(root, "policy.json"), signed)})
	if err != nil {
		t.Fatal(err)
	}
	err = p.Check(t.Context(), newImage(t, fs.ErrPermission))
	var refusal *policy.Refusal
	if err == nil || errors.As(err, &refusal) || !errors.Is(err, fs.ErrPermission) {
		t.Errorf("Check = %v, want the error of reading signatures", err)
	}
}
