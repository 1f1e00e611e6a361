package deploy

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path"

	"github.com/bootc-go/bootc"
)

// record is the second copy of what a deployment was made with, in <id>.json
// beside the origin: docs/formats/state.md. Only fsck reads it.
type record struct {
	Version    int          `json:"version"`
	Ref        string       `json:"image"`
	BootType   BootType     `json:"boot_type"`
	BootDigest string       `json:"boot_digest"`
	Manifest   bootc.Digest `json:"manifest"`
	Options    string       `json:"options,omitempty"`
}

func recordPath(top string, id bootc.ID) string { return path.Join(top, string(id)+".json") }

// RecordPath is the path of the second copy of an origin on the physical root, and
// OriginPath that of the first.
func RecordPath(id bootc.ID) string { return recordPath(Path(id), id) }

// OriginPath is described with [RecordPath].
func OriginPath(id bootc.ID) string { return path.Join(Path(id), string(id)+".origin") }

func (o Origin) record() record {
	return record{formatVersion, o.Ref.Containers(), o.BootType, o.BootDigest, o.Manifest, o.Options}
}

// Recorded reads the second copy of an origin, with the kernel arguments; nil if
// there is none. One that is damaged is an error.
func (s *State) Recorded(id bootc.ID) (*Origin, error) {
	name := recordPath(Path(id), id)
	data, err := s.root.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var r record
	if err := json.Unmarshal(data, &r); err != nil {
		return nil, fmt.Errorf("reading %s: %w", name, err)
	}
	if err := checkSum(data); err != nil {
		return nil, fmt.Errorf("reading %s: %w", name, err)
	}
	ref, err := bootc.ParseRef(r.Ref)
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", name, err)
	}
	return &Origin{Ref: ref, BootType: r.BootType, BootDigest: r.BootDigest, Manifest: r.Manifest, Options: r.Options}, nil
}
