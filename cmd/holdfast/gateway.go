package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"os"
	"os/signal"
	"strconv"
	"syscall"
	"time"

	"github.com/urfave/cli/v2"

	"holdfast/gateway"
)

// gatewayCommand is `holdfast gateway`: the gateway alone, on a proxy or a Redis.
func gatewayCommand() *cli.Command {
	return &cli.Command{
		Name:      "gateway",
		Usage:     "serve the AI API on the accounts kept in Redis",
		UsageText: "holdfast gateway --redis-url redis://127.0.0.1:6380\n   curl http://127.0.0.1:3000/api/redis/status",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "listen", Value: "127.0.0.1:3000", Usage: "HTTP address; anything but loopback needs a client API key", EnvVars: []string{"HOLDFAST_GATEWAY_LISTEN"}},
			&cli.StringFlag{Name: "redis-url", Usage: "the proxy or any Redis (default from REDIS_HOST, REDIS_PORT, REDIS_PASSWORD, REDIS_DB)", EnvVars: []string{"REDIS_URL"}},
			&cli.StringFlag{Name: "key-prefix", Value: "aiclient:", Usage: "prefix of every key", EnvVars: []string{"REDIS_KEY_PREFIX"}},
			&cli.StringFlag{Name: "config-dir", Usage: "files to start from when Redis does not answer", EnvVars: []string{"HOLDFAST_CONFIG_DIR"}},
			&cli.StringFlag{Name: "api-key", Usage: "client API key, instead of REQUIRED_API_KEY (better given in the environment)", EnvVars: []string{"HOLDFAST_API_KEY"}},
			&cli.DurationFlag{Name: "connect-timeout", Value: 5 * time.Second, Usage: "for connecting to Redis", EnvVars: []string{"HOLDFAST_CONNECT_TIMEOUT"}},
			&cli.DurationFlag{Name: "command-timeout", Value: time.Second, Usage: "for one Redis command", EnvVars: []string{"HOLDFAST_COMMAND_TIMEOUT"}},
			&cli.DurationFlag{Name: "drain-timeout", Value: 30 * time.Second, Usage: "for requests in flight at the end", EnvVars: []string{"HOLDFAST_DRAIN_TIMEOUT"}},
		},
		Action: runGateway,
	}
}

// runGateway is the command's action: it serves until SIGINT or SIGTERM, then
// drains. A second signal ends the process at once.
func runGateway(c *cli.Context) error {
	if c.Args().Present() {
		return cli.Exit(fmt.Sprintf("unexpected argument %q: holdfast gateway takes flags only", c.Args().First()), 2)
	}
	redisURL := c.String("redis-url")
	if redisURL == "" {
		var err error
		if redisURL, err = redisURLFromParts(os.Getenv); err != nil {
			return cli.Exit(err.Error(), 2)
		}
	}
	g, err := newGateway(gateway.Config{
		Addr: c.String("listen"), RedisURL: redisURL, KeyPrefix: c.String("key-prefix"),
		ConfigDir: c.String("config-dir"), APIKey: c.String("api-key"),
		ConnectTimeout: c.Duration("connect-timeout"), CommandTimeout: c.Duration("command-timeout"),
		DrainTimeout: c.Duration("drain-timeout"), Version: c.App.Version,
	})
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

// redisURLFromParts makes the URL from the single settings of the environment.
func redisURLFromParts(getenv func(string) string) (string, error) {
	or := func(name, def string) string {
		if v := getenv(name); v != "" {
			return v
		}
		return def
	}
	port, db := or("REDIS_PORT", "6379"), or("REDIS_DB", "0")
	if n, err := strconv.Atoi(port); err != nil || n < 1 || n > 65535 {
		return "", fmt.Errorf("REDIS_PORT %q is not a port: give a number from 1 to 65535", port)
	}
	if n, err := strconv.Atoi(db); err != nil || n < 0 {
		return "", fmt.Errorf("REDIS_DB %q is not a database: give a number from 0", db)
	}
	u := url.URL{Scheme: "redis", Host: net.JoinHostPort(or("REDIS_HOST", "localhost"), port), Path: "/" + db}
	if pw := getenv("REDIS_PASSWORD"); pw != "" {
		u.User = url.UserPassword("", pw)
	}
	return u.String(), nil
}
