package deploy

import (
	"slices"
	"time"

	"github.com/bootc-go/bootc"
)

const (
	historyFile = bootcDir + "/history.json"
	maxHistory  = 32
	maxEvidence = 8 // images of which the boots are kept
)

// The reasons of a [Rejection].
const (
	RolledBack = "rolled back" // by hand
	Failed     = "failed"
)

// A Rejection is an image that is not to be taken again by itself.
type Rejection struct {
	Manifest bootc.Digest `json:"manifest"`
	Reason   string       `json:"reason"` // RolledBack or Failed
	Time     time.Time    `json:"time"`
	// Image is the reference that its deployment followed, "" if not known.
	Image string `json:"image,omitempty"`
	// Detail says in one line why it failed.
	Detail string `json:"detail,omitempty"`
	// Boots are the evidence, newest last.
	Boots []Boot `json:"boots,omitempty"`
}

type history struct {
	Version  int         `json:"version"`
	Rejected []Rejection `json:"rejected"`
}

// Rejections lists the images that are not to be taken again by themselves,
// oldest first.
func (s *State) Rejections() ([]Rejection, error) {
	h, err := s.history()
	return h.Rejected, err
}

// Rejected returns why an image is not to be taken again, nil if it may be.
func (s *State) Rejected(manifest bootc.Digest) (*Rejection, error) {
	h, err := s.history()
	if err != nil {
		return nil, err
	}
	for _, r := range h.Rejected {
		if r.Manifest == manifest {
			return &r, nil
		}
	}
	return nil, nil
}

// Reject records that an image is not to be taken again. It is on disk on
// return.
func (s *State) Reject(r Rejection) error {
	h, err := s.history()
	if err != nil {
		return err
	}
	h.forget(r.Manifest)
	h.Rejected = append(h.Rejected, r)
	if n := len(h.Rejected); n > maxHistory {
		h.Rejected = h.Rejected[n-maxHistory:]
	}
	for i := range max(0, len(h.Rejected)-maxEvidence) {
		h.Rejected[i].Boots = nil
	}
	return s.writeJSON(historyFile, h, private)
}

// Accept takes back what [State.Reject] recorded.
func (s *State) Accept(manifest bootc.Digest) error {
	h, err := s.history()
	if err != nil || !h.forget(manifest) {
		return err
	}
	return s.writeJSON(historyFile, h, private)
}

// ForgetAll records that there is no image that is not to be taken again. There is no
// evidence in it that has to be hidden.
func (s *State) ForgetAll() error {
	return s.writeJSON(historyFile, &history{Version: formatVersion, Rejected: []Rejection{}}, public)
}

func (h *history) forget(manifest bootc.Digest) bool {
	n := len(h.Rejected)
	h.Rejected = slices.DeleteFunc(h.Rejected, func(r Rejection) bool { return r.Manifest == manifest })
	return len(h.Rejected) != n
}

func (s *State) history() (*history, error) {
	h := &history{Version: formatVersion}
	_, err := s.readJSON(historyFile, h, &h.Version)
	return h, err
}
