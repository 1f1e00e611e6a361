// Package medium reads and writes state/bootc/medium.json, which marks a medium to
// install from and says how it installs, and the kernel arguments by which one boot
// of it is told otherwise.
//
// Reading is strict: what is not understood is an error, since a setting that is
// passed over may be the one that keeps a disk from being erased.
//
// The format is specified in docs/formats/medium.md.
package medium

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"

	"github.com/bootc-go/bootc/internal/format/cmdline"
)

// version is the only one that there is.
const version = 1

// maxSize bounds what is read, in bytes.
const maxSize = 64 << 10

// A Medium says how a medium installs. The zero value waits for somebody who says
// what to do.
type Medium struct {
	// Unattended installs without a question.
	Unattended bool
	// Device is the disk to install to, below /dev; "" is the only one that there
	// is. A medium that asks offers it.
	Device string
	End    End
	// Kargs are the kernel arguments that the machine gets, beside those that the
	// image says.
	Kargs []string
}

// An End is what happens after an unattended installation.
type End string

// The ends. The empty one is Reboot.
const (
	Reboot   End = "reboot"
	PowerOff End = "poweroff"
)

// ParseEnd reads the name of an end.
func ParseEnd(text string) (End, error) {
	switch e := End(text); e {
	case Reboot, PowerOff:
		return e, nil
	}
	return "", fmt.Errorf("%q: want %s or %s", text, Reboot, PowerOff)
}

type document struct {
	Version    int      `json:"version"`
	Unattended bool     `json:"unattended,omitempty"`
	Device     string   `json:"device,omitempty"`
	End        End      `json:"end,omitempty"`
	Kargs      []string `json:"kargs,omitempty"`
}

// Parse reads the file.
func Parse(data []byte) (Medium, error) {
	if len(data) > maxSize {
		return Medium{}, fmt.Errorf("it has %d bytes, at most %d are possible", len(data), maxSize)
	}
	var doc document
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(&doc); err != nil {
		return Medium{}, err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return Medium{}, errors.New("something follows after its end")
	}
	if doc.Version != version {
		return Medium{}, fmt.Errorf("version %d is not supported, only %d is", doc.Version, version)
	}
	m := Medium{Unattended: doc.Unattended, Device: doc.Device, End: doc.End, Kargs: doc.Kargs}
	return m, m.check()
}

// Bytes returns the text of the file. What [Parse] would refuse is an error.
func (m Medium) Bytes() ([]byte, error) {
	if err := m.check(); err != nil {
		return nil, err
	}
	data, err := json.Marshal(document{version, m.Unattended, m.Device, m.End, m.Kargs})
	return append(data, '\n'), err
}

func (m Medium) check() error {
	if m.Device != "" {
		if err := CheckDevice(m.Device); err != nil {
			return fmt.Errorf("device: %w", err)
		}
	}
	if m.End != "" {
		if _, err := ParseEnd(string(m.End)); err != nil {
			return fmt.Errorf("end: %w", err)
		}
	}
	for _, k := range m.Kargs {
		if err := cmdline.CheckLocal(k); err != nil {
			return fmt.Errorf("kargs: %w", err)
		}
	}
	return nil
}

// CheckDevice refuses what cannot be the name of a device.
func CheckDevice(name string) error {
	if !strings.HasPrefix(name, "/dev/") || path.Clean(name) != name {
		return fmt.Errorf("%q is not a path below /dev", name)
	}
	for _, r := range name {
		if r <= ' ' || r == 0x7f {
			return fmt.Errorf("%q has a blank or a control character", name)
		}
	}
	return nil
}
