// Package tool runs external programs. Its constants are the whole list of
// those that the project needs.
package tool

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strings"
)

// A Tool is an external program.
type Tool string

// The programs, with the packages of Debian that have them.
const (
	Systemctl   Tool = "systemctl"    // systemd
	Journalctl  Tool = "journalctl"   // systemd
	MkfsExt4    Tool = "mkfs.ext4"    // e2fsprogs
	MkfsFat     Tool = "mkfs.fat"     // dosfstools
	GrubMkimage Tool = "grub-mkimage" // grub-common

	// For scripts of others; one suffices.
	Bash  Tool = "bash"
	Shell Tool = "sh" // dash
)

// ErrMissing means that a program is not installed.
var ErrMissing = errors.New("program is not installed")

// maxTold is how much of a program's complaints an error carries.
const maxTold = 1024

// Find returns the path of a program. Besides $PATH it looks where programs of
// the administrator are, which are not in everyone's.
func Find(t Tool) (string, error) {
	if path, err := exec.LookPath(string(t)); err == nil {
		return path, nil
	}
	for _, dir := range []string{"/usr/sbin/", "/sbin/"} {
		if path, err := exec.LookPath(dir + string(t)); err == nil {
			return path, nil
		}
	}
	return "", fmt.Errorf("%s: %w", t, ErrMissing)
}

// Run runs a program without input. What it prints is dropped unless it fails;
// then the error tells what it said.
func Run(ctx context.Context, t Tool, args ...string) error {
	_, err := Output(ctx, t, args...)
	return err
}

// Output is [Run] and returns what the program wrote to its standard output.
func Output(ctx context.Context, t Tool, args ...string) ([]byte, error) {
	path, err := Find(t)
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Args[0] = string(t)
	var out, told bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &told
	if err := cmd.Run(); err != nil {
		if ctx.Err() != nil {
			err = ctx.Err()
		}
		if lines := complaint(told.String()); lines != "" {
			return out.Bytes(), fmt.Errorf("%s: %w: %s", t, err, lines)
		}
		return out.Bytes(), fmt.Errorf("%s: %w", t, err)
	}
	return out.Bytes(), nil
}

// complaint makes one line of the end of what a program said.
func complaint(text string) string {
	var lines []string
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); line != "" {
			lines = append(lines, line)
		}
	}
	s := strings.Join(lines, "; ")
	if len(s) > maxTold {
		s = "…" + strings.ToValidUTF8(s[len(s)-maxTold:], "")
	}
	return s
}
