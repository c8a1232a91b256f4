package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/urfave/cli/v2"

	"holdfast/gateway/store"
)

// transferTimeout is how long one answer may take: the end of a unit with
// 100,000 accounts takes a server longer than the second that an ordinary
// command may.
const transferTimeout = 2 * time.Minute

// transferFlags are the flags that migrate, export and init share.
func transferFlags(force string) []cli.Flag {
	return append(redisFlags("a Redis or a proxy (default: redis://localhost:6379)"),
		&cli.BoolFlag{Name: "dry-run", Usage: "write nothing, show what would happen"},
		&cli.BoolFlag{Name: "force", Usage: force},
		&cli.BoolFlag{Name: "json", Usage: "print the result as JSON"},
	)
}

// namedIn is the --config-dir of the tools that read nothing else from it.
func namedIn() cli.Flag {
	return &cli.StringFlag{Name: "config-dir", Value: "./configs", Usage: "`DIR` whose config.json may name the Redis", EnvVars: []string{"HOLDFAST_CONFIG_DIR"}}
}

// transferClient connects by flags, environment, the config.json in --config-dir
// and defaults. Whether Redis is switched on does not matter: one migrates first.
func transferClient(c *cli.Context) (redis.UniversalClient, store.Options, error) {
	if c.NArg() > 0 {
		return nil, store.Options{}, cli.Exit(fmt.Sprintf("unexpected argument %q: this command takes flags only", c.Args().First()), exitUsage)
	}
	if c.IsSet("config-dir") && c.Command.Name != "migrate" { // migrate reports on it itself
		if err := checkDir(c.String("config-dir")); err != nil {
			return nil, store.Options{}, cli.Exit(err.Error(), exitUsage)
		}
	}
	opts, err := resolveRedis(c, c.String("config-dir"), fileValues{})
	if err != nil {
		return nil, opts, cli.Exit(err.Error(), exitUsage)
	}
	opts.CommandTimeout = max(opts.CommandTimeout, transferTimeout)
	client, err := opts.Client()
	if err != nil {
		return nil, opts, cli.Exit(err.Error(), exitUsage)
	}
	if err := client.Ping(c.Context).Err(); err != nil {
		_ = client.Close()
		return nil, opts, cli.Exit(fmt.Sprintf("connect to %s: %v; %s", opts, err, remedy(err)), exitFailed)
	}
	return client, opts, nil
}

// remedy is what to do about a Redis that cannot be talked to.
func remedy(err error) string {
	var dial *net.OpError
	if errors.As(err, &dial) || errors.Is(err, os.ErrDeadlineExceeded) {
		return "is a Redis or a proxy running there? Name another one with --redis-url or REDIS_URL"
	}
	for _, prefix := range []string{"NOAUTH", "WRONGPASS", "ERR AUTH"} {
		if redis.HasErrorPrefix(err, prefix) {
			return "give user and password in --redis-url or REDIS_URL, or the password in REDIS_PASSWORD"
		}
	}
	return "check --redis-url or REDIS_URL"
}

// orJSON makes a command that was asked for JSON print some even where it
// stopped before it had a result.
func orJSON(run cli.ActionFunc) cli.ActionFunc {
	return func(c *cli.Context) error {
		w := &noticing{Writer: c.App.Writer}
		c.App.Writer = w
		err := run(c)
		if err != nil && c.Bool("json") && !w.written {
			enc := json.NewEncoder(w)
			enc.SetEscapeHTML(false)
			_ = enc.Encode(map[string]string{"error": err.Error()}) // the error itself says it all
		}
		return err
	}
}

// noticing is a writer that notices whether anything was written.
type noticing struct {
	io.Writer
	written bool
}

func (n *noticing) Write(b []byte) (int, error) {
	n.written = true
	return n.Writer.Write(b)
}
