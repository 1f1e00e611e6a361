package vm_test

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/bootc-go/bootc/test/vm"
)

var (
	enabled = flag.Bool("vm", false, "boot virtual machines (needs root and the packages of hack/setup)")
	keep    = flag.Bool("keep", false, "keep the disks of tests that passed")
)

// initramfses are the kinds of image that the stories are told of.
var initramfses = []string{vm.Dracut, vm.InitramfsTools}

var (
	begin = time.Now()
	// The lab is opened by the first story and closed at the end.
	theLab     = sync.OnceValues(func() (*vm.Lab, error) { return vm.Open(background, vm.Options{Name: "vm", Log: say}) })
	opened     bool
	ending     context.CancelFunc
	background context.Context
)

func TestMain(m *testing.M) {
	flag.Parse()
	background, ending = signal.NotifyContext(context.Background(), os.Interrupt, unix.SIGTERM)
	code := m.Run()
	ending()
	if opened {
		if lab, err := theLab(); err == nil {
			lab.Close()
		}
	}
	os.Exit(code)
}

// say prints a line with the time since the start.
func say(line string) {
	fmt.Printf("[%4.0fs] %s\n", time.Since(begin).Seconds(), line)
}
