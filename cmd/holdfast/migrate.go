package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/schollz/progressbar/v3"
	"github.com/urfave/cli/v2"
	"golang.org/x/term"

	"holdfast/gateway/store"
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
		Action: runMigrate,
	}
}

func runMigrate(c *cli.Context) error {
	dir := c.String("config-dir")
	var config []byte // only for its "redis" block; migrate itself reports on the file
	if name := filepath.Join(dir, "config.json"); isRegular(name) {
		config, _ = os.ReadFile(name)
	}
	client, opts, err := transferClient(c, config)
	if err != nil {
		return err
	}
	defer client.Close()
	show := newDisplay(c, dir, opts.String())
	rep, err := transfer.Migrate(c.Context, transfer.MigrateConfig{
		Client: client, Prefix: opts.KeyPrefix, Dir: dir,
		DryRun: c.Bool("dry-run"), Force: c.Bool("force"), Verify: c.Bool("verify"),
		Plan: show.plan, Progress: show.progress,
	})
	show.end()
	if rep == nil {
		return failed(err)
	}
	if c.Bool("json") {
		return show.json(rep, err)
	}
	transfer.PrintTable(c.App.Writer, rep)
	if err == nil {
		transfer.PrintMigrated(c.App.Writer, rep)
	} else {
		transfer.PrintStopped(c.App.Writer, rep)
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

// transferTimeout is how long one answer may take: the end of a unit with
// 100,000 accounts takes a server longer than the second that an ordinary
// command may.
const transferTimeout = 2 * time.Minute

// transferFlags are the flags that migrate, export and init share.
func transferFlags(force string) []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "redis-url", Usage: "`URL` of a Redis or a proxy (default: REDIS_URL, REDIS_HOST …, config.json, redis://localhost:6379)"},
		&cli.StringFlag{Name: "key-prefix", Usage: "`PREFIX` of all keys (default: REDIS_KEY_PREFIX, config.json, aiclient:)"},
		&cli.BoolFlag{Name: "dry-run", Usage: "write nothing, show what would happen"},
		&cli.BoolFlag{Name: "force", Usage: force},
		&cli.BoolFlag{Name: "json", Usage: "print the result as JSON"},
	}
}

// transferClient connects by flags, environment, config.json and defaults.
func transferClient(c *cli.Context, configJSON []byte) (redis.UniversalClient, store.Options, error) {
	if c.NArg() > 0 {
		return nil, store.Options{}, cli.Exit(fmt.Sprintf("unexpected argument %q: this command takes flags only", c.Args().First()), 2)
	}
	src := store.Sources{FlagURL: c.String("redis-url"), Getenv: os.Getenv, ConfigJSON: configJSON}
	if c.IsSet("key-prefix") {
		prefix := c.String("key-prefix")
		src.FlagPrefix = &prefix
	}
	opts, err := store.Resolve(src)
	if err != nil {
		return nil, opts, cli.Exit(err.Error(), 2)
	}
	opts.CommandTimeout = max(opts.CommandTimeout, transferTimeout)
	client, err := opts.Client()
	if err != nil {
		return nil, opts, cli.Exit(err.Error(), 2)
	}
	if err := client.Ping(c.Context).Err(); err != nil {
		_ = client.Close()
		return nil, opts, cli.Exit(fmt.Sprintf("connect to %s: %v", opts, err), 1)
	}
	return client, opts, nil
}

// display shows the plan and the progress: a bar on a terminal, nothing
// otherwise. With --json only the result is printed.
type display struct {
	c        *cli.Context
	from, to string
	bar      *progressbar.ProgressBar
}

func newDisplay(c *cli.Context, from, to string) *display {
	return &display{c: c, from: from, to: to}
}

func (d *display) plan(r *transfer.Report) {
	if d.c.Bool("json") {
		return
	}
	transfer.PrintPlan(d.c.App.Writer, d.from, d.to, r)
	if !r.DryRun && term.IsTerminal(int(os.Stderr.Fd())) {
		d.bar = progressbar.NewOptions(r.Total(), progressbar.OptionSetWriter(os.Stderr),
			progressbar.OptionShowCount(), progressbar.OptionClearOnFinish())
	}
}

func (d *display) progress(done int) {
	if d.bar != nil {
		_ = d.bar.Set(min(done, d.bar.GetMax()))
	}
}

func (d *display) end() {
	if d.bar != nil {
		_ = d.bar.Finish()
	}
}
