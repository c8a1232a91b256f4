package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/urfave/cli/v2"

	"holdfast/fallback"
)

// firstLook is how long the ready line waits for the first connection to Redis,
// so that it can tell the mode; the listener answers before that already.
const firstLook = 3 * time.Second

func proxyCommand() *cli.Command {
	return &cli.Command{
		Name:  "proxy",
		Usage: "the Redis proxy alone",
		Description: "Without --redis-url it is an embedded, durable store.\n\n" +
			"Example: holdfast proxy --redis-url redis://127.0.0.1:6379\n         redis-cli -p 6380 INCR visits",
		Flags:  proxyFlags(),
		Action: runProxy,
	}
}

func env(name string) []string {
	return []string{"HOLDFAST_" + strings.ToUpper(strings.ReplaceAll(name, "-", "_"))}
}

func proxyFlags() []cli.Flag {
	str := func(name, value, usage string) cli.Flag {
		return &cli.StringFlag{Name: name, Value: value, Usage: usage, EnvVars: env(name)}
	}
	list := func(name, value, usage string) cli.Flag {
		f := &cli.StringSliceFlag{Name: name, Usage: usage, EnvVars: env(name)}
		if value != "" {
			f.Value = cli.NewStringSlice(value)
		}
		return f
	}
	dur := func(name string, value time.Duration, usage string) cli.Flag {
		return &cli.DurationFlag{Name: name, Value: value, Usage: usage, EnvVars: env(name)}
	}
	return []cli.Flag{
		str("config", "", "YAML or JSON `FILE` with these settings; its keys are the names of these flags"),
		list("listen", "127.0.0.1:6380", "`ADDRESS` for Redis clients, host:port or unix:/path; repeatable"),
		str("admin", "127.0.0.1:9380", "`ADDRESS` for probes, metrics and status over HTTP; 'off' for none"),
		&cli.StringFlag{Name: "redis-url", Usage: "the real Redis: redis://, rediss://, unix:// or redis-sentinel:// `URL`; none = embedded store", EnvVars: []string{"REDIS_URL", "HOLDFAST_REDIS_URL"}},
		str("data-dir", "./holdfast-data", "`DIR` for journal and snapshot"),
		str("requirepass", "", "password that clients must AUTH with (better given in the environment)"),
		list("user", "", "further `USER:PASSWORD` that may log in; repeatable"),
		str("tls-cert", "", "certificate `FILE`: clients have to use TLS"),
		str("tls-key", "", "private key `FILE` of the certificate"),
		str("cache-bytes", "64MB", "bound of the reply cache"),
		dur("max-age", 5*time.Minute, "longest life of a cached reply"),
		list("no-cache", "", "key `PREFIX` that is never cached; repeatable"),
		list("mirror", "aiclient:", "key `PREFIX` that is held completely, for when Redis is away; repeatable"),
		str("mirror-bytes", "256MB", "bound of the working set held beside the mirrored prefixes"),
		str("offline", "speculative", "policy while Redis is away: speculative, strict, readonly or refuse"),
		dur("max-stale", 0, "how long after Redis went away local data is served; then reads, and writes whose answer depends on old data (INCR), get STALE, while SET and the like go on; 0 = no limit"),
		str("journal-bytes", "1GB", "bound of the writes queued on disk"),
		str("conflict", "ours", "when a key changed at Redis while it was away: ours (replay the write), theirs (drop it) or dead-letter (keep it aside)"),
		&cli.BoolFlag{Name: "fence-writes", Value: true, Usage: "make writes under way when Redis dies provable, by a key {holdfast}:fence:… beside each write that must not be repeated", EnvVars: env("fence-writes")},
		dur("connect-timeout", 5*time.Second, "for connecting to Redis"),
		dur("command-timeout", time.Second, "bound for one answer"),
		&cli.IntFlag{Name: "maxclients", Value: 10000, Usage: "most clients at a time", EnvVars: env("maxclients")},
		dur("idle-timeout", 0, "close clients idle for so long; 0 = never"),
		str("config-dir", "", "configuration `DIR` to start from when there is neither Redis nor a snapshot"),
		str("log-level", "info", "debug, info, warn or error"),
		str("log-format", "text", "text or json"),
	}
}

