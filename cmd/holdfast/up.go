package main

import (
	"context"
	"crypto/rand"
	"embed"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/redis/go-redis/v9"
	"github.com/urfave/cli/v2"

	"holdfast/gateway"
	"holdfast/gateway/store"
)

// sample is the configuration that the first start without a Redis loads. It
// holds no usable credentials; the client key is made anew.
//
//go:embed sample
var sample embed.FS

const sampleKeyMark = "HOLDFAST_SAMPLE_KEY"

func upCommand() *cli.Command {
	return &cli.Command{
		Name:  "up",
		Usage: "proxy and gateway in one process",
		Description: "Without a Redis (--redis-url, REDIS_URL, REDIS_HOST …) the data lives in the data directory, and the\n" +
			"first start loads --config-dir, or a sample configuration.\n\nExample: holdfast up\n         redis-cli -p 6380 KEYS 'aiclient:*'",
		Flags:  upFlags(),
		Action: runUp,
	}
}

func upFlags() []cli.Flag {
	return append(proxyFlags(),
		&cli.StringSliceFlag{Name: "gateway-hosts", Usage: "further host `NAME` by which the gateway's pages and status may be asked for on a loopback address; repeatable", EnvVars: []string{"HOLDFAST_GATEWAY_HOSTS"}},
		corsFlag("gateway-cors-origins"), bodyLimitFlag("gateway-body-limit"),
		&cli.StringFlag{Name: "gateway-listen", Value: "127.0.0.1:3000", Usage: "HTTP `ADDRESS` of the gateway, instead of HOST and SERVER_PORT of the configuration; anything but loopback needs a client API key", EnvVars: []string{"HOLDFAST_GATEWAY_LISTEN"}},
		&cli.StringFlag{Name: "api-key", Usage: "client API key, instead of REQUIRED_API_KEY of the configuration (better given in the environment)", EnvVars: []string{"HOLDFAST_API_KEY"}},
		&cli.StringFlag{Name: "drain-timeout", Value: "30s", Usage: "for gateway requests in flight at the end", EnvVars: []string{"HOLDFAST_DRAIN_TIMEOUT"}},
	)
}

func runUp(c *cli.Context) error {
	settings, err := readProxySettings(c)
	if err != nil {
		return err
	}
	st, err := openStack(settings)
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(c.Context, os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop)
	proxyCtx, stopProxy := context.WithCancel(context.WithoutCancel(ctx))
	defer stopProxy()
	proxyDone := make(chan error, 1)
	go func() { proxyDone <- st.run(proxyCtx) }()
	err = serveGateway(ctx, c, st)
	stopProxy() // after the gateway: its last counts go through the proxy
	return errors.Join(err, <-proxyDone, st.Close())
}

// serveGateway runs the gateway on the proxy until ctx ends.
func serveGateway(ctx context.Context, c *cli.Context, st *stack) error {
	if looked, err := st.firstLook(ctx, firstLook); err != nil || !looked {
		return err
	}
	out := c.App.ErrWriter
	fmt.Fprintln(out, st.readyLine())
	opts := st.selfOptions()
	prefix := st.settings.prefix
	if err := st.loadFiles(); err != nil {
		return err
	}
	password := ""
	if st.upstream == nil {
		var err error
		if password, err = st.loadSample(ctx, opts, prefix, func(format string, a ...any) { fmt.Fprintf(out, format, a...) }); err != nil {
			return err
		}
	}
	g, err := newGateway(gateway.Config{
		CORSOrigins: st.settings.gatewayOrigins, BodyLimits: st.settings.gatewayLimits,
		Addr: st.settings.gatewayListen, Hosts: st.settings.gatewayHosts, HostsFlag: "--gateway-hosts", RedisURL: selfURL(opts), KeyPrefix: prefix,
		ConfigDir: st.settings.configDir, APIKey: c.String("api-key"), DrainTimeout: st.settings.drainTimeout,
		Version: c.App.Version, Logger: st.settings.logger,
	})
	if err != nil {
		return err
	}
	go func() {
		select {
		case <-g.Ready():
			fmt.Fprintf(out, "ready gateway=%s\n", g.Addr())
			fmt.Fprint(out, whatToTry(opts, prefix, reachable(g.Addr())))
			fmt.Fprint(out, aboutDashboard(opts, prefix, reachable(g.Addr()), password))
		case <-ctx.Done():
		}
	}()
	return errors.Join(g.Run(ctx), g.Close())
}

