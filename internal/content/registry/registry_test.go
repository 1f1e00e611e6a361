package registry_test

import (
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/bootc-go/bootc"
	"github.com/bootc-go/bootc/internal/content/policy"
	"github.com/bootc-go/bootc/internal/content/registry"
)

func TestOpen(t *testing.T) {
	for name, oci := range map[string]bool{"oci": true, "docker": false} {
		t.Run(name, func(t *testing.T) {
			s := newServer(t, nil)
			want := newImage(t, oci, "amd64", 3)
			s.push(t, "os:v1", want)
			got := open(t, s.ref("os:v1"), options(t, s.host))

			wantRequests := []string{"GET /v2/", "GET /v2/os/manifests/v1"}
			if diff := cmp.Diff(wantRequests, s.seen()); diff != "" {
				t.Errorf("requests of Open (-want +got):\n%s", diff)
			}
			original(t, got, want)
			same(t, got, want, false)
			if got.Unchanged() {
				t.Error("Unchanged without a known digest")
			}
			if len(s.agents) != 1 || !s.agents["bootc/1.2.3"] {
				t.Errorf("user agents %v, want bootc/1.2.3", s.agents)
			}
		})
	}
}

func TestOpenByDigest(t *testing.T) {
	s := newServer(t, nil)
	want := newImage(t, true, "amd64", 1)
	s.push(t, "os:v1", want)
	d := string(digestOf(t, want))
	o := options(t, s.host)
	original(t, open(t, s.ref("os@"+d), o), want)
	// The digest wins over a tag, even one that does not exist.
	original(t, open(t, s.ref("os:v9@"+d), o), want)
}

func TestIndex(t *testing.T) {
	s := newServer(t, nil)
	all := map[string]v1.Image{}
	for _, arch := range []string{"amd64", "arm64", "riscv64"} {
		all[arch] = newImage(t, true, arch, 1)
	}
	s.pushIndex(t, "os:v1", newIndex(all))
	o := options(t, s.host)
	for arch, want := range all {
		o.Architecture = arch
		got := open(t, s.ref("os:v1"), o)
		original(t, got, want)
		same(t, got, want, false)
	}
	o.Architecture = "s390x"
	_, err := registry.Open(t.Context(), s.ref("os:v1"), o)
	if err == nil || !strings.Contains(err.Error(), `architecture "s390x"`) {
		t.Errorf("Open for s390x = %v, want an error that names it", err)
	}
}

func TestKnown(t *testing.T) {
	s := newServer(t, nil)
	img := newImage(t, true, "amd64", 1)
	s.push(t, "single:v1", img)
	s.pushIndex(t, "multi:v1", newIndex(map[string]v1.Image{"amd64": img, "arm64": newImage(t, true, "arm64", 1)}))
	for _, repo := range []string{"single", "multi"} {
		t.Run(repo, func(t *testing.T) {
			o := options(t, s.host)
			before := len(s.seen())
			o.Known = digestOf(t, img)
			got := open(t, s.ref(repo+":v1"), o)
			if !got.Unchanged() || got.Digest() != o.Known {
				t.Errorf("Unchanged %v, digest %s, want true and %s", got.Unchanged(), got.Digest(), o.Known)
			}
			if diff := cmp.Diff([]string{"GET /v2/", "GET /v2/" + repo + "/manifests/v1"}, s.seen()[before:]); diff != "" {
				t.Errorf("requests (-want +got):\n%s", diff)
			}
			if _, err := got.Config(t.Context()); err == nil {
				t.Error("Config of the known image: no error")
			}
			o.Known = bootc.Digest("sha256:" + strings.Repeat("0", 64))
			if got := open(t, s.ref(repo+":v1"), o); got.Unchanged() || len(got.Layers()) != 1 {
				t.Error("another digest is known, but the image is taken for it")
			}
		})
	}
}

