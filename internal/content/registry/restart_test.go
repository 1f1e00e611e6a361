package registry_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/bootc-go/bootc"
)

// A process is Debian's docker-registry.
type process struct {
	t      *testing.T
	host   string
	config string
	cmd    *exec.Cmd
}

func newProcess(t *testing.T) *process {
	t.Helper()
	if _, err := exec.LookPath("docker-registry"); err != nil {
		t.Skip("needs docker-registry")
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &process{t: t, host: l.Addr().String()}
	l.Close()
	dir := t.TempDir()
	p.config = write(t, filepath.Join(dir, "config.yml"), fmt.Sprintf(`version: 0.1
log: {level: error, accesslog: {disabled: true}}
storage:
  filesystem: {rootdirectory: %s}
http: {addr: %q, secret: test}
`, filepath.Join(dir, "store"), p.host))
	p.start()
	t.Cleanup(p.kill)
	return p
}

func (p *process) start() {
	p.t.Helper()
	p.cmd = exec.Command("docker-registry", "serve", p.config)
	p.cmd.Stderr = os.Stderr
	if err := p.cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	deadline := time.Now().Add(30 * time.Second)
	for {
		r, err := http.Get("http://" + p.host + "/v2/")
		if err == nil {
			r.Body.Close()
			return
		}
		if time.Now().After(deadline) {
			p.t.Fatal(err)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

func (p *process) kill() {
	p.cmd.Process.Kill()
	p.cmd.Wait()
}

// TestRegistryRestart kills a real registry in the middle of a layer. The layer
// goes on when it is there again.
func TestRegistryRestart(t *testing.T) {
	p := newProcess(t)
	img, _, data := big(t, 32<<20) // more than the sockets hold
	s := &server{inner: p.host}
	s.push(t, "os:v1", img)
	o := options(t, p.host)
	notices := notes(&o)
	waits := 0
	o.Wait = func(ctx context.Context, _ time.Duration) error {
		if waits++; waits == 2 {
			p.start()
		}
		return ctx.Err()
	}
	got := open(t, bootc.Ref{Transport: bootc.Registry, Name: p.host + "/os:v1"}, o)
	r, err := got.OpenBlob(t.Context(), got.Layers()[0])
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	head := make([]byte, 100_000)
	if _, err := io.ReadFull(r, head); err != nil {
		t.Fatal(err)
	}
	p.kill()
	rest, err := io.ReadAll(r)
	if err != nil || !bytes.Equal(append(head, rest...), data) {
		t.Errorf("read %d bytes, %v, want %d", len(head)+len(rest), err, len(data))
	}
	if waits != 2 || !strings.Contains(strings.Join(*notices, "\n"), "going on after ") || strings.Contains(strings.Join(*notices, "\n"), "again") {
		t.Errorf("%d pauses, want 2; notices %q", waits, *notices)
	}
}
