package gateway

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"time"

	"github.com/redis/go-redis/v9"

	"holdfast/gateway/store"
)

// Sentinel errors of this package.
var (
	// ErrInsecureBind refuses an address that other machines can reach while no
	// client key is known: anybody could spend the accounts.
	ErrInsecureBind = errors.New("a non-loopback address needs a client API key")
	// ErrClosed says that the gateway was closed.
	ErrClosed = errors.New("gateway is closed")
)

// Config says where the gateway listens and where its state is. The zero value
// of every field but RedisURL means its default.
type Config struct {
	// Addr is the HTTP listen address; empty: HOST and SERVER_PORT of the state that
	// Open finds, else 127.0.0.1:3000. Anything but loopback is refused while no
	// client key is known (ErrInsecureBind).
	Addr string
	// Hosts are further names by which the dashboard and what needs no key (health,
	// status, metrics) may be asked for on a loopback address, beside localhost and IP
	// addresses; HostsFlag is what sets them, for the text of a refusal. Requests with
	// a client key may use any name.
	Hosts     []string
	HostsFlag string
	// CORSOrigins are the origins whose pages may read what the API answers; * in one
	// stands for any letters. Empty: all. Without the client key none gets an answer.
	CORSOrigins []string
	// BodyLimits bound request bodies; what they do not name, at 32 MiB.
	BodyLimits BodyLimits
	// RedisURL is redis://, rediss://, unix:// or redis-sentinel://: the proxy or any Redis.
	RedisURL string
	// KeyPrefix stands before every key, "aiclient:" by default.
	KeyPrefix string
	// ConfigDir holds config.json and provider_pools.json. They are read, never
	// written, and only when Redis does not answer at start. Empty: none.
	ConfigDir string
	// APIKey overrides REQUIRED_API_KEY of the stored configuration.
	APIKey string
	// Seed is called when Redis answers and holds no configuration at all: before
	// that is believed, once for each time that Redis came. It may put one there.
	Seed func(ctx context.Context, redis redis.UniversalClient) error
	// ConnectTimeout bounds dialing Redis (5 s), CommandTimeout one command (1 s).
	ConnectTimeout, CommandTimeout time.Duration
	// RefreshInterval is how often changed accounts and configuration are
	// looked for, 1 s by default.
	RefreshInterval time.Duration
	// DrainTimeout bounds how long requests may go on after Run's context ended
	// (30 s).
	DrainTimeout time.Duration
	// UpstreamConnectTimeout bounds dialing and the TLS handshake with a
	// provider (10 s), UpstreamHeaderTimeout the wait for its status (5 min: a
	// plain completion sends it only when it is done) and any silence after it. An
	// answer that goes on has no time limit.
	UpstreamConnectTimeout, UpstreamHeaderTimeout time.Duration
	// TokenWait bounds how long a request waits for its account's access token to
	// be renewed (10 s), TokenTimeout the token endpoint's answer (20 s; less than
	// the 30 s that the lease for it lasts).
	TokenWait, TokenTimeout time.Duration
	// KeepAlive is the silence after which a stream gets a comment line (15 s).
	KeepAlive time.Duration
	// Version is shown in status. Logger gets one line for each state change.
	Version string
	Logger  *slog.Logger
}

// withDefaults fills in what is unset and checks the rest.
func (c Config) withDefaults() (Config, error) {
	if c.HostsFlag == "" {
		c.HostsFlag = "Hosts"
	}
	if c.KeyPrefix == "" {
		c.KeyPrefix = "aiclient:"
	}
	if c.Version == "" {
		c.Version = "dev"
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if len(c.CORSOrigins) == 0 {
		c.CORSOrigins = []string{"*"}
	}
	errs := []error{checkOrigins(c.CORSOrigins)}
	for _, d := range []struct {
		name string
		v    *time.Duration
		def  time.Duration
	}{
		{"ConnectTimeout", &c.ConnectTimeout, 5 * time.Second},
		{"CommandTimeout", &c.CommandTimeout, time.Second},
		{"RefreshInterval", &c.RefreshInterval, time.Second},
		{"DrainTimeout", &c.DrainTimeout, 30 * time.Second},
		{"UpstreamConnectTimeout", &c.UpstreamConnectTimeout, 10 * time.Second},
		{"UpstreamHeaderTimeout", &c.UpstreamHeaderTimeout, 5 * time.Minute},
		{"TokenWait", &c.TokenWait, 10 * time.Second},
		{"TokenTimeout", &c.TokenTimeout, 20 * time.Second},
		{"KeepAlive", &c.KeepAlive, 15 * time.Second},
	} {
		if *d.v == 0 {
			*d.v = d.def
		}
		if *d.v < 0 {
			errs = append(errs, fmt.Errorf("%s %v is negative: give a time above zero", d.name, *d.v))
		}
	}
	if longest := store.LockLife - 5*time.Second; c.TokenTimeout > longest {
		errs = append(errs, fmt.Errorf("TokenTimeout %v outlasts the lease: give %v at most", c.TokenTimeout, longest))
	}
	if _, _, err := net.SplitHostPort(c.Addr); err != nil && c.Addr != "" {
		errs = append(errs, fmt.Errorf("listen address %q is not host:port: give one like 127.0.0.1:3000", c.Addr))
	}
	return c, errors.Join(errs...)
}

// loopbackOnly reports whether addr can be reached from this machine only. A
// name other than localhost counts as reachable: it may resolve to anything.
func loopbackOnly(addr string) bool {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return false
	}
	ip := net.ParseIP(host)
	return host == "localhost" || (ip != nil && ip.IsLoopback())
}

// newClient makes the Redis client. Its own retries are off: a counter command
// that was sent and got no answer must not be sent again unseen.
func newClient(c Config) (redis.UniversalClient, error) {
	opt, err := store.Options{URL: c.RedisURL, ConnectTimeout: c.ConnectTimeout, CommandTimeout: c.CommandTimeout}.Universal()
	if err != nil || c.RedisURL == "" {
		// The parser's text may quote the URL, password included.
		return nil, fmt.Errorf("redis URL %q is not valid: give redis://, rediss://, unix:// or redis-sentinel://, like redis://127.0.0.1:6380/0", safeURL(c.RedisURL))
	}
	opt.PoolTimeout = c.ConnectTimeout
	opt.ContextTimeoutEnabled = true
	opt.DialerRetries = 1
	opt.PoolSize = 8
	return redis.NewUniversalClient(opt), nil
}

// safeURL is a URL with nothing but scheme, host and path: no user, no
// password, no query.
func safeURL(raw string) string {
	u, err := url.Parse(raw)
	if err != nil || u.Host == "" && u.Path == "" {
		return "(unreadable)"
	}
	return (&url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path}).String()
}
