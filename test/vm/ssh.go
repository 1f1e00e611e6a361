package vm

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"
)

// A Result is what a command in a guest gave.
type Result struct {
	Command        string
	Stdout, Stderr string
	Exit           int
}

// Failed turns a result other than 0 into an error.
func (r Result) Failed() error {
	if r.Exit == 0 {
		return nil
	}
	return fmt.Errorf("%q: exit status %d: %s", r.Command, r.Exit, strings.TrimSpace(r.Stderr+r.Stdout))
}

// Run runs a command in the guest, as root by the shell, and waits for it. The
// error is about reaching the guest; how the command went is in the result.
func (m *Machine) Run(ctx context.Context, command string) (Result, error) {
	return m.RunInput(ctx, command, nil, nil)
}

// RunInput is Run with a standard input, and with a writer that gets what the
// command prints as it comes. Either may be nil.
func (m *Machine) RunInput(ctx context.Context, command string, in io.Reader, live io.Writer) (Result, error) {
	r := Result{Command: command}
	if m.client == nil {
		return r, fmt.Errorf("running %q: machine %s is off", command, m.name)
	}
	session, err := m.client.NewSession()
	if err != nil {
		return r, fmt.Errorf("running %q: %w", command, err)
	}
	defer session.Close()
	var stdout, stderr bytes.Buffer
	session.Stdin, session.Stdout, session.Stderr = in, &stdout, &stderr
	if live != nil {
		session.Stdout, session.Stderr = &tee{&stdout, live}, &tee{&stderr, live}
	}
	if err := session.Start(command); err != nil {
		return r, fmt.Errorf("running %q: %w", command, err)
	}
	done := make(chan error, 1)
	go func() { done <- session.Wait() }()
	select {
	case <-ctx.Done():
		return r, fmt.Errorf("running %q: %w", command, context.Cause(ctx))
	case <-m.exited:
		return r, fmt.Errorf("running %q: the machine went off", command)
	case err = <-done:
	}
	r.Stdout, r.Stderr = stdout.String(), stderr.String()
	var exit *ssh.ExitError
	if errors.As(err, &exit) {
		r.Exit = exit.ExitStatus()
		return r, nil
	}
	if err != nil {
		return r, fmt.Errorf("running %q: %w", command, err)
	}
	return r, nil
}

// WriteFile writes a file in the guest.
func (m *Machine) WriteFile(ctx context.Context, path, data string) error {
	r, err := m.RunInput(ctx, "cat > '"+path+"'", strings.NewReader(data), nil)
	if err != nil {
		return err
	}
	return r.Failed()
}

// dial waits until the guest answers by SSH as a boot other than the given one,
// and returns which boot it is.
func (m *Machine) dial(ctx context.Context, notBoot string) (string, error) {
	config := &ssh.ClientConfig{
		User: "root",
		Auth: []ssh.AuthMethod{ssh.PublicKeys(m.lab.signer)},
		// The guest made its key a moment ago; the way to it is the loopback.
		HostKeyCallback: ssh.InsecureIgnoreHostKey(),
	}
	var refused error
	for {
		select {
		case <-ctx.Done():
			return "", fmt.Errorf("waiting for machine %s to answer: %w (last: %v)", m.name, context.Cause(ctx), refused)
		case <-m.exited:
			if err := m.switchedOff(ctx); err != nil {
				return "", fmt.Errorf("waiting for an answer: %w", err)
			}
		default:
		}
		if line := m.serial.failed(); line != "" && !m.MayFail {
			return "", fmt.Errorf("machine %s does not boot: %s", m.name, line)
		}
		client, err := connect(fmt.Sprintf("127.0.0.1:%d", m.port), config)
		if err == nil {
			m.client = client
			r, runErr := m.Run(ctx, "cat /proc/sys/kernel/random/boot_id")
			boot := strings.TrimSpace(r.Stdout)
			if runErr == nil && r.Exit == 0 && boot != "" && boot != notBoot {
				return boot, nil
			}
			client.Close()
			m.client = nil
			err = runErr
		}
		refused = err
		if err := pause(ctx, 300*time.Millisecond); err != nil {
			continue
		}
	}
}

// connect makes one attempt. QEMU accepts for the guest, and a guest that is
// not there yet says nothing: hence a short deadline for the first byte, and a
// long one for the rest, which an emulated processor takes its time for.
func connect(addr string, config *ssh.ClientConfig) (*ssh.Client, error) {
	conn, err := net.DialTimeout("tcp", addr, 5*time.Second)
	if err != nil {
		return nil, err
	}
	client, err := handshake(conn, addr, config)
	if err != nil {
		conn.Close()
	}
	return client, err
}

func handshake(conn net.Conn, addr string, config *ssh.ClientConfig) (*ssh.Client, error) {
	if err := conn.SetDeadline(time.Now().Add(3 * time.Second)); err != nil {
		return nil, err
	}
	r := bufio.NewReader(conn)
	if _, err := r.Peek(1); err != nil {
		return nil, err
	}
	if err := conn.SetDeadline(time.Now().Add(60 * time.Second)); err != nil {
		return nil, err
	}
	c, chans, reqs, err := ssh.NewClientConn(peeked{conn, r}, addr, config)
	if err != nil {
		return nil, err
	}
	if err := conn.SetDeadline(time.Time{}); err != nil {
		return nil, err
	}
	return ssh.NewClient(c, chans, reqs), nil
}

// peeked is a connection of which some was read ahead.
type peeked struct {
	net.Conn
	r io.Reader
}

func (p peeked) Read(b []byte) (int, error) { return p.r.Read(b) }