func TestPolicy(t *testing.T) {
	s := newServer(t, nil)
	s.push(t, "os:v1", newImage(t, true, "amd64", 1))
	image := "docker://" + s.host + "/os:v1"
	for _, tt := range []struct {
		name, policy string
		require      bool
		want         string
	}{
		{"accept", acceptAnything, false, ""},
		{"reject", `{"default": [{"type": "reject"}]}`, false, `image ` + image + ` is refused by FILE: the policy says "reject" for it`},
		{"reject this registry", `{"default": [{"type": "insecureAcceptAnything"}], "transports": {"docker": {"` + s.host + `": [{"type": "reject"}]}}}`, false, `the policy says "reject" for it`},
		{"accept this registry", `{"default": [{"type": "reject"}], "transports": {"docker": {"` + s.host + `": [{"type": "insecureAcceptAnything"}]}}}`, false, ""},
		{"signed", `{"default": [{"type": "signedBy", "keyType": "GPGKeys", "keyPath": "/nonexistent"}]}`, false, "a signature was required, but no signature exists"},
		{"require", acceptAnything, true, "this machine requires one"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			o := options(t, s.host)
			o.RequireSignature = tt.require
			write(t, o.PolicyFile, tt.policy)
			_, err := registry.Open(t.Context(), s.ref("os:v1"), o)
			var refusal *policy.Refusal
			switch {
			case tt.want == "" && err != nil:
				t.Errorf("Open = %v", err)
			case tt.want == "":
			case !errors.As(err, &refusal), !strings.Contains(err.Error(), strings.ReplaceAll(tt.want, "FILE", o.PolicyFile)):
				t.Errorf("Open = %v, want a refusal with %q", err, tt.want)
			}
		})
	}
	t.Run("missing", func(t *testing.T) {
		o := options(t, s.host)
		o.PolicyFile = ""
		before := len(s.seen())
		_, err := registry.Open(t.Context(), s.ref("os:v1"), o)
		if !errors.Is(err, policy.ErrMissing) || !strings.Contains(err.Error(), filepath.Join(o.Root, "etc/containers/policy.json")) {
			t.Errorf("Open = %v, want ErrMissing and the places", err)
		}
		if got := s.seen()[before:]; len(got) != 0 {
			t.Errorf("without a policy, requests went out: %v", got)
		}
		write(t, filepath.Join(o.Root, "etc/containers/policy.json"), acceptAnything)
		open(t, s.ref("os:v1"), o)
	})
}

func TestRegistriesConf(t *testing.T) {
	gone := newServer(t, func(w http.ResponseWriter, _ *http.Request) bool {
		http.Error(w, "no", http.StatusNotFound)
		return true
	})
	s := newServer(t, nil)
	want := newImage(t, true, "amd64", 2)
	s.push(t, "os:v1", want)
	s.push(t, "deep/er/os:v1", want)
	ref := func(name string) bootc.Ref { return bootc.Ref{Transport: bootc.Registry, Name: name} }

	for _, tt := range []struct {
		name string
		ref  bootc.Ref
		conf string
		want string // "" means that it works
	}{
		{"remap", ref("example.test/os:v1"), fmt.Sprintf("[[registry]]\nprefix = \"example.test\"\nlocation = %q\ninsecure = true\n", s.host), ""},
		{"remap a namespace", ref("example.test/a/os:v1"), fmt.Sprintf("[[registry]]\nprefix = \"example.test/a\"\nlocation = \"%s/deep/er\"\ninsecure = true\n", s.host), ""},
		{"mirror", ref("example.test/os:v1"), fmt.Sprintf("[[registry]]\nlocation = \"example.test\"\n[[registry.mirror]]\nlocation = %q\ninsecure = true\n", s.host), ""},
		{"first mirror is empty", ref("example.test/os:v1"), fmt.Sprintf("[[registry]]\nlocation = \"example.test\"\n[[registry.mirror]]\nlocation = %q\ninsecure = true\n[[registry.mirror]]\nlocation = %q\ninsecure = true\n", gone.host, s.host), ""},
		{"all are empty", ref(gone.host + "/os:v1"), fmt.Sprintf("[[registry]]\nlocation = %[1]q\ninsecure = true\n[[registry.mirror]]\nlocation = \"%[1]s/mirror\"\ninsecure = true\n", gone.host), "image not found"},
		{"blocked", s.ref("os:v1"), fmt.Sprintf("[[registry]]\nlocation = %q\nblocked = true\n", s.host), "is blocked in"},
		{"not insecure", s.ref("os:v1"), "", "set insecure = true for it in registries.conf"},
		{"broken", s.ref("os:v1"), "[[registry", "registries.conf"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			o := options(t)
			write(t, o.RegistriesConf, tt.conf)
			got, err := registry.Open(t.Context(), tt.ref, o)
			if tt.want != "" {
				if err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "\n") {
					t.Errorf("Open = %v, want one line with %q", err, tt.want)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			defer got.Close()
			original(t, got, want)
			same(t, got, want, false)
		})
	}
}

