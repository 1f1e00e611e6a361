package images

import (
	"errors"
	"fmt"

	"github.com/bootc-go/bootc"
	"github.com/bootc-go/bootc/internal/format/splitstream"
)

// CheckTag checks that the image with a tag can be given back: manifest, config
// and layers are there, and their streams can be read. The problems have the
// tag instead of a path. Contents of objects are for [Repository.Check].
func (r *Repository) CheckTag(name string) []Problem {
	var all []Problem
	problem := func(kind, format string, args ...any) []Problem {
		all = append(all, Problem{kind, name, fmt.Sprintf(format, args...)})
		return all
	}
	digest, err := r.Resolve(name)
	if err != nil {
		return problem("ref-resolve-failed", "%v", err)
	}
	i := &Image{Manifest: digest}
	id, err := r.linked(streamsDir + "/" + manifestStream(digest))
	if err != nil {
		return problem("manifest-read-failed", "%v", err)
	}
	raw, refs, err := r.readDocument(id, splitstream.Manifest, digest)
	if err != nil {
		return problem("manifest-read-failed", "%v", err)
	}
	if i.manifest, err = ParseManifest(raw); err != nil {
		return problem("manifest-parse-failed", "%v", err)
	}
	config := bootc.Digest(i.manifest.Config.Digest)
	if _, ok := refs[configRef(config)]; !ok {
		return problem("config-ref-missing", "%s", config)
	}
	if err := r.readConfig(i, refs); err != nil {
		return problem("config-read-failed", "%v", err)
	}
	for n, d := range i.Config.RootFS.DiffIDs {
		_, err := r.linked(streamsDir + "/" + layerStream(bootc.Digest(d)))
		if errors.Is(err, ErrNotFound) {
			problem("layer-stream-missing", "%s", d)
			continue
		}
		if err == nil {
			_, err = r.readLayer(i.layers[n])
		}
		if err != nil {
			problem("layer-check-failed", "%s: %v", d, err)
		}
	}
	return all
}
