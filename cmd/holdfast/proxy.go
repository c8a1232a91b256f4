package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/urfave/cli/v2"

	"holdfast/backend"
	"holdfast/fallback"
	"holdfast/fallback/deadletter"
	"holdfast/gateway"
	"holdfast/proxy/front"
)

// firstLook is how long the ready line waits for the first connection to Redis,
// so that it can tell the mode; the listener answers before that already.
const firstLook = 3 * time.Second

func proxyCommand() *cli.Command {
	return &cli.Command{
		Name:  "proxy",
		Usage: "the Redis proxy alone",
		Description: "Without a Redis (--redis-url, REDIS_URL, REDIS_HOST …) it is an embedded, durable store.\n\n" +
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
	return append(redisFlags("the real Redis; none = embedded store"),
		str("config", "", "YAML or JSON `FILE` with these settings; its keys are the names of these flags"),
		list("listen", "127.0.0.1:6380", "`ADDRESS` for Redis clients, host:port or unix:/path; repeatable"),
		str("admin", "127.0.0.1:9380", "`ADDRESS` for probes, metrics and status over HTTP; 'off' for none"),
		list("admin-hosts", "", "further host `NAME` by which the admin address may be asked for, beside localhost and IP addresses; repeatable"),
		str("data-dir", "./holdfast-data", "`DIR` for journal and snapshot"),
		&cli.BoolFlag{Name: "detach", Usage: "without --redis-url, on a data directory that served a Redis: make its copy a store of its own for good", EnvVars: env("detach")},
		&cli.BoolFlag{Name: "adopt-upstream", Usage: "writes queued in the data directory for another Redis go to this one", EnvVars: env("adopt-upstream")},
		str("requirepass", "", "password that clients must AUTH with (better given in the environment)"),
		list("user", "", "further `USER:PASSWORD` that may log in; repeatable (better given in the environment)"),
		str("tls-cert", "", "certificate `FILE`: clients have to use TLS"),
		str("tls-key", "", "private key `FILE` of the certificate"),
		str("cache-bytes", "64MB", "bound of the reply cache"),
		str("max-age", "5m", "longest life of a cached reply"),
		list("no-cache", "", "key `PREFIX` that is never cached; repeatable"),
		list("mirror", "", "key `PREFIX` that is held completely, for when Redis is away; repeatable (default: the key prefix)"),
		str("mirror-bytes", "256MB", "bound of the working set held beside the mirrored prefixes"),
		str("offline", "speculative", "policy while Redis is away: speculative, strict, readonly or refuse"),
		str("max-stale", "0", "how long after Redis went away local data is served; then reads, and writes whose answer depends on old data (INCR), get STALE, while SET and the like go on; 0 = no limit"),
		str("journal-bytes", "1GB", "bound of the writes queued on disk, at least 1MB"),
		str("conflict", "ours", "when a key changed at Redis while it was away: ours (replay the write), theirs (drop it) or dead-letter (keep it aside); when an embedded store is given a Redis, values there win unless this is set"),
		&cli.BoolFlag{Name: "fence-writes", Value: true, Usage: "make writes under way when Redis dies provable, by a key {holdfast}:fence:… beside each write that must not be repeated", EnvVars: env("fence-writes")},
		str("connect-timeout", "5s", "for connecting to Redis"),
		str("command-timeout", "1s", "bound for one answer"),
		str("maxclients", "10000", "most clients at a time"),
		str("idle-timeout", "0", "close clients idle for so long; 0 = never"),
		str("config-dir", "", "configuration `DIR` to start from when there is neither Redis nor data; its config.json may name the Redis"),
		str("log-level", "info", "debug, info, warn or error"),
		str("log-format", "text", "text or json"),
	)
}

// proxySettings is the checked form of the flags.
type proxySettings struct {
	listen         []string
	admin          string
	adminHosts     []string
	redisURL       string // of the Redis, password included; "" = embedded
	noRedis        string // why there is none
	prefix         string // of the application's keys
	dataDir        string
	detach         bool
	adopt          bool // adopt-upstream
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
	conflict       deadletter.Conflict
	connectTimeout time.Duration
	commandTimeout time.Duration
	maxClients     int
	idleTimeout    time.Duration
	configDir      string
	gatewayListen  string   // of up
	gatewayHosts   []string // of up
	gatewayOrigins []string // of up
	gatewayLimits  gateway.BodyLimits
	drainTimeout   time.Duration // of up
	logger         *slog.Logger
}

func readProxySettings(c *cli.Context) (*proxySettings, error) {
	if err := flagsOnly(c, c.Command.Name); err != nil {
		return nil, err
	}
	k := &checker{}
	file := applyConfigFile(c, k)
	s := &proxySettings{
		listen: c.StringSlice("listen"), admin: c.String("admin"), adminHosts: c.StringSlice("admin-hosts"), dataDir: c.String("data-dir"), detach: c.Bool("detach"), adopt: c.Bool("adopt-upstream"),
		password: c.String("requirepass"), cacheBytes: k.size(c, "cache-bytes", 0), maxAge: k.duration(c, "max-age", false),
		noCache: c.StringSlice("no-cache"), mirror: c.StringSlice("mirror"), mirrorBytes: k.size(c, "mirror-bytes", 0),
		maxStale: k.duration(c, "max-stale", true), journalBytes: k.size(c, "journal-bytes", minJournalBytes), fenceWrites: c.Bool("fence-writes"),
		connectTimeout: k.duration(c, "connect-timeout", false), commandTimeout: k.duration(c, "command-timeout", false),
		maxClients: k.count(c, "maxclients"), idleTimeout: k.duration(c, "idle-timeout", true), configDir: c.String("config-dir"),
	}
	var err error
	s.policy, err = fallback.ParsePolicy(c.String("offline"))
	k.add(err)
	s.conflict, err = deadletter.ParseConflict(c.String("conflict"))
	k.add(err)
	if !c.IsSet("conflict") {
		s.conflict = "" // where it has to be asked for, it was not
	}
	s.users, err = parseUsers(c.StringSlice("user"))
	k.add(err)
	s.tls, err = loadTLS(c.String("tls-cert"), c.String("tls-key"))
	k.add(err)
	s.checkAddresses(k)
	s.logger = newLogger(k, c)
	if s.configDir == "" {
		s.configDir = usualConfigDir(s.logger)
	}
	s.readRedis(c, k, file)
	if s.detach && s.redisURL != "" {
		k.add(errors.New("--detach makes a data directory independent of its Redis: leave out either it or --redis-url"))
	}
	if c.Command.Name == "up" {
		s.gatewayListen, s.drainTimeout = c.String("gateway-listen"), k.duration(c, "drain-timeout", false)
		s.gatewayHosts, s.gatewayOrigins = c.StringSlice("gateway-hosts"), c.StringSlice("gateway-cors-origins")
		s.gatewayLimits, err = gateway.ParseBodyLimits(c.StringSlice("gateway-body-limit"))
		k.add(err)
		if !c.IsSet("gateway-listen") {
			s.gatewayListen = "" // HOST and SERVER_PORT of the configuration, else the default
		} else {
			k.address("gateway-listen", s.gatewayListen, false)
		}
	}
	return s, k.err()
}

// minJournalBytes is the least bound of the journal: one large value must fit.
const minJournalBytes = 1e6

// checkAddresses checks all that is bound, before anything is made on disk.
func (s *proxySettings) checkAddresses(k *checker) {
	open := s.password == "" && len(s.users) == 0
	for _, addr := range s.listen {
		if k.address("listen", addr, true) && open && !front.IsLoopback(addr) {
			k.add(fmt.Errorf("--listen %q is not loopback and no password is set: set HOLDFAST_REQUIREPASS (--requirepass), or listen on 127.0.0.1", addr))
		}
	}
	if s.admin == "" || s.admin == "off" {
		return
	}
	if k.address("admin", s.admin, false) && open && !front.IsLoopback(s.admin) {
		k.add(fmt.Errorf("--admin %q is not loopback and no password is set: set HOLDFAST_REQUIREPASS (--requirepass), or use 127.0.0.1", s.admin))
	}
}

// readRedis finds out which Redis is meant, if any, and what keys are the
// application's.
func (s *proxySettings) readRedis(c *cli.Context, k *checker, file fileValues) {
	k.add(checkDir(s.configDir))
	opts, err := resolveRedis(c, s.configDir, file)
	k.add(err)
	s.prefix = opts.KeyPrefix
	if len(s.mirror) == 0 {
		s.mirror = []string{s.prefix}
	}
	needed := c.Command.Name == "up" || s.configDir != "" // by the gateway, and to start from files
	if needed && !slices.ContainsFunc(s.mirror, func(m string) bool { return strings.HasPrefix(s.prefix, m) }) {
		s.mirror = append(s.mirror, s.prefix)
	}
	s.noRedis = "nothing names one"
	if opts.Off {
		s.noRedis = "it is switched off by REDIS_ENABLED or redis.enabled in config.json"
	}
	if !opts.Enabled || err != nil {
		return
	}
	s.redisURL = opts.FullURL()
	if _, err := backend.Open(backend.Config{URL: s.redisURL}); err != nil {
		k.add(fmt.Errorf("the Redis to use: %w", err))
	}
	if !c.IsSet("connect-timeout") {
		s.connectTimeout = opts.ConnectTimeout
	}
	if !c.IsSet("command-timeout") {
		s.commandTimeout = opts.CommandTimeout
	}
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
	failed := make(chan error, 1)
	go func() {
		looked, err := stack.firstLook(ctx, firstLook)
		if err == nil && !looked {
			return
		}
		if err == nil {
			err = stack.loadFiles()
		}
		if err != nil {
			failed <- err
			stop()
			return
		}
		fmt.Fprintln(c.App.ErrWriter, stack.readyLine())
	}()
	err = errors.Join(stack.run(ctx), stack.Close())
	select {
	case ferr := <-failed:
		err = errors.Join(ferr, err)
	default:
	}
	return err
}
