package storage

import (
	"fmt"
	"strings"

	"github.com/bootc-go/bootc/internal/linux/block"
)

// A Candidate is a disk that an installation could go to.
type Candidate struct {
	Path  string // "/dev/vda"
	Model string // what it calls itself, "" if unknown
	Size  uint64 // in bytes
	Found []string
	// Obstacle says why it cannot be installed to as things are; "" if it can.
	Obstacle string
}

// String describes the disk in a line: size, model, what is on it.
func (c *Candidate) String() string {
	text := []string{formatSize(c.Size)}
	if c.Model != "" {
		text = append(text, c.Model)
	}
	switch {
	case c.Obstacle != "":
		text = append(text, c.Obstacle)
	case len(c.Found) > 0:
		text = append(text, "has "+strings.Join(c.Found, ", "))
	default:
		text = append(text, "empty")
	}
	return strings.Join(text, ", ")
}

// Candidates lists the disks of a system that an installation could go to: neither
// those of the medium nor read-only ones, nor ones that are too small, nor removable
// ones that are in use. Others that are in use are among them, with an obstacle.
func Candidates(s block.System, medium []*block.Device, o Options) ([]Candidate, error) {
	disks, err := s.Disks()
	if err != nil {
		return nil, err
	}
	var all []Candidate
	for _, d := range disks {
		if has(medium, d) || d.ReadOnly() {
			continue
		}
		if _, err := Layout(uint64(d.Size()), o); err != nil {
			continue
		}
		c := Candidate{Path: d.Path, Model: d.Model(), Size: uint64(d.Size())}
		if c.Obstacle, err = d.InUse(); err != nil {
			return nil, err
		}
		if c.Obstacle != "" && d.Removable() {
			continue
		}
		if c.Found, err = contents(d); err != nil {
			c.Obstacle = fmt.Sprintf("it cannot be read: %v", err)
		}
		all = append(all, c)
	}
	return all, nil
}

func has(all []*block.Device, d *block.Device) bool {
	for _, other := range all {
		if other.Number == d.Number {
			return true
		}
	}
	return false
}

// Only finds the only disk among candidates. Where there is none, or several, the
// error says which there are.
func Only(all []Candidate) (*Candidate, error) {
	switch len(all) {
	case 0:
		return nil, fmt.Errorf("there is no disk to install to")
	case 1:
		if all[0].Obstacle != "" {
			return nil, fmt.Errorf("the only disk is %s: %s", all[0].Path, &all[0])
		}
		return &all[0], nil
	}
	var lines []string
	for i := range all {
		lines = append(lines, all[i].Path+" ("+all[i].String()+")")
	}
	return nil, fmt.Errorf("there are %d disks and none was named: %s", len(all), strings.Join(lines, "; "))
}
