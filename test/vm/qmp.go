package vm

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"regexp"
	"strconv"
	"syscall"
	"time"
)

// qmp is QEMU's control socket.
type qmp struct {
	conn net.Conn
	r    *bufio.Reader

	ended chan struct{} // closed when QEMU has said its last word
	reset bool          // QEMU ended because the guest rebooted; valid when ended is closed
}

// dialQMP connects as soon as QEMU listens.
func dialQMP(ctx context.Context, path string, exited <-chan struct{}) (*qmp, error) {
	for {
		conn, err := net.Dial("unix", path)
		if err == nil {
			q := &qmp{conn: conn, r: bufio.NewReader(conn)}
			if err := q.hello(); err != nil {
				conn.Close()
				return nil, err
			}
			return q, nil
		}
		select {
		case <-exited:
			return nil, errors.New("qemu ended at once")
		default:
		}
		if err := pause(ctx, 20*time.Millisecond); err != nil {
			return nil, fmt.Errorf("waiting for qemu: %w", err)
		}
	}
}

func (q *qmp) hello() error {
	if err := q.conn.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		return err
	}
	if _, err := q.r.ReadBytes('\n'); err != nil {
		return fmt.Errorf("reading qemu's greeting: %w", err)
	}
	_, err := q.execute("qmp_capabilities", nil)
	return err
}

// execute runs a command and returns its answer; events are skipped.
func (q *qmp) execute(command string, args any) (json.RawMessage, error) {
	if err := q.conn.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		return nil, err
	}
	request := map[string]any{"execute": command}
	if args != nil {
		request["arguments"] = args
	}
	if err := json.NewEncoder(q.conn).Encode(request); err != nil {
		return nil, err
	}
	for {
		line, err := q.r.ReadBytes('\n')
		if err != nil {
			return nil, fmt.Errorf("asking qemu for %s: %w", command, err)
		}
		var answer struct {
			Return json.RawMessage `json:"return"`
			Error  *struct{ Desc string }
		}
		if err := json.Unmarshal(line, &answer); err != nil {
			return nil, err
		}
		if answer.Error != nil {
			return nil, fmt.Errorf("qemu refuses %s: %s", command, answer.Error.Desc)
		}
		if answer.Return != nil {
			return answer.Return, nil
		}
	}
}

var forwarded = regexp.MustCompile(`TCP\[HOST_FORWARD\]\s+\d+\s+127\.0\.0\.1\s+(\d+)\s`)

// forwardedPort asks which port of the host QEMU chose for the guest's SSH.
func (q *qmp) forwardedPort() (int, error) {
	answer, err := q.execute("human-monitor-command", map[string]string{"command-line": "info usernet"})
	if err != nil {
		return 0, err
	}
	var text string
	if err := json.Unmarshal(answer, &text); err != nil {
		return 0, err
	}
	found := forwarded.FindStringSubmatch(text)
	if found == nil {
		return 0, fmt.Errorf("no forwarded port in %q", text)
	}
	return strconv.Atoi(found[1])
}

// watch reads what QEMU says by itself, to its end. No more commands can be
// executed.
func (q *qmp) watch() error {
	if err := q.conn.SetDeadline(time.Time{}); err != nil {
		return err
	}
	q.ended = make(chan struct{})
	go func() {
		defer close(q.ended)
		for {
			line, err := q.r.ReadBytes('\n')
			if err != nil {
				return
			}
			var event struct {
				Event string
				Data  struct{ Reason string }
			}
			if json.Unmarshal(line, &event) == nil && event.Event == "SHUTDOWN" {
				q.reset = event.Data.Reason == "guest-reset"
			}
		}
	}()
	return nil
}

func (q *qmp) close() {
	if q != nil {
		q.conn.Close()
	}
}

// dieWithParent makes the kernel end a program when the lab's process ends,
// however that happens.
func dieWithParent() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
}
