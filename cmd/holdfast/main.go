// Command holdfast is the Redis sidecar, its AI gateway and their tools in one
// binary. This package only wires the others together.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime/debug"

	"github.com/redis/go-redis/v9/logging"
	"github.com/urfave/cli/v2"
)

// version is set by release builds with -ldflags "-X main.version=…".
var version = "dev"

// Exit codes, the same for every command.
const (
	exitFailed = 1
	exitUsage  = 2
)

func init() {
	// go-redis prints every failed dial; an outage is one line of our own log.
	logging.Disable()
}

func main() { os.Exit(run(context.Background(), os.Args, os.Stdout, os.Stderr)) }

// run executes one command line and returns the exit code.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	return runApp(ctx, newApp(stdout, stderr), args, stderr)
}

func runApp(ctx context.Context, app *cli.App, args []string, stderr io.Writer) int {
	err := app.RunContext(ctx, args)
	if err == nil {
		return 0
	}
	if msg := err.Error(); msg != "" {
		fmt.Fprintln(stderr, "holdfast:", msg)
	}
	var coder cli.ExitCoder
	if errors.As(err, &coder) {
		return coder.ExitCode()
	}
	return exitFailed
}

func newApp(stdout, stderr io.Writer) *cli.App {
	return &cli.App{
		Name:    "holdfast",
		Usage:   "a Redis sidecar that does not let go: local cached reads, and writes that survive Redis's death",
		Version: buildVersion(),
		Writer:  stdout, ErrWriter: stderr,
		HideHelpCommand:           true,
		EnableBashCompletion:      true,
		DisableSliceFlagSeparator: false,
		OnUsageError:              usageError,
		ExitErrHandler:            func(*cli.Context, error) {}, // run prints and maps errors
		CommandNotFound: func(c *cli.Context, name string) {
			fmt.Fprintf(c.App.ErrWriter, "holdfast: unknown command %q; 'holdfast --help' lists them\n", name)
		},
		Commands: withUsageErrors([]*cli.Command{
			upCommand(), proxyCommand(), gatewayCommand(), migrateCommand(), exportCommand(), initCommand(),
			statusCommand(), journalCommand(), passwdCommand(), cliCommand(),
		}),
		Action: func(c *cli.Context) error {
			if c.Args().Present() {
				return cli.Exit(fmt.Sprintf("unknown command %q; 'holdfast --help' lists them", c.Args().First()), exitUsage)
			}
			return cli.ShowAppHelp(c)
		},
	}
}

// withUsageErrors makes wrong flags end with the exit code for wrong usage.
func withUsageErrors(commands []*cli.Command) []*cli.Command {
	for _, c := range commands {
		c.OnUsageError = usageError
		c.HideHelpCommand = true
		withUsageErrors(c.Subcommands)
	}
	return commands
}

func usageError(c *cli.Context, err error, _ bool) error {
	name := c.App.Name
	if c.Command != nil && c.Command.Name != "" && c.Command.Name != name {
		name += " " + c.Command.Name
	}
	return cli.Exit(fmt.Sprintf("%v; see '%s --help'", err, name), exitUsage)
}

// buildVersion is the release version or what the Go tool recorded.
func buildVersion() string {
	if version != "dev" {
		return version
	}
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" && len(s.Value) >= 12 {
				return "dev-" + s.Value[:12]
			}
		}
	}
	return version
}
