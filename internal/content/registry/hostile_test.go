package registry_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/bootc-go/bootc/internal/content/registry"
)

// TestHostileManifests: manifests that are well-formed answers and no images.
func TestHostileManifests(t *testing.T) {
	const (
		oci    = "application/vnd.oci.image.manifest.v1+json"
		index  = "application/vnd.oci.image.index.v1+json"
		config = "application/vnd.oci.image.config.v1+json"
		tar    = "application/vnd.oci.image.layer.v1.tar+gzip"
		schema = "application/vnd.docker.distribution.manifest.v1+prettyjws"
	)
	digest := "sha256:" + strings.Repeat("a", 64)
	image := func(configType, configDigest string, configSize int64, layers string) string {
		return fmt.Sprintf(`{"schemaVersion": 2, "mediaType": %q, "config": {"mediaType": %q, "digest": %q, "size": %d}, "layers": [%s]}`,
			oci, configType, configDigest, configSize, layers)
	}
	layer := func(mediaType, digest string, size int64) string {
		return fmt.Sprintf(`{"mediaType": %q, "digest": %q, "size": %d}`, mediaType, digest, size)
	}
	for _, tt := range []struct{ name, mime, manifest, want string }{
		{"schema 1", schema, `{"schemaVersion": 1, "name": "os", "tag": "v1", "architecture": "amd64", "fsLayers": [], "history": [], "signatures": []}`, "schema 1"},
		{"artifact", oci, image("application/vnd.example.sbom", digest, 2, ""), `not a container image: its config is a "application/vnd.example.sbom"`},
		{"config digest", oci, image(config, "sha256:../../../etc/passwd", 2, ""), "digest"},
		{"layer digest", oci, image(config, digest, 2, layer(tar, "sha256:../../x", 1)), "layer 1: digest"},
		{"unknown algorithm", oci, image(config, digest, 2, layer(tar, "md5:"+strings.Repeat("a", 32), 1)), "layer 1: digest"},
		{"negative size", oci, image(config, digest, 2, layer(tar, digest, -5)), "size of -5 bytes"},
		{"two sizes", oci, image(config, digest, 2, layer(tar, digest, 5)+","+layer(tar, digest, 6)), "two sizes"},
		{"encrypted", oci, image(config, digest, 2, layer(tar+"+encrypted", digest, 5)), "layer 1 is encrypted"},
		{"both", oci, strings.TrimSuffix(image(config, digest, 2, ""), "}") + `, "manifests": []}`, "manifest"},
		{"empty index", index, fmt.Sprintf(`{"schemaVersion": 2, "mediaType": %q, "manifests": []}`, index), `architecture "amd64"`},
		{"index of itself", index, fmt.Sprintf(`{"schemaVersion": 2, "mediaType": %[1]q, "manifests": [{"mediaType": %[1]q, "digest": "sha256:../x", "size": 2, "platform": {"os": "linux", "architecture": "amd64"}}]}`, index), "digest"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newServer(t, on("/manifests/", 0, func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", tt.mime)
				w.Write([]byte(tt.manifest))
			}))
			img, err := registry.Open(t.Context(), s.ref("os:v1"), options(t, s.host))
			if err == nil {
				img.Close()
				t.Fatal("Open: no error")
			}
			if !strings.Contains(err.Error(), tt.want) || !strings.HasPrefix(err.Error(), "image "+s.host+"/os:v1: ") {
				t.Errorf("Open = %v, want %q in it", err, tt.want)
			}
		})
	}
	t.Run("huge config", func(t *testing.T) {
		s := newServer(t, on("/manifests/", 0, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", oci)
			w.Write([]byte(image(config, digest, 1<<40, "")))
		}))
		img := open(t, s.ref("os:v1"), options(t, s.host))
		if _, err := img.Config(t.Context()); err == nil || !strings.Contains(err.Error(), "more than 4194304") {
			t.Errorf("Config = %v, want that it is too big", err)
		}
	})
}
