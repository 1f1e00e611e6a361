package deploy

import (
	"slices"
	"time"

	"github.com/bootc-go/bootc"
)

const (
	historyFile = bootcDir + "/history.json"
	maxHistory  = 32
)

// A Rejection is an image that is not to be taken again by itself.
type Rejection struct {
	Manifest bootc.Digest `json:"manifest"`
	Reason   string       `json:"reason"` // "rolled back"
	Time     time.Time    `json:"time"`
}

type history struct {
	Version  int         `json:"version"`
	Rejected []Rejection `json:"rejected"`
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

// Reject records that an image is not to be taken again.
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
	return s.writeJSON(historyFile, h)
}

// Accept takes back what [State.Reject] recorded.
func (s *State) Accept(manifest bootc.Digest) error {
	h, err := s.history()
	if err != nil || !h.forget(manifest) {
		return err
	}
	return s.writeJSON(historyFile, h)
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
