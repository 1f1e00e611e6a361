// Package installer asks somebody at a terminal where and how to install: a dialogue
// of lines, for a serial console as well as for a screen.
//
// The rules of the dialogue:
//   - nothing happens before the name of the disk has been typed at its end;
//   - until then every answer can be changed;
//   - an answer that cannot be taken is asked for again, with the reason;
//   - the end of the input, or q, ends it with nothing done.
//
// It knows nothing of images and changes nothing: what was answered is [Answers].
package installer

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/bootc-go/bootc/internal/format/blueprint"
	"github.com/bootc-go/bootc/internal/machine/custom"
	"github.com/bootc-go/bootc/internal/machine/storage"
)

// ErrLeft means that nothing is to be done.
var ErrLeft = errors.New("nothing was done")

// A Terminal is where questions are asked. What is written to it is shown.
type Terminal interface {
	io.Writer
	// ReadLine shows a question and reads the answer, without its end. The error is
	// io.EOF at the end of the input.
	ReadLine(question string) (string, error)
	// ReadSecret is ReadLine for what must not be seen.
	ReadSecret(question string) (string, error)
}

// A Situation is what the dialogue has to know.
type Situation struct {
	Image  string // for people
	Device string // the disk that the medium proposes, "" for none
	// Disks looks which disks there are.
	Disks func() ([]storage.Candidate, error)
	// Access is who can log in without any answer.
	Access custom.Access
	// Failed is why an installation without a question has ended, "" if there was none.
	Failed string
	// Obstacle is why the machine would not start from the disk, "" for nothing.
	Obstacle string
}

// Answers are what was decided. The zero value of each adds nothing.
type Answers struct {
	Disk     storage.Candidate
	HostName string
	User     string
	Password string
	SSHKey   string
	Group    string // that the user is added to
}

// Customize says what the answers add to the system.
func (a *Answers) Customize() blueprint.Blueprint {
	var b blueprint.Blueprint
	if a.HostName != "" {
		b.Files = append(b.Files, blueprint.File{Node: blueprint.Node{Key: "host name", Path: "/etc/hostname"}, Data: a.HostName + "\n"})
	}
	if a.User != "" {
		u := blueprint.User{Key: "user", Name: a.User, Password: a.Password, SSHKeys: a.SSHKey}
		if a.Group != "" {
			u.Groups = []string{a.Group}
		}
		b.Users = append(b.Users, u)
	}
	return b
}

// A dialogue is under way.
type dialogue struct {
	Terminal
	Situation
	Answers
}

// Ask asks. The error is [ErrLeft] when nothing is to be done.
func Ask(t Terminal, s Situation) (*Answers, error) {
	d := &dialogue{Terminal: t, Situation: s}
	d.say("This installs %s to a disk of this machine.\nLeave with q, or with the end of the input (Ctrl-D): nothing is changed then.\n", s.Image)
	if s.Failed != "" {
		d.say("\nIt was to be installed without a question, and that has failed:\n%s.\n", s.Failed)
	}
	err := d.run()
	if errors.Is(err, io.EOF) {
		err = ErrLeft
	}
	if err != nil {
		return nil, err
	}
	return &d.Answers, nil
}

// questions are what is asked, in this order, and what can be changed.
func (d *dialogue) questions() []question {
	return []question{
		{"Disk", d.askDisk, func() string {
			return d.Disk.Path + ", " + d.Disk.String() + ". Everything on it will be lost."
		}},
		{"Host name", d.askHostName, func() string {
			if d.HostName == "" {
				return "as the image has it"
			}
			return d.HostName
		}},
		{"User", d.askUser, d.user},
	}
}

type question struct {
	name   string
	ask    func() error
	answer func() string
}

func (d *dialogue) run() error {
	if d.Obstacle != "" {
		if err := d.confirmObstacle(); err != nil {
			return err
		}
	}
	for _, q := range d.questions() {
		d.say("\n")
		if err := q.ask(); err != nil {
			return err
		}
	}
	for {
		d.say("\n")
		for i, q := range d.questions() {
			d.say("  %d  %s: %s\n", i+1, q.name, q.answer())
		}
		name := strings.TrimPrefix(d.Disk.Path, "/dev/")
		answer, err := d.line(fmt.Sprintf("Type %s to erase the disk and install, a number to change an answer", name))
		if err != nil {
			return err
		}
		n, err := strconv.Atoi(answer)
		switch {
		case answer == name || answer == d.Disk.Path:
			return nil
		case err == nil && n >= 1 && n <= len(d.questions()):
			d.say("\n")
			if err := d.questions()[n-1].ask(); err != nil {
				return err
			}
		case answer != "":
			d.say("%q is neither.\n", answer)
		}
	}
}

// line asks a question and reads an answer without blanks around it.
func (d *dialogue) line(question string) (string, error) {
	answer, err := d.ReadLine(question + ": ")
	answer = strings.TrimSpace(answer)
	if err == nil && answer == "q" {
		err = ErrLeft
	}
	return answer, err
}

// say shows a text. A terminal that is gone is noticed by the next question.
func (d *dialogue) say(format string, args ...any) { fmt.Fprintf(d, format, args...) }

func (d *dialogue) confirmObstacle() error {
	d.say("\n%s%s.\n", strings.ToUpper(d.Obstacle[:1]), d.Obstacle[1:])
	for {
		answer, err := d.line("Type yes to go on all the same")
		if err != nil || answer == "yes" {
			return err
		}
	}
}

func (d *dialogue) askDisk() error {
	for {
		disks, err := d.Disks()
		if err != nil {
			return err
		}
		if len(disks) == 0 {
			d.say("There is no disk to install to.\n")
			if _, err := d.line("Press Enter to look again"); err != nil {
				return err
			}
			continue
		}
		d.say("Disks:\n")
		for i := range disks {
			d.say("  %d  %s: %s\n", i+1, disks[i].Path, &disks[i])
		}
		proposal := d.proposal(disks)
		question := "Install to which disk, by its number or name"
		if proposal != "" {
			question += " (" + proposal + ")"
		}
		answer, err := d.line(question)
		if err != nil {
			return err
		}
		if answer == "" {
			answer = proposal
		}
		if chosen := choose(disks, answer); chosen != nil && chosen.Obstacle == "" {
			d.Disk = *chosen
			return nil
		} else if chosen != nil {
			d.say("%s cannot be used: %s.\n\n", chosen.Path, chosen.Obstacle)
		} else if answer != "" {
			d.say("There is no disk %q.\n\n", answer)
		}
	}
}

// proposal is the disk that Enter stands for: the one that was chosen before, that of
// the medium, or the only one.
func (d *dialogue) proposal(disks []storage.Candidate) string {
	for _, name := range []string{d.Disk.Path, d.Device} {
		if c := choose(disks, name); c != nil && name != "" {
			return c.Path
		}
	}
	if len(disks) == 1 && disks[0].Obstacle == "" {
		return disks[0].Path
	}
	return ""
}

// choose finds a disk by its number in the list, its path or the last part of that.
func choose(disks []storage.Candidate, answer string) *storage.Candidate {
	if n, err := strconv.Atoi(answer); err == nil && n >= 1 && n <= len(disks) {
		return &disks[n-1]
	}
	at := slices.IndexFunc(disks, func(c storage.Candidate) bool {
		return answer != "" && (c.Path == answer || c.Path == "/dev/"+answer)
	})
	if at < 0 {
		return nil
	}
	return &disks[at]
}