// reachable turns a wildcard address into loopback.
func reachable(addr net.Addr) string {
	host, port, err := net.SplitHostPort(addr.String())
	if err != nil {
		return addr.String()
	}
	if ip := net.ParseIP(host); ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	return net.JoinHostPort(host, port)
}

// whatToTry are the lines a newcomer can paste.
func whatToTry(opts *redis.Options, prefix, gatewayAddr string) string {
	cli := "redis-cli -u redis://" + opts.Addr
	if host, port, err := net.SplitHostPort(opts.Addr); err == nil && host == "127.0.0.1" {
		cli = "redis-cli -p " + port
	}
	if opts.Network == "unix" {
		cli = "redis-cli -s " + opts.Addr
	}
	gatewayAddr = strings.Replace(gatewayAddr, "127.0.0.1", "localhost", 1)
	login := ""
	if opts.Username != "" {
		cli += " --user " + opts.Username
	}
	if opts.Password != "" {
		login = "  export REDISCLI_AUTH=… REDIS_PASSWORD=…   # the password of this proxy\n"
	}
	return "\ntry:\n" + login +
		"  " + cli + " KEYS '" + prefix + "*'\n" +
		"  " + cli + " HOLDFAST STATUS\n" +
		"  " + ownCLI(opts) + "   # the same without redis-tools\n" +
		"  curl " + gatewayAddr + "/api/redis/status\n" +
		"  curl " + gatewayAddr + "/v1/models -H \"Authorization: Bearer $(" + cli + " GET " + prefix + "config | grep -o 'sk-[^\"]*' | head -1)\"\n\n"
}

// aboutDashboard says where the dashboard is, and its password where this start
// made one.
func aboutDashboard(opts *redis.Options, prefix, gatewayAddr, password string) string {
	text := "dashboard: http://" + gatewayAddr + "/dashboard\n"
	if password != "" {
		text += "its password, shown this once: " + password + "\n"
	}
	return text + "another password: holdfast passwd " + toolFlags(opts, prefix) + "\n\n"
}

// ownCLI is 'holdfast cli' for the proxy of this process.
func ownCLI(opts *redis.Options) string {
	if opts.Addr == proxyAddr {
		return "holdfast cli"
	}
	return "holdfast cli " + toolFlags(opts, store.DefaultPrefix)
}

// loadSample fills an empty embedded store, once, and gives the dashboard's password. The store notes what it was: it
// never goes to a Redis that the store is given later.
func (st *stack) loadSample(ctx context.Context, opts *redis.Options, prefix string, say func(string, ...any)) (password string, err error) {
	client := redis.NewClient(opts)
	defer client.Close()
	if held, err := holdsAny(ctx, client, prefix); err != nil || held {
		return "", err
	}
	dir, err := os.MkdirTemp("", "holdfast-sample-")
	if err != nil {
		return "", fmt.Errorf("unpack sample: %w", err)
	}
	defer os.RemoveAll(dir)
	password = rand.Text()
	if err := unpackSample(dir, password); err != nil {
		return "", fmt.Errorf("unpack sample: %w", err)
	}
	commands, report, err := migrateAside(ctx, prefix, dir)
	if err == nil {
		err = st.store.LoadSample(0, commands)
	}
	if err != nil {
		return "", fmt.Errorf("load sample: %w", err)
	}
	say("first start: sample configuration loaded (%d items); replace it with 'holdfast migrate --config-dir ./configs %[2]s --force' or 'holdfast init %[2]s --force'\n", report.Total(), toolFlags(opts, prefix))
	return password, nil
}

// unpackSample writes the sample with a client key and a dashboard password of its
// own.
func unpackSample(dir, password string) error {
	hash, err := store.HashPassword(password, 0)
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, "pwd"), hash, 0o600); err != nil {
		return err
	}
	key := make([]byte, 24)
	_, _ = rand.Read(key) // never fails, see crypto/rand
	return fs.WalkDir(sample, "sample", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		to := filepath.Join(dir, strings.TrimPrefix(strings.TrimPrefix(path, "sample"), "/"))
		if d.IsDir() {
			return os.MkdirAll(to, 0o700)
		}
		raw, err := sample.ReadFile(path)
		if err != nil {
			return err
		}
		text := strings.ReplaceAll(string(raw), sampleKeyMark, "sk-"+hex.EncodeToString(key))
		return os.WriteFile(to, []byte(text), 0o600)
	})
}
