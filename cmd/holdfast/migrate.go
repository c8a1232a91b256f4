package main

import (
	"encoding/json"
	"fmt"
	"os"
	"time"

	"github.com/schollz/progressbar/v3"
	"github.com/urfave/cli/v2"
	"golang.org/x/term"

	"holdfast/gateway"
	"holdfast/gateway/transfer"
)

func migrateCommand() *cli.Command {
	return &cli.Command{
		Name:  "migrate",
		Usage: "import a configuration directory into Redis",
		Description: "Reads config.json, provider_pools.json, the token files and everything else in the directory.\n" +
			"Run again at any time: what is there already is skipped, what differs is refused by name.\n\n" +
			"Example: holdfast migrate --config-dir ./configs --redis-url redis://localhost:6379 --verify",
		Flags: append([]cli.Flag{
			&cli.StringFlag{Name: "config-dir", Value: "./configs", Usage: "source `DIR`", EnvVars: []string{"HOLDFAST_CONFIG_DIR"}},
			&cli.BoolFlag{Name: "verify", Usage: "afterwards, compare all content, tokens included"},
		}, transferFlags("replace what differs in Redis, and remove what the files do not have")...),
		Action: orJSON(runMigrate),
	}
}

func runMigrate(c *cli.Context) error {
	dir := c.String("config-dir")
	client, opts, err := transferClient(c)
	if err != nil {
		return err
	}
	defer client.Close()
	show := newDisplay(c, dir, opts.String(), opts.KeyPrefix)
	rep, err := transfer.Migrate(c.Context, transfer.MigrateConfig{
		Client: client, Prefix: opts.KeyPrefix, Dir: dir,
		Audit: auditor(), DryRun: c.Bool("dry-run"), Force: c.Bool("force"), Verify: c.Bool("verify"),
		Plan: show.plan, Progress: show.progress,
	})
	return show.result(rep, err, func() { transfer.PrintMigrated(c.App.Writer, rep) })
}

// auditor judges by what the gateway of this binary does.
func auditor() *transfer.Auditor {
	pairs := func(list []gateway.Unused) (out [][2]string) {
		for _, u := range list {
			out = append(out, [2]string{u.Field, u.Instead})
		}
		return out
	}
	return &transfer.Auditor{
		Settings: func(config []byte) [][2]string { return pairs(gateway.UnusedSettings(config)) },
		Fields:   func(entry []byte) [][2]string { return pairs(gateway.UnusedAccountFields(entry)) },
		Enabled:  gateway.EnabledTypes, Account: gateway.Verdict,
	}
}

// result ends the display with what came out, and gives the exit code. done
// prints the end of a run that was not stopped.
func (d *display) result(rep *transfer.Report, err error, done func()) error {
	if d.bar != nil {
		_ = d.bar.Finish()
	}
	switch {
	case rep == nil:
		return failed(err)
	case d.c.Bool("json"):
		return d.json(rep, err)
	}
	transfer.PrintTable(d.c.App.Writer, rep)
	if err == nil {
		done()
	} else {
		transfer.PrintStopped(d.c.App.Writer, rep)
	}
	return exitFor(rep, err)
}

// exitFor is the exit code of a transfer: 1 stopped, 3 done but for some items.
func exitFor(rep *transfer.Report, err error) error {
	switch {
	case err != nil:
		return failed(err)
	case rep.Troubles() > 0:
		return cli.Exit(fmt.Sprintf("%d items failed or were refused", rep.Troubles()), 3)
	}
	return nil
}

func failed(err error) error {
	if err == nil {
		return nil
	}
	return cli.Exit(err.Error(), 1)
}

// json writes the report as one JSON document.
func (d *display) json(rep *transfer.Report, err error) error {
	out := struct {
		*transfer.Report
		Error string `json:"error,omitempty"`
	}{Report: rep}
	if out.Items == nil {
		out.Items = []transfer.Item{}
	}
	if err != nil {
		out.Error = err.Error()
	}
	enc := json.NewEncoder(d.c.App.Writer)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	if werr := enc.Encode(out); werr != nil {
		return failed(werr)
	}
	return exitFor(rep, err)
}

func isRegular(name string) bool {
	st, err := os.Stat(name)
	return err == nil && st.Mode().IsRegular()
}

// display shows the plan and the progress: a bar on a terminal, else a line now
// and then. With --json only the result is printed.
type display struct {
	c                *cli.Context
	from, to, prefix string
	bar              *progressbar.ProgressBar
	total            int
	next             time.Time // of the next line; zero for no lines
}

// progressEvery is the time between two lines of progress.
const progressEvery = 5 * time.Second

func newDisplay(c *cli.Context, from, to, prefix string) *display {
	return &display{c: c, from: from, to: to, prefix: prefix}
}

func (d *display) plan(r *transfer.Report) {
	if d.c.Bool("json") {
		return
	}
	transfer.PrintPlan(d.c.App.Writer, d.from, d.to, d.prefix, r)
	d.total = r.Total()
	switch {
	case r.DryRun:
	case term.IsTerminal(int(os.Stderr.Fd())):
		d.bar = progressbar.NewOptions(d.total, progressbar.OptionSetWriter(os.Stderr),
			progressbar.OptionShowCount(), progressbar.OptionClearOnFinish())
	default:
		d.next = time.Now().Add(progressEvery)
	}
}

func (d *display) progress(done int) {
	done = min(done, d.total)
	switch {
	case d.bar != nil:
		_ = d.bar.Set(done)
	case !d.next.IsZero() && !time.Now().Before(d.next):
		fmt.Fprintf(d.c.App.Writer, "%d of %d items\n", done, d.total)
		d.next = time.Now().Add(progressEvery)
	}
}
