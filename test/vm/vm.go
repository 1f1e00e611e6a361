// Package vm is a laboratory of virtual machines: it builds bootable images,
// keeps a registry, and boots computers under QEMU that a test drives over SSH
// and whose power it can cut.
//
// It knows nothing of testing: tests and "make demo" use it alike.
//
//   - A [Lab] is what a run shares: cache, output directory, registry, keys.
//   - An [Image] is a container image, built from a Containerfile.
//   - A [Machine] is a computer with disks and firmware, on or off.
//
// Invariants:
//   - Nothing listens on anything but the loopback interface.
//   - What is built is cached by the hash of its input, below .cache. Several
//     labs may run at once from one checkout.
//   - A machine's serial log is complete, from the first boot to the last, in
//     its directory below the lab's output directory.
//   - KVM is used only after a probe boot has shown that it works.
//
// The lab needs root (mmdebstrap, buildah) and the packages of hack/setup.
package vm

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/sys/unix"
)

// Options say where a lab works. Name is needed.
type Options struct {
	Name string // the directory below out
	// Log receives lines for people, from several goroutines; nil drops them.
	Log func(line string)
	// Guests is how many machines may be on at once; 0: what the cores allow.
	Guests int
}

// A Lab is what the machines of one run share.
type Lab struct {
	Root string // the checkout
	Out  string // serial logs, disks

	cache    string
	log      func(string)
	slots    chan struct{}
	signer   ssh.Signer
	registry *Registry
	lock     *os.File

	product func() (string, error)
	kvm     struct {
		sync.Mutex
		known, works bool
	}
}

// Open prepares a lab: keys, output directory, registry. The caller closes it.
func Open(ctx context.Context, o Options) (*Lab, error) {
	if os.Geteuid() != 0 {
		return nil, errors.New("the lab builds images, which needs root")
	}
	// Where mkfs is, which is not in everyone's path.
	if path := os.Getenv("PATH"); !strings.Contains(path+":", "/usr/sbin:") {
		os.Setenv("PATH", path+":/usr/sbin:/sbin")
	}
	root, err := checkout()
	if err != nil {
		return nil, err
	}
	l := &Lab{Root: root, cache: filepath.Join(root, ".cache"), log: o.Log}
	if l.log == nil {
		l.log = func(string) {}
	}
	l.product = sync.OnceValues(func() (string, error) { return l.install(ctx, "") })
	for _, d := range []string{"images", "disks", "locks", "registry"} {
		if err := os.MkdirAll(filepath.Join(l.cache, d), 0o755); err != nil {
			return nil, err
		}
	}
	if l.signer, err = loadKey(filepath.Join(l.cache, "id_ed25519")); err != nil {
		return nil, fmt.Errorf("making an SSH key: %w", err)
	}
	if err := l.claimOut(o.Name); err != nil {
		return nil, err
	}
	guests := o.Guests
	if guests == 0 {
		guests = runtime.NumCPU()
	}
	l.slots = make(chan struct{}, guests)
	if l.registry, err = startRegistry(ctx, l); err != nil {
		l.lock.Close()
		return nil, fmt.Errorf("starting the registry: %w", err)
	}
	return l, nil
}

// Close stops the registry. Output stays.
func (l *Lab) Close() error {
	err := l.registry.stop()
	return errors.Join(err, l.lock.Close())
}

// Registry returns the registry of the lab.
func (l *Lab) Registry() *Registry { return l.registry }

// AuthorizedKey is the public half of the lab's key, as a line of
// authorized_keys.
func (l *Lab) AuthorizedKey() string {
	return string(ssh.MarshalAuthorizedKey(l.signer.PublicKey()))
}

func (l *Lab) logf(format string, args ...any) { l.log(fmt.Sprintf(format, args...)) }

// claimOut empties the output directory, or takes another one if a lab works
// in it.
func (l *Lab) claimOut(name string) error {
	for i := 1; ; i++ {
		dir := filepath.Join(l.Root, "out", name)
		if i > 1 {
			dir = fmt.Sprintf("%s-%d", dir, i)
		}
		if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
			return err
		}
		lock, err := os.OpenFile(dir+".lock", os.O_RDWR|os.O_CREATE, 0o644)
		if err != nil {
			return err
		}
		if unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB) != nil {
			lock.Close()
			continue
		}
		l.Out, l.lock = dir, lock
		if err := os.RemoveAll(dir); err != nil {
			return err
		}
		return os.MkdirAll(dir, 0o755)
	}
}

// once runs make while it holds the lock of a name, unless done says that it
// has been made before: by this lab or by another.
func (l *Lab) once(ctx context.Context, name string, done func() bool, make func() error) error {
	lock, err := os.OpenFile(filepath.Join(l.cache, "locks", name), os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return err
	}
	defer lock.Close()
	for unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB) != nil {
		if err := pause(ctx, 200*time.Millisecond); err != nil {
			return err
		}
	}
	if done() {
		return nil
	}
	return make()
}

// install returns a directory with the program for an architecture, by default the
// host's, and all that belongs to it, as "make install ARCH= DESTDIR=" writes it:
// $BOOTC_DESTDIR, or $BOOTC_DESTDIR-arm64 and so on, or one made now.
func (l *Lab) install(ctx context.Context, arch string) (string, error) {
	name := "root"
	if arch != "" {
		name += "-" + arch
	}
	if dir := os.Getenv("BOOTC_DESTDIR"); dir != "" {
		return dir + strings.TrimPrefix(name, "root"), nil
	}
	dir := filepath.Join(l.Out, name)
	l.logf("building the program")
	if _, err := l.command(ctx, "make", "--no-print-directory", "install", "ARCH="+arch, "DESTDIR="+dir); err != nil {
		return "", fmt.Errorf("building the program: %w", err)
	}
	return dir, nil
}

// command runs a program in the checkout and returns its standard output. What
// it says goes to build.log.
func (l *Lab) command(ctx context.Context, name string, args ...string) (string, error) {
	log, err := os.OpenFile(filepath.Join(l.Out, "build.log"), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o644)
	if err != nil {
		return "", err
	}
	defer log.Close()
	fmt.Fprintf(log, "+ %s %s\n", name, strings.Join(args, " "))
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = l.Root
	var said tail
	cmd.Stderr = &tee{log, &said}
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("%s: %w: %s", filepath.Base(name), err, said.text())
	}
	return strings.TrimSpace(string(out)), nil
}

// checkout finds the directory of go.mod above the working directory.
func checkout() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for ; ; dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir, nil
		}
		if dir == "/" {
			return "", errors.New("no go.mod above the working directory: the lab works in a checkout")
		}
	}
}

// loadKey reads the lab's private key, or makes it.
func loadKey(path string) (ssh.Signer, error) {
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		_, private, err := ed25519.GenerateKey(rand.Reader)
		if err != nil {
			return nil, err
		}
		block, err := ssh.MarshalPrivateKey(private, "lab")
		if err != nil {
			return nil, err
		}
		tmp := fmt.Sprintf("%s.%d", path, os.Getpid())
		if err := os.WriteFile(tmp, pem.EncodeToMemory(block), 0o600); err != nil {
			return nil, err
		}
		// The first lab's key stays.
		if err := os.Link(tmp, path); err != nil && !errors.Is(err, fs.ErrExist) {
			return nil, err
		}
		os.Remove(tmp)
		data, err = os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		return ssh.ParsePrivateKey(data)
	}
	if err != nil {
		return nil, err
	}
	return ssh.ParsePrivateKey(data)
}

// pause waits, unless the context ends first.
func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-t.C:
		return nil
	}
}
