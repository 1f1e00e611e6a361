package installer

import (
	"bufio"
	"context"
	"errors"
	"io"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// console is a terminal of lines.
type console struct {
	io.Writer
	ctx   context.Context
	in    *os.File
	lines chan line
}

type line struct {
	text string
	err  error
}

// NewTerminal makes a terminal of an input and an output, which may be no terminals.
// When ctx ends, the input does. It reads ahead; nobody else may read from the input
// any more.
func NewTerminal(ctx context.Context, in *os.File, out io.Writer) Terminal {
	c := &console{Writer: out, ctx: ctx, in: in, lines: make(chan line)}
	go c.read()
	return c
}

func (c *console) read() {
	defer close(c.lines)
	r := bufio.NewReader(c.in)
	for {
		text, err := r.ReadString('\n')
		if text != "" && errors.Is(err, io.EOF) {
			err = nil // the next one is the end
		}
		select {
		case c.lines <- line{strings.TrimRight(text, "\r\n"), err}:
		case <-c.ctx.Done():
			return
		}
		if err != nil {
			return
		}
	}
}

func (c *console) ReadLine(question string) (string, error) {
	if _, err := io.WriteString(c, question); err != nil {
		return "", err
	}
	select {
	case l, ok := <-c.lines:
		if !ok {
			l.err = io.EOF
		}
		if l.err != nil {
			_, _ = io.WriteString(c, "\n")
		}
		return l.text, l.err
	case <-c.ctx.Done():
		_, _ = io.WriteString(c, "\n")
		return "", io.EOF
	}
}

func (c *console) ReadSecret(question string) (string, error) {
	fd := int(c.in.Fd())
	old, err := unix.IoctlGetTermios(fd, unix.TCGETS)
	if err != nil { // not a terminal: nothing is shown
		return c.ReadLine(question)
	}
	hidden := *old
	hidden.Lflag &^= unix.ECHO
	if err := unix.IoctlSetTermios(fd, unix.TCSETS, &hidden); err != nil {
		return "", err
	}
	text, err := c.ReadLine(question)
	if err == nil {
		_, err = io.WriteString(c, "\n") // that of the answer was not shown
	}
	return text, errors.Join(err, unix.IoctlSetTermios(fd, unix.TCSETS, old))
}