// TestRegistriesConfDir: drop-ins add to registries.conf, below Root too.
func TestRegistriesConfDir(t *testing.T) {
	s := newServer(t, nil)
	s.push(t, "os:v1", newImage(t, true, "amd64", 1))
	conf := fmt.Sprintf("[[registry]]\nlocation = %q\ninsecure = true\n", s.host)
	o := options(t)
	write(t, filepath.Join(o.RegistriesConfDir, "50-local.conf"), conf)
	open(t, s.ref("os:v1"), o)

	o = options(t)
	o.RegistriesConf, o.RegistriesConfDir = "", ""
	write(t, filepath.Join(o.Root, "etc/containers/registries.conf.d/50-local.conf"), conf)
	open(t, s.ref("os:v1"), o)
}

// TestRegistriesConfAgain: a change is seen by the next Open of the process.
func TestRegistriesConfAgain(t *testing.T) {
	s := newServer(t, nil)
	s.push(t, "os:v1", newImage(t, true, "amd64", 1))
	o := options(t)
	if _, err := registry.Open(t.Context(), s.ref("os:v1"), o); err == nil {
		t.Fatal("Open over plain HTTP without leave")
	}
	write(t, o.RegistriesConf, fmt.Sprintf("[[registry]]\nlocation = %q\ninsecure = true\n", s.host))
	open(t, s.ref("os:v1"), o)
}

func TestTLS(t *testing.T) {
	s, tls := newTLSServer(t)
	s.push(t, "os:v1", newImage(t, true, "amd64", 1))
	o := options(t)
	_, err := registry.Open(t.Context(), s.ref("os:v1"), o)
	if err == nil || !strings.Contains(err.Error(), "certificate that is not trusted") {
		t.Errorf("Open = %v, want that the certificate is not trusted", err)
	}
	write(t, filepath.Join(o.CertsDir, s.host, "ca.crt"), pemOf(tls.Certificate().Raw))
	open(t, s.ref("os:v1"), o)
	open(t, s.ref("os:v1"), options(t, s.host)) // insecure = true
}

func TestUnknownTransport(t *testing.T) {
	for _, ref := range []bootc.Ref{
		{Transport: "docker-daemon", Name: "x"},
		{Transport: bootc.Registry, Name: "UPPER/case:v1"},
		{Transport: bootc.Registry, Name: "host/os@sha256:123"},
	} {
		_, err := registry.Open(t.Context(), ref, options(t))
		if err == nil || !strings.HasPrefix(err.Error(), "image reference ") {
			t.Errorf("Open(%s) = %v, want an error about the reference", ref, err)
		}
	}
}

func TestAuthFilesOrder(t *testing.T) {
	want := []string{"/run/ostree/auth.json", "/etc/ostree/auth.json", "/usr/lib/ostree/auth.json"}
	if got := registry.AuthFiles(); !slices.Equal(got, want) {
		t.Errorf("AuthFiles() = %v, want %v", got, want)
	}
}