// proxySettings is the checked form of the flags.
type proxySettings struct {
	listen         []string
	admin          string
	redisURL       string
	dataDir        string
	password       string
	users          map[string]string
	tls            *tls.Config
	cacheBytes     int64
	maxAge         time.Duration
	noCache        []string
	mirror         []string
	mirrorBytes    int64
	policy         fallback.Policy
	maxStale       time.Duration
	journalBytes   int64
	fenceWrites    bool
	conflict       fallback.Conflict
	connectTimeout time.Duration
	commandTimeout time.Duration
	maxClients     int
	idleTimeout    time.Duration
	configDir      string
	logger         *slog.Logger
}

func readProxySettings(c *cli.Context) (*proxySettings, error) {
	if c.Args().Present() {
		return nil, cli.Exit(fmt.Sprintf("unexpected argument %q: holdfast %s takes flags only", c.Args().First(), c.Command.Name), exitUsage)
	}
	if err := applyConfigFile(c); err != nil {
		return nil, err
	}
	k := &checker{}
	s := &proxySettings{
		listen: c.StringSlice("listen"), admin: c.String("admin"), redisURL: c.String("redis-url"), dataDir: c.String("data-dir"),
		password: c.String("requirepass"), cacheBytes: k.size(c, "cache-bytes"), maxAge: c.Duration("max-age"),
		noCache: c.StringSlice("no-cache"), mirror: c.StringSlice("mirror"), mirrorBytes: k.size(c, "mirror-bytes"),
		maxStale: c.Duration("max-stale"), journalBytes: k.size(c, "journal-bytes"), fenceWrites: c.Bool("fence-writes"),
		connectTimeout: c.Duration("connect-timeout"), commandTimeout: c.Duration("command-timeout"),
		maxClients: c.Int("maxclients"), idleTimeout: c.Duration("idle-timeout"), configDir: c.String("config-dir"),
	}
	var err error
	s.policy, err = fallback.ParsePolicy(c.String("offline"))
	k.add(err)
	s.conflict, err = fallback.ParseConflict(c.String("conflict"))
	k.add(err)
	s.users, err = parseUsers(c.StringSlice("user"))
	k.add(err)
	s.tls, err = loadTLS(c.String("tls-cert"), c.String("tls-key"))
	k.add(err)
	for name, d := range map[string]time.Duration{"connect-timeout": s.connectTimeout, "command-timeout": s.commandTimeout} {
		if d <= 0 {
			k.add(fmt.Errorf("--%s %v: give a positive duration such as 1s", name, d))
		}
	}
	if s.maxClients < 1 {
		k.add(fmt.Errorf("--maxclients %d: give at least 1", s.maxClients))
	}
	s.logger = newLogger(k, c)
	return s, k.err()
}

func newLogger(k *checker, c *cli.Context) *slog.Logger {
	var level slog.Level
	if err := level.UnmarshalText([]byte(c.String("log-level"))); err != nil {
		k.add(fmt.Errorf("--log-level %q: use debug, info, warn or error", c.String("log-level")))
	}
	opts := &slog.HandlerOptions{Level: level}
	if k.oneOf(c, "log-format", "text", "json") == "json" {
		return slog.New(slog.NewJSONHandler(c.App.ErrWriter, opts))
	}
	return slog.New(slog.NewTextHandler(c.App.ErrWriter, opts))
}

// parseUsers reads user:password pairs; the error shows no password.
func parseUsers(list []string) (map[string]string, error) {
	users := map[string]string{}
	for i, entry := range list {
		name, password, ok := strings.Cut(entry, ":")
		if !ok || name == "" || password == "" {
			return nil, fmt.Errorf("--user number %d is not user:password", i+1)
		}
		users[name] = password
	}
	return users, nil
}

func loadTLS(cert, key string) (*tls.Config, error) {
	if cert == "" && key == "" {
		return nil, nil
	}
	if cert == "" || key == "" {
		return nil, errors.New("--tls-cert and --tls-key belong together: give both")
	}
	pair, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		return nil, fmt.Errorf("--tls-cert, --tls-key: %w", err)
	}
	return &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}, nil
}

func runProxy(c *cli.Context) error {
	settings, err := readProxySettings(c)
	if err != nil {
		return err
	}
	stack, err := openStack(settings)
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(c.Context, os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	go func() {
		if stack.firstLook(ctx, firstLook) {
			fmt.Fprintln(c.App.ErrWriter, stack.readyLine())
		}
	}()
	return errors.Join(stack.run(ctx), stack.Close())
}
