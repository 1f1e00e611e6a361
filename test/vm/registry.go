package vm

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"
)

// A Registry is Debian's docker-registry on the loopback interface. Its storage
// is kept between runs, so that what was pushed once is there; the tags that a
// run sets are in repositories of its own.
type Registry struct {
	lab  *Lab
	port int
	run  string // the first part of this run's repositories
	cmd  *exec.Cmd
	done chan struct{}
}

// startRegistry prefers the port of the last time, because installed disks have
// it in the names of their images.
func startRegistry(ctx context.Context, l *Lab) (*Registry, error) {
	remembered := filepath.Join(l.cache, "registry", "port")
	var preferred int
	if data, err := os.ReadFile(remembered); err == nil {
		preferred, _ = strconv.Atoi(strings.TrimSpace(string(data)))
	}
	for attempt := 0; ; attempt++ {
		port, err := freePort(preferred)
		if err != nil {
			return nil, err
		}
		r, err := runRegistry(ctx, l, port)
		if err == nil {
			if preferred == 0 {
				err = os.WriteFile(remembered, []byte(strconv.Itoa(port)), 0o644)
			}
			return r, err
		}
		if attempt == 2 {
			return nil, err
		}
	}
}

func freePort(preferred int) (int, error) {
	listener, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", preferred))
	if err != nil && preferred != 0 {
		listener, err = net.Listen("tcp", "127.0.0.1:0")
	}
	if err != nil {
		return 0, err
	}
	defer listener.Close()
	return listener.Addr().(*net.TCPAddr).Port, nil
}

func runRegistry(ctx context.Context, l *Lab, port int) (*Registry, error) {
	config := fmt.Sprintf(`version: 0.1
log: {level: warn, accesslog: {disabled: true}}
storage:
  filesystem: {rootdirectory: %s}
  delete: {enabled: true}
  maintenance: {uploadpurging: {enabled: false}}
http: {addr: "127.0.0.1:%d", secret: lab}
`, filepath.Join(l.cache, "registry"), port)
	path := filepath.Join(l.Out, "registry.yml")
	if err := os.WriteFile(path, []byte(config), 0o644); err != nil {
		return nil, err
	}
	log, err := os.Create(filepath.Join(l.Out, "registry.log"))
	if err != nil {
		return nil, err
	}
	defer log.Close()
	cmd := exec.Command("docker-registry", "serve", path)
	cmd.Stdout, cmd.Stderr, cmd.SysProcAttr = log, log, dieWithParent()
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	r := &Registry{lab: l, port: port, cmd: cmd, done: make(chan struct{}), run: filepath.Base(l.Out)}
	go func() { cmd.Wait(); close(r.done) }()
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	for {
		if answer, err := http.Get("http://" + r.Host() + "/v2/"); err == nil {
			answer.Body.Close()
			return r, nil
		}
		select {
		case <-r.done:
			text, _ := os.ReadFile(log.Name())
			return nil, fmt.Errorf("docker-registry ended: %s", text)
		default:
		}
		if err := pause(ctx, 50*time.Millisecond); err != nil {
			cmd.Process.Kill()
			return nil, fmt.Errorf("waiting for docker-registry: %w", err)
		}
	}
}

func (r *Registry) stop() error {
	r.cmd.Process.Kill()
	<-r.done
	return os.RemoveAll(filepath.Join(r.lab.cache, "registry", "docker/registry/v2/repositories", r.run))
}

// Host is the registry's address on this computer.
func (r *Registry) Host() string { return fmt.Sprintf("127.0.0.1:%d", r.port) }

// Guest is the registry's address from a machine.
func (r *Registry) Guest() string { return fmt.Sprintf("10.0.2.2:%d", r.port) }

// Name is how a machine calls an image of this lab: "debian:stable" becomes
// "10.0.2.2:PORT/vm/debian:stable". It is the same in the next run, as disks
// that were installed remember it.
func (r *Registry) Name(image string) string { return r.Guest() + "/" + r.run + "/" + image }

// HostName is what this computer calls the image that machines call Name.
func (r *Registry) HostName(image string) string { return r.Host() + "/" + r.run + "/" + image }

// Publish makes an image available under a name, such as "debian:stable", and
// returns the digest of its manifest. What the name meant before is replaced.
func (r *Registry) Publish(ctx context.Context, img *Image, as string) (string, error) {
	kept := fmt.Sprintf("%s/images:%s", r.Host(), img.Key())
	from, err := name.ParseReference(kept, name.Insecure)
	if err != nil {
		return "", err
	}
	present := func() bool { _, err := remote.Head(from, remote.WithContext(ctx)); return err == nil }
	err = r.lab.once(ctx, "push-"+img.Key(), present, func() error {
		r.lab.logf("pushing %s", img.Name)
		_, err := r.lab.buildah(ctx, "push", "--quiet", "--tls-verify=false", "--format", "oci", img.Name, "docker://"+kept)
		return err
	})
	if err != nil {
		return "", fmt.Errorf("pushing %s: %w", img.Name, err)
	}
	to, err := name.ParseReference(r.HostName(as), name.Insecure)
	if err != nil {
		return "", err
	}
	pushed, err := remote.Image(from, remote.WithContext(ctx))
	if err != nil {
		return "", err
	}
	digest, err := pushed.Digest()
	if err != nil {
		return "", err
	}
	return digest.String(), errors.Join(remote.Write(to, pushed, remote.WithContext(ctx)))
}
