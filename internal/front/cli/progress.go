package cli

import (
	"fmt"
	"os"
	"sync"

	"github.com/spf13/cobra"

	"github.com/bootc-go/bootc"
	"github.com/bootc-go/bootc/internal/front/progress"
)

// progressFlags are the options of verbs that take long.
type progressFlags struct {
	quiet bool
	fd    int
}

func (f *progressFlags) add(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&f.quiet, "quiet", false, "do not show progress")
	cmd.Flags().IntVar(&f.fd, "progress-fd", 0, "write progress as JSON lines to the pipe `FD`")
	cmd.Flags().MarkHidden("progress-fd")
}

// progress makes the receiver of events that the options ask for. done ends
// it and may be called again.
func (a *App) progress(f progressFlags) (p bootc.Progress, done func(), err error) {
	o := progress.Options{Out: a.Stderr, Quiet: f.quiet}
	if file, ok := a.Stderr.(*os.File); ok {
		o.Width = progress.Width(file)
	}
	if f.fd != 0 {
		if o.JSON, err = progress.OpenFD(f.fd); err != nil {
			return nil, nil, fmt.Errorf("--progress-fd: %w", err)
		}
	}
	printer := progress.New(o)
	return printer.Send, sync.OnceFunc(printer.Close), nil
}
