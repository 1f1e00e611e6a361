package installer_test

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/bootc-go/bootc/internal/format/blueprint"
	"github.com/bootc-go/bootc/internal/front/installer"
	"github.com/bootc-go/bootc/internal/machine/custom"
	"github.com/bootc-go/bootc/internal/machine/storage"
)

var update = flag.Bool("update", false, "write the transcripts anew")

// script is a terminal at which the answers are known before. It writes down what is
// seen, and where an answer is not seen that.
type script struct {
	strings.Builder
	answers []string
}

func (s *script) ReadLine(question string) (string, error) { return s.read(question, false) }

func (s *script) ReadSecret(question string) (string, error) { return s.read(question, true) }

func (s *script) read(question string, secret bool) (string, error) {
	s.WriteString(question)
	if len(s.answers) == 0 {
		s.WriteString("^D\n")
		return "", io.EOF
	}
	answer := s.answers[0]
	s.answers = s.answers[1:]
	if secret && answer != "" {
		fmt.Fprintln(s, "(not shown)")
	} else {
		fmt.Fprintln(s, answer)
	}
	return answer, nil
}

const key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHEMq2pV2j1Z3Qm8o2Cw5cFQqYw6r5m0mWw0g4kX3Jd7 core@example.com"

func disks(all ...storage.Candidate) func() ([]storage.Candidate, error) {
	return func() ([]storage.Candidate, error) { return all, nil }
}

func vda() storage.Candidate { return storage.Candidate{Path: "/dev/vda", Size: 20 << 30} }
func sda() storage.Candidate {
	return storage.Candidate{Path: "/dev/sda", Model: "WD Blue", Size: 1 << 40, Found: []string{"a GPT partition table", "partition sda1"}}
}
func nvme() storage.Candidate {
	return storage.Candidate{Path: "/dev/nvme0n1", Size: 512 << 30, Obstacle: "/dev/nvme0n1p2 is used by dm-0"}
}

func TestDialogue(t *testing.T) {
	plain := installer.Situation{Image: "registry.example.com/os:stable", Disks: disks(vda()), Access: custom.Access{Admin: "wheel"}}
	known := plain
	known.Access.Names = []string{"core", "root"}
	several := plain
	several.Disks, several.Device, several.Access.Admin = disks(nvme(), sda(), vda()), "/dev/vda", ""
	bios := known
	bios.Obstacle = "this machine was not started by EFI firmware"
	failed := known
	failed.Failed = "there are 2 disks and none was named"
	none := known
	calls := 0
	none.Disks = func() ([]storage.Candidate, error) {
		if calls++; calls == 1 {
			return nil, nil
		}
		return []storage.Candidate{vda()}, nil
	}
	for _, c := range []struct {
		name    string
		s       installer.Situation
		answers []string
		want    *installer.Answers // nil: left
	}{
		{"plain", plain, []string{"", "web1.example.com", "core", "secret", "secret", key, "vda"},
			&installer.Answers{Disk: vda(), HostName: "web1.example.com", User: "core", Password: "secret", SSHKey: key, Group: "wheel"}},
		{"known", known, []string{"", "", "", "/dev/vda"}, &installer.Answers{Disk: vda()}},
		{"nobody", plain, []string{"vda", "", "", "nobody", "vda"}, &installer.Answers{Disk: vda()}},
		{"root", plain, []string{"", "", "root", "", key, "vda"}, &installer.Answers{Disk: vda(), User: "root", SSHKey: key}},
		{"wrong", several, []string{"4", "vdx", "1", "nvme0n1", "sda", "-web", strings.Repeat("a.", 33) + "a", "web", "Core", "9", "core", "", "", "core", "a", "b", "a", "a",
			"ssh-rsa", "ssh-rsa AAAA====", "ssh-rsa " + strings.Fields(key)[1], "", "vda", "yes", "4", "sda"},
			&installer.Answers{Disk: sda(), HostName: "web", User: "core", Password: "a"}},
		{"changed", several, []string{"", "", "core", "", key, "1", "2", "2", "web2", "3", "nobody", "1", "", "sda"},
			&installer.Answers{Disk: sda(), HostName: "web2"}},
		{"bios", bios, []string{"", "no", "yes", "", "", "", "vda"}, &installer.Answers{Disk: vda()}},
		{"failed", failed, []string{"", "", "", "vda"}, &installer.Answers{Disk: vda()}},
		{"no-disk", none, []string{"", "", "", "", "vda"}, &installer.Answers{Disk: vda()}},
		{"left", plain, []string{"", "", "q"}, nil},
		{"end", plain, []string{"", "", "core", "secret"}, nil},
		{"end-at-plan", known, []string{"", "", ""}, nil},
		{"bios-left", bios, nil, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := &script{answers: c.answers}
			got, err := installer.Ask(s, c.s)
			if c.want == nil && !errors.Is(err, installer.ErrLeft) || c.want != nil && err != nil {
				t.Errorf("Ask = %v", err)
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("answers (-want +got):\n%s", diff)
			}
			if len(s.answers) > 0 {
				t.Errorf("nobody asked for %q", s.answers)
			}
			golden(t, "testdata/"+c.name+".txt", s.String())
		})
	}
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(name, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", name, diff)
	}
}

// TestDisksFail ends the dialogue with what went wrong.
func TestDisksFail(t *testing.T) {
	broken := errors.New("broken")
	s := installer.Situation{Image: "x", Disks: func() ([]storage.Candidate, error) { return nil, broken }}
	if _, err := installer.Ask(&script{answers: []string{""}}, s); !errors.Is(err, broken) {
		t.Errorf("Ask = %v, want %v", err, broken)
	}
}

func TestCustomize(t *testing.T) {
	a := installer.Answers{HostName: "web", User: "core", Password: "p", SSHKey: "k", Group: "sudo"}
	want := blueprint.Blueprint{
		Files: []blueprint.File{{Node: blueprint.Node{Key: "host name", Path: "/etc/hostname"}, Data: "web\n"}},
		Users: []blueprint.User{{Key: "user", Name: "core", Password: "p", SSHKeys: "k", Groups: []string{"sudo"}}},
	}
	if diff := cmp.Diff(want, a.Customize()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(blueprint.Blueprint{}, (&installer.Answers{}).Customize()); diff != "" {
		t.Errorf("no answers (-want +got):\n%s", diff)
	}
}
