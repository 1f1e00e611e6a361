package fsck

import (
	"errors"
	"fmt"
	"io/fs"

	"github.com/bootc-go/bootc"
)

// A Finding is something on a machine that is not as it should be.
type Finding struct {
	// Where is a path: below "sysroot/", the physical root, or below "esp/".
	Where string `json:"where"`
	// What is wrong.
	What string `json:"what"`
	// Means says what follows from it, "" if What says it all.
	Means string `json:"means,omitempty"`
	// Repair says what [RepairMachine] would do, "" if it can do nothing.
	Repair string `json:"repair,omitempty"`
	// Note: nothing is damaged, but the owner should know.
	Note bool `json:"note,omitempty"`
}

// String gives one line.
func (f Finding) String() string {
	text := "damaged: "
	if f.Note {
		text = "note: "
	}
	text += f.Where + ": " + f.What
	if f.Means != "" {
		text += "; " + f.Means
	}
	switch {
	case f.Repair != "":
		text += " (--repair: " + f.Repair + ")"
	case !f.Note:
		text += " (this cannot be repaired)"
	}
	return text
}

func (s *survey) found(f Finding) { s.findings = append(s.findings, f) }

func (s *survey) note(where, format string, args ...any) {
	s.found(Finding{Where: where, What: fmt.Sprintf(format, args...), Note: true})
}

// wouldNotBoot says what follows from damage to what a deployment needs to boot.
func wouldNotBoot(d *deployment) string {
	return fmt.Sprintf("%s would not boot", d)
}

// cause is the text of an error without a path, which is told already.
func cause(err error) string {
	var p *fs.PathError
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "it is missing"
	case errors.As(err, &p):
		return "it cannot be read: " + p.Err.Error()
	}
	return err.Error()
}

// onRoot and onESP name places.
func onRoot(name string) string { return "sysroot/" + name }

func onESP(name string) string { return "esp/" + name }

// String names the deployment as people know it.
func (d *deployment) String() string {
	return fmt.Sprintf("the %s deployment %s", d.slot, d.id.Short())
}

// loose is the slot of a deployment that no entry names.
const loose bootc.Slot = "nameless"
