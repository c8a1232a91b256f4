package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/redis/go-redis/v9"
	"github.com/urfave/cli/v2"

	"holdfast/gateway"
)

// gatewayCommand is `holdfast gateway`: the gateway alone, on a proxy or a Redis.
func gatewayCommand() *cli.Command {
	return &cli.Command{
		Name:      "gateway",
		Usage:     "serve the AI API on the accounts kept in Redis",
		UsageText: "holdfast gateway --redis-url redis://127.0.0.1:6380\n   curl http://127.0.0.1:3000/api/redis/status",
		Flags: append(redisFlags("the proxy or any Redis"),
			&cli.StringFlag{Name: "listen", Value: "127.0.0.1:3000", Usage: "HTTP `ADDRESS`, instead of HOST and SERVER_PORT of the configuration; anything but loopback needs a client API key", EnvVars: []string{"HOLDFAST_GATEWAY_LISTEN"}},
			&cli.StringSliceFlag{Name: "hosts", Usage: "further host `NAME` by which pages and status may be asked for on a loopback address, beside localhost and IP addresses; repeatable", EnvVars: []string{"HOLDFAST_GATEWAY_HOSTS"}},
			corsFlag("cors-origins"), bodyLimitFlag("body-limit"),
			&cli.StringFlag{Name: "config-dir", Usage: "configuration `DIR` to start from when Redis does not answer; its config.json may name the Redis", EnvVars: []string{"HOLDFAST_CONFIG_DIR"}},
			&cli.StringFlag{Name: "api-key", Usage: "client API key, instead of REQUIRED_API_KEY (better given in the environment)", EnvVars: []string{"HOLDFAST_API_KEY"}},
			&cli.StringFlag{Name: "connect-timeout", Value: "5s", Usage: "for connecting to Redis", EnvVars: []string{"HOLDFAST_CONNECT_TIMEOUT"}},
			&cli.StringFlag{Name: "command-timeout", Value: "1s", Usage: "for one Redis command", EnvVars: []string{"HOLDFAST_COMMAND_TIMEOUT"}},
			&cli.StringFlag{Name: "drain-timeout", Value: "30s", Usage: "for requests in flight at the end", EnvVars: []string{"HOLDFAST_DRAIN_TIMEOUT"}},
		),
		Action: runGateway,
	}
}

// corsFlag and bodyLimitFlag are settings of the gateway, in both commands that have one.
func corsFlag(name string) cli.Flag {
	return &cli.StringSliceFlag{Name: name, Usage: "`ORIGIN` whose pages may read what the API answers, like https://app.example or https://*.example; repeatable; all by default", EnvVars: []string{"HOLDFAST_GATEWAY_CORS_ORIGINS"}}
}

func bodyLimitFlag(name string) cli.Flag {
	return &cli.StringSliceFlag{Name: name, Usage: "largest request body, as `SIZE` or PATH=SIZE for paths that begin so, like /v1/audio/=100MiB; repeatable; 32MiB by default", EnvVars: []string{"HOLDFAST_GATEWAY_BODY_LIMIT"}}
}

// gatewayConfig reads and checks the flags.
func gatewayConfig(c *cli.Context) (gateway.Config, error) {
	k := &checker{}
	dir, listen := c.String("config-dir"), ""
	if dir == "" {
		dir = usualConfigDir(slog.Default())
	}
	k.add(checkDir(dir))
	if c.IsSet("listen") {
		listen = c.String("listen")
		k.address("listen", listen, false)
	}
	opts, err := resolveRedis(c, dir, fileValues{})
	k.add(err)
	if opts.Off {
		k.add(errors.New("REDIS_ENABLED or redis.enabled in config.json switches Redis off, and 'holdfast gateway' needs one: name it with --redis-url, or use 'holdfast up', which has a store of its own"))
	}
	limits, err := gateway.ParseBodyLimits(c.StringSlice("body-limit"))
	k.add(err)
	cfg := gateway.Config{
		CORSOrigins: c.StringSlice("cors-origins"), BodyLimits: limits,
		Addr: listen, Hosts: c.StringSlice("hosts"), HostsFlag: "--hosts", RedisURL: opts.FullURL(), KeyPrefix: opts.KeyPrefix,
		ConfigDir: dir, APIKey: c.String("api-key"),
		ConnectTimeout: k.duration(c, "connect-timeout", false), CommandTimeout: k.duration(c, "command-timeout", false),
		DrainTimeout: k.duration(c, "drain-timeout", false), Version: c.App.Version,
	}
	if dir != "" {
		seed := &seeder{dir: dir, prefix: opts.KeyPrefix, log: slog.Default()}
		cfg.Seed = func(ctx context.Context, client redis.UniversalClient) error {
			return seed.connected(ctx, client, false)
		}
	}
	if !c.IsSet("connect-timeout") {
		cfg.ConnectTimeout = opts.ConnectTimeout
	}
	if !c.IsSet("command-timeout") {
		cfg.CommandTimeout = opts.CommandTimeout
	}
	return cfg, k.err()
}

// runGateway is the command's action: it serves until SIGINT or SIGTERM, then
// drains. A second signal ends the process at once.
func runGateway(c *cli.Context) error {
	if c.Args().Present() {
		return cli.Exit(fmt.Sprintf("unexpected argument %q: holdfast gateway takes flags only", c.Args().First()), 2)
	}
	cfg, err := gatewayConfig(c)
	if err != nil {
		return err
	}
	g, err := newGateway(cfg)
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(c.Context, os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop)
	go func() {
		select {
		case <-g.Ready():
			fmt.Fprintf(os.Stderr, "ready gateway=%s\n", g.Addr())
		case <-ctx.Done():
		}
	}()
	return errors.Join(g.Run(ctx), g.Close())
}

// newGateway opens a gateway for this binary. What cfg leaves unset gets its
// default; log lines go to the process's default logger.
func newGateway(cfg gateway.Config) (*gateway.Gateway, error) {
	if cfg.Logger == nil {
		cfg.Logger = slog.Default()
	}
	return gateway.Open(cfg)
}
