// Command bootc deploys and updates an operating system that is a container
// image. See bootc(8).
package main

import (
	"context"
	"os"
	"os/signal"

	"github.com/sirupsen/logrus"
	"go.podman.io/storage/pkg/reexec"
	"golang.org/x/sys/unix"

	"github.com/bootc-go/bootc/internal/front/cli"
)

// version is set by the linker.
var version = "0.1.0-dev"

func main() {
	if reexec.Init() { // containers-storage runs itself for some layers
		return
	}
	cli.BoundGarbage()
	logrus.SetLevel(logrus.ErrorLevel) // go.podman.io logs what our errors and notices say
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, unix.SIGTERM)
	context.AfterFunc(ctx, stop) // the second signal ends it at once
	app := &cli.App{Version: version, Stdout: os.Stdout, Stderr: os.Stderr}
	status := app.Run(ctx, os.Args)
	stop()
	os.Exit(status)
}
