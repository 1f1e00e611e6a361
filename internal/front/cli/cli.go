// Package cli is bootc's command line. It parses arguments, calls one action a
// verb, and prints.
//
// The rules of its output:
//   - what a verb has found or done goes to stdout, one fact a line;
//   - an error is one line on stderr, "error: " and the chain as one sentence,
//     without a capital at the start and without a period at the end;
//   - progress goes to stderr, and only there; --quiet drops it;
//   - advice on an error stands in errors.go and nowhere else;
//   - an option of upstream's that is not there yet is refused by name, never
//     ignored.
package cli

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"
)

// An App is what a command needs of the world.
type App struct {
	Version        string
	Stdout, Stderr io.Writer
}

// Run runs the command line and returns the exit status: 0, 1 for an error, 2
// for wrong arguments, or 1 where the command stands in for a program that does
// so.
func (a *App) Run(ctx context.Context, argv []string) int {
	name, args := dispatch(argv)
	root := a.command()
	root.SetArgs(append(name, args...))
	root.SetOut(a.Stdout)
	root.SetErr(a.Stderr)
	started := false
	onStart(root, func() { started = true })
	cmd, err := root.ExecuteContextC(ctx)
	if err == nil {
		return 0
	}
	if started {
		fmt.Fprintln(a.Stderr, "error: "+message(err))
		return 1
	}
	fmt.Fprintf(a.Stderr, "error: %s\n\n%s\nFor more information, try '%s --help'.\n", err, usageLine(cmd), cmd.CommandPath())
	if cmd.Annotations[statusOfUsage] == "1" {
		return 1
	}
	return 2
}

// onStart calls f when a command begins its work: all arguments are right then.
func onStart(cmd *cobra.Command, f func()) {
	if run := cmd.RunE; run != nil {
		cmd.RunE = func(cmd *cobra.Command, args []string) error {
			f()
			return run(cmd, args)
		}
	}
	for _, c := range cmd.Commands() {
		onStart(c, f)
	}
}

// dispatch looks at the name under which the program was called.
func dispatch(argv []string) (verb, args []string) {
	if len(argv) == 0 {
		return nil, nil
	}
	switch filepath.Base(argv[0]) {
	case "bootc-systemd-generator":
		return []string{"internals", "systemd-generator"}, argv[1:]
	case "bootc-eject-medium":
		return []string{"internals", "installer", "eject"}, argv[1:]
	case "mkcomposefs", "composefs-info":
		return []string{"internals", filepath.Base(argv[0])}, argv[1:]
	}
	return nil, argv[1:]
}

func usageLine(cmd *cobra.Command) string { return "Usage: " + cmd.UseLine() }

func (a *App) command() *cobra.Command {
	root := &cobra.Command{
		Use:           "bootc",
		Short:         "Deploy and update an operating system that is a container image",
		Long:          "bootc deploys and transparently updates a machine whose operating system is a\nbootable container image. See bootc(8).",
		Version:       a.Version,
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return cmd.Help()
		},
	}
	root.SetVersionTemplate("bootc {{.Version}}\n")
	root.CompletionOptions.HiddenDefaultCmd = true
	root.AddCommand(
		a.upgradeCommand(), a.switchCommand(), a.rollbackCommand(), a.statusCommand(), a.fsckCommand(),
		a.installCommand(), a.buildDiskCommand(), a.finalizeCommand(), a.configDiffCommand(), a.containerCommand(), a.internalsCommand(),
	)
	for _, c := range a.missingCommands() {
		root.AddCommand(c)
	}
	return root
}

// missingCommands are verbs of upstream's that are not there yet. They exist
// so that calling one says so.
func (a *App) missingCommands() []*cobra.Command {
	var all []*cobra.Command
	for _, name := range []string{"edit", "usr-overlay", "image", "loader-entries", "delete-deployment", "state", "exec-in-host-mount-namespace"} {
		all = append(all, missing(name))
	}
	return all
}

func missing(name string) *cobra.Command {
	return &cobra.Command{
		Use: name, Hidden: true, DisableFlagParsing: true, Short: "Not supported yet",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return fmt.Errorf("%q is not supported yet", cmd.CommandPath())
		},
	}
}

// refuse adds options that upstream has and we do not have yet; using one is
// an error that names it.
func refuse(cmd *cobra.Command, flags ...string) {
	for _, f := range flags {
		cmd.Flags().Var(refused(f), f, "not supported yet")
		cmd.Flags().Lookup(f).Hidden = true
		cmd.Flags().Lookup(f).NoOptDefVal = "yes"
	}
}

type refused string

func (r refused) String() string   { return "" }
func (r refused) Type() string     { return "string" }
func (r refused) Set(string) error { return fmt.Errorf("this option is not supported yet") }

// A choice is the value of an option that is one of a few words.
type choice struct {
	value *string
	of    []string
}

func (c *choice) String() string { return "" }

// Type names the value in --help.
func (c *choice) Type() string { return "string" }

// Set takes one of the words.
func (c *choice) Set(s string) error {
	if !slices.Contains(c.of, s) {
		return fmt.Errorf("want one of %s", strings.Join(c.of, ", "))
	}
	*c.value = s
	return nil
}

// readFile reads the file of an option; "-" is standard input.
func readFile(option, name string) ([]byte, error) {
	if name == "-" {
		return io.ReadAll(os.Stdin)
	}
	data, err := os.ReadFile(name)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", option, err)
	}
	return data, nil
}
