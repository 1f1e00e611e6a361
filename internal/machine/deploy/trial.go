package deploy

import (
	"errors"
	"io/fs"
	"strings"
	"time"

	"github.com/bootc-go/bootc"
	"github.com/bootc-go/bootc/internal/linux/dir"
)

const (
	trialFile  = bootcDir + "/trial.json"
	maxBoots   = 16
	maxOutput  = 2 << 10
	maxJournal = 4 << 10

	// MaxRefills is how often the tries of one deployment are given back.
	MaxRefills = 10
)

// A Trial is what is known of a deployment that has not been found good yet.
type Trial struct {
	Version  int          `json:"version"`
	ID       bootc.ID     `json:"id"`
	Manifest bootc.Digest `json:"manifest"`
	Refills  int          `json:"refills"`
	// Boots are those that came as far as sysinit.target, or failed before;
	// newest last.
	Boots []Boot `json:"boots"`
}

// A Boot is one boot of a deployment on trial.
type Boot struct {
	ID   string    `json:"boot"` // the kernel's
	Time time.Time `json:"time"`
	// Judged is true when it has been decided whether it cost a try.
	Judged   bool      `json:"judged,omitempty"`
	Failures []Failure `json:"failures,omitempty"`
	Journal  string    `json:"journal,omitempty"`
}

// The kinds of a [Failure].
const (
	CheckFailed = "check"
	Deadline    = "deadline"
	Emergency   = "emergency"
	Panic       = "panic"
	Watchdog    = "watchdog"
)

// A Failure is evidence that a boot failed.
type Failure struct {
	Kind   string `json:"kind"`
	Text   string `json:"text"` // one line
	Output string `json:"output,omitempty"`
}

// Boot returns the record of a boot, nil if there is none.
func (t *Trial) Boot(id string) *Boot {
	for i := range t.Boots {
		if t.Boots[i].ID == id {
			return &t.Boots[i]
		}
	}
	return nil
}

// Last returns the newest boot but the one given, nil if there is none.
func (t *Trial) Last(but string) *Boot {
	for i := len(t.Boots) - 1; i >= 0; i-- {
		if t.Boots[i].ID != but {
			return &t.Boots[i]
		}
	}
	return nil
}

// Add records a boot, unless it is recorded, and returns its record.
func (t *Trial) Add(id string, now time.Time) *Boot {
	if b := t.Boot(id); b != nil {
		return b
	}
	t.Boots = append(t.Boots, Boot{ID: id, Time: now})
	if n := len(t.Boots); n > maxBoots {
		t.Boots = t.Boots[n-maxBoots:]
	}
	return &t.Boots[len(t.Boots)-1]
}

// Trial returns the record of the deployment on trial, nil if there is none.
func (s *State) Trial() (*Trial, error) {
	var t Trial
	ok, err := s.readJSON(trialFile, &t, &t.Version)
	if err != nil || !ok {
		return nil, err
	}
	return &t, nil
}

// SetTrial replaces the record of the deployment on trial. It is on disk on
// return. Texts that are too long are cut at their beginning.
func (s *State) SetTrial(t Trial) error {
	t.Version = formatVersion
	for i := range t.Boots {
		b := &t.Boots[i]
		b.Journal = end(b.Journal, maxJournal)
		for k := range b.Failures {
			b.Failures[k].Output = end(b.Failures[k].Output, maxOutput)
		}
	}
	return s.writeJSON(trialFile, t, private)
}

// ClearTrial forgets the deployment on trial. It is on disk on return.
func (s *State) ClearTrial() error {
	err := s.root.Remove(trialFile)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return dir.SyncDir(s.root, bootcDir)
}

// end returns the whole lines at the end of a text.
func end(text string, limit int) string {
	text = strings.ToValidUTF8(text, "?")
	if len(text) <= limit {
		return text
	}
	text = text[len(text)-limit:]
	if _, after, ok := strings.Cut(text, "\n"); ok {
		return after
	}
	return strings.ToValidUTF8(text, "")
}
