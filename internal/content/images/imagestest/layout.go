package imagestest

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"

	"github.com/bootc-go/bootc"
)

// SaveLayout writes the image as an OCI layout with the tag "latest".
func (i *Image) SaveLayout(dir string) error {
	files := map[string][]byte{"oci-layout": []byte(`{"imageLayoutVersion":"1.0.0"}`)}
	blob := func(d bootc.Digest, data []byte) { files["blobs/"+strings.Replace(string(d), ":", "/", 1)] = data }
	blob(i.Digest(), i.RawManifest)
	blob(Digest(i.RawConfig), i.RawConfig)
	for d, data := range i.Content {
		blob(d, data)
	}
	index, err := json.Marshal(map[string]any{
		"schemaVersion": 2,
		"manifests": []any{map[string]any{
			"mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": i.Digest(), "size": len(i.RawManifest),
			"annotations": map[string]string{"org.opencontainers.image.ref.name": "latest"},
		}},
	})
	if err != nil {
		return err
	}
	files["index.json"] = index
	for name, data := range files {
		name = filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(name, data, 0o644); err != nil {
			return err
		}
	}
	return nil
}
