package registry_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/bootc-go/bootc"
	"github.com/bootc-go/bootc/internal/content/policy"
	"github.com/bootc-go/bootc/internal/content/registry"
)

func newKey(t *testing.T) (*ecdsa.PrivateKey, string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	return key, string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
}

// sign attaches a signature as cosign does: an image with the tag
// sha256-….sig, whose layer says what was signed.
func (s *server) sign(t *testing.T, key *ecdsa.PrivateKey, repo, identity string, d bootc.Digest) {
	t.Helper()
	payload, err := json.Marshal(map[string]any{
		"critical": map[string]any{
			"identity": map[string]any{"docker-reference": identity},
			"image":    map[string]any{"docker-manifest-digest": d},
			"type":     "cosign container image signature",
		},
		"optional": nil,
	})
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(payload)
	sig, err := ecdsa.SignASN1(rand.Reader, key, sum[:])
	if err != nil {
		t.Fatal(err)
	}
	img, err := mutate.Append(mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON), mutate.Addendum{
		Layer:       static.NewLayer(payload, "application/vnd.dev.cosign.simplesigning.v1+json"),
		Annotations: map[string]string{"dev.cosignproject.cosign/signature": base64.StdEncoding.EncodeToString(sig)},
	})
	if err != nil {
		t.Fatal(err)
	}
	s.push(t, repo+":sha256-"+d.Hex()+".sig", img)
}

func TestSigned(t *testing.T) {
	s := newServer(t, nil)
	key, public := newKey(t)
	other, _ := newKey(t)
	good, bad, unsigned, moved := newImage(t, true, "amd64", 1), newImage(t, true, "amd64", 1), newImage(t, true, "amd64", 1), newImage(t, true, "amd64", 1)
	multi := newImage(t, true, "amd64", 1)
	for tag, img := range map[string]v1.Image{"good": good, "bad": bad, "unsigned": unsigned, "moved": moved} {
		s.push(t, "os:"+tag, img)
	}
	s.pushIndex(t, "os:multi", newIndex(map[string]v1.Image{"amd64": multi, "arm64": newImage(t, true, "arm64", 1)}))
	s.sign(t, key, "os", s.host+"/os:good", digestOf(t, good))
	s.sign(t, other, "os", s.host+"/os:bad", digestOf(t, bad))
	s.sign(t, key, "os", s.host+"/another:moved", digestOf(t, moved))
	s.sign(t, key, "os", s.host+"/os:multi", digestOf(t, multi))

	signedOptions := func(t *testing.T) registry.Options {
		o := options(t, s.host)
		o.RequireSignature = true
		file := write(t, filepath.Join(o.Root, "key.pub"), public)
		write(t, o.PolicyFile, fmt.Sprintf(`{"default": [{"type": "reject"}], "transports": {"docker": {%q: [{"type": "sigstoreSigned", "keyPath": %q, "signedIdentity": {"type": "matchRepository"}}]}}}`, s.host, file))
		write(t, filepath.Join(o.RegistriesDir, "test.yaml"), fmt.Sprintf("docker:\n  %s:\n    use-sigstore-attachments: true\n", s.host))
		return o
	}
	for _, tt := range []struct{ tag, want string }{
		{"good", ""},
		{"multi", ""},
		{"bad", "refused by"},
		{"unsigned", "a signature was required, but no signature exists"},
		{"moved", "refused by"},
	} {
		t.Run(tt.tag, func(t *testing.T) {
			_, err := registry.Open(t.Context(), s.ref("os:"+tt.tag), signedOptions(t))
			var refusal *policy.Refusal
			switch {
			case tt.want == "" && err != nil:
				t.Errorf("Open = %v", err)
			case tt.want != "" && (!errors.As(err, &refusal) || !strings.Contains(err.Error(), tt.want)):
				t.Errorf("Open = %v, want a refusal with %q", err, tt.want)
			}
		})
	}
	t.Run("the key is missing", func(t *testing.T) {
		o := signedOptions(t)
		write(t, o.PolicyFile, `{"default": [{"type": "sigstoreSigned", "keyPath": "/nonexistent/key.pub"}]}`)
		_, err := registry.Open(t.Context(), s.ref("os:good"), o)
		if err == nil || errors.Is(err, registry.ErrNotFound) || !strings.Contains(err.Error(), "/nonexistent/key.pub") {
			t.Errorf("Open = %v, want an error about the key, not about the image", err)
		}
	})
	t.Run("the signature does not come", func(t *testing.T) {
		door := newServer(t, on(".sig", 0, status(http.StatusInternalServerError, "")))
		door.push(t, "os:good", good)
		o := signedOptions(t)
		write(t, o.RegistriesConf, fmt.Sprintf("[[registry]]\nlocation = %q\ninsecure = true\n", door.host))
		write(t, o.PolicyFile, strings.ReplaceAll(readFile(t, o.PolicyFile), s.host, door.host))
		write(t, filepath.Join(o.RegistriesDir, "test.yaml"), "default-docker:\n  use-sigstore-attachments: true\n")
		_, err := registry.Open(t.Context(), door.ref("os:good"), o)
		if err == nil || !strings.Contains(err.Error(), "answers 500 Internal Server Error (3 attempts)") {
			t.Errorf("Open = %v, want the registry's error after 3 attempts", err)
		}
	})
}
