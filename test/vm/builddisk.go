package vm

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
)

// nobody is an ordinary user, and the only group of that one.
const nobody = 65534

// BuildDisk has an ordinary user make disk images of what the registry has
// under a name: bootc build-disk with the options. Machines follow the same name.
// home becomes the user's directory: it must be where everyone can go. What is
// printed goes to out as it comes; nil is allowed. It returns the directory with
// the files, disk.raw and so on.
func (l *Lab) BuildDisk(ctx context.Context, home, as string, out io.Writer, options ...string) (string, error) {
	product, err := l.product()
	if err != nil {
		return "", err
	}
	files := map[string]string{
		".config/containers/policy.json":     `{"default": [{"type": "insecureAcceptAnything"}]}`,
		".config/containers/registries.conf": fmt.Sprintf("[[registry]]\nlocation = %q\ninsecure = true\n", l.registry.Host()),
		"authorized_keys":                    l.AuthorizedKey(),
	}
	for name, text := range files {
		path := filepath.Join(home, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), 0o644)); err != nil {
			return "", err
		}
	}
	program, dir := filepath.Join(home, "bootc"), filepath.Join(home, "out")
	if _, err := l.command(ctx, "cp", filepath.Join(product, "usr/bin/bootc"), program); err != nil {
		return "", err
	}
	if err := errors.Join(os.MkdirAll(dir, 0o755), os.Chown(home, nobody, nobody), os.Chown(dir, nobody, nobody)); err != nil {
		return "", err
	}
	args := append([]string{
		"build-disk", "docker://" + l.registry.HostName(as), "--target-imgref", l.registry.Name(as), "--name", "disk",
		"--output", dir, "--root-ssh-authorized-keys", filepath.Join(home, "authorized_keys"),
	}, options...)
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Dir, cmd.Env = home, []string{"HOME=" + home, "PATH=/usr/bin:/bin"}
	cmd.SysProcAttr = dieWithParent()
	cmd.SysProcAttr.Credential = &syscall.Credential{Uid: nobody, Gid: nobody}
	var said tail
	cmd.Stdout, cmd.Stderr = &said, &said
	if out != nil {
		cmd.Stdout, cmd.Stderr = out, &tee{&said, out}
	}
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("bootc %s: %w: %s", strings.Join(args, " "), err, said.text())
	}
	return dir, nil
}
