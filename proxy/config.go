package proxy

import (
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"time"

	"holdfast/backend"
	"holdfast/backend/command"
	"holdfast/fallback"
	"holdfast/fallback/engine"
	"holdfast/proxy/cache"
	"holdfast/proxy/front"
)

// Upstream is the real Redis, as *backend.Upstream gives it.
type Upstream interface {
	// Up reports whether Redis serves; cheap.
	Up() bool
	// Do forwards one call; see backend.Upstream.Do for the outcomes.
	Do(proto, db int, c *backend.Call) error
	// OpenSession opens a dedicated connection for state that cannot be shared.
	OpenSession(ctx context.Context, proto, db int) (*backend.Session, error)
	// Reach sends a command about the server, not its data, also while it is not up.
	Reach(ctx context.Context, proto int, argv [][]byte) ([]byte, error)
	// OfferPassword tells of a password that the user may have at Redis from now on.
	OfferPassword(user, password string)
	// GiveUp ends the link to Redis for a reason, as if it were lost; an attempt follows.
	GiveUp(reason error)
	// Busy is the error that Redis answers to everything while a script runs; "" = it serves.
	Busy() string
	// ExpectSilence notes that Redis was told to answer nobody for a while.
	ExpectSilence(d time.Duration)
	// Status tells how the link is.
	Status() backend.Status
	// FenceName is the key that fenced calls of the protocol write in the database;
	// "" = no fences.
	FenceName(proto, db int) string
	// NextBeat, PassedBeat and AwaitBeat tell how far the server's invalidations
	// have come; see backend.Upstream.
	NextBeat() uint64
	PassedBeat() uint64
	AwaitBeat(n uint64, limit time.Duration) bool
	// SafeURL is the configured URL without secrets.
	SafeURL() string
}

// Local is the local state, as *fallback.Store gives it.
type Local interface {
	Mode() fallback.Mode
	Serving() bool
	AwaitServing(d time.Duration) error
	Do(req fallback.Request) ([]byte, fallback.Pending, error)
	Block(req fallback.Request) ([]byte, fallback.Pending, *fallback.Waiter, error)
	Unblock(w *fallback.Waiter) bool
	Blocked() int64
	ReadHeld(dst []byte, db, proto int, c *command.Command, argv [][]byte) (out []byte, ok bool)
	Watch(db int, keys [][]byte) (*fallback.Watch, error)
	Ready(db int, keys [][]byte) bool
	AwaitReady(db int, keys [][]byte)
	Sending(db int, key []byte)
	Sent(db int, key []byte)
	Acked(db int, argvs [][][]byte, reply []byte, unit bool)
	AckedOne(db int, c *command.Command, argv, keys [][]byte, reply []byte)
	NeedsValues(db int, c *command.Command, argv [][]byte) [][]byte
	AckedValues(db int, keys, replies [][]byte) bool
	Unsure(db int, key []byte, takeovers uint64)
	Takeovers() uint64
	Unlearn(db int, keys [][]byte)
	Read(db int, key []byte)
	RememberScript(body []byte, loaded bool)
	Script(sha string) (body string, known bool)
	ForgetScripts()
	Alone() *fallback.Alone
	Status() fallback.Status
	Info(sections []string, f engine.Facts) string
}

// Config sets up a Server. Local is required; Upstream is nil when embedded.
type Config struct {
	Listen         []string // "127.0.0.1:6380", "unix:/path"
	TLS            *tls.Config
	Password       string            // of the default user; empty = none needed
	Users          map[string]string // further users: name → password
	MaxClients     int               // 10000
	IdleTimeout    time.Duration     // 0 = never
	CommandTimeout time.Duration     // 1 s: the bound for one answer

	CacheBytes int64
	MaxAge     time.Duration
	NoCache    []string // key prefixes that are never cached
	// TouchEvery is how often Redis is told of keys that are read from the cache, so
	// that it does not take them for idle when it evicts [10s].
	TouchEvery time.Duration

	BaseDB   int // database that new connections start in
	Upstream Upstream
	Local    Local
	// FromFiles: the local state was filled from configuration files at this start.
	FromFiles bool
	Version   string
	Logger    *slog.Logger
}

func (c *Config) withDefaults() error {
	if c.Local == nil {
		return fmt.Errorf("open proxy: no local state given")
	}
	if len(c.Listen) == 0 {
		c.Listen = []string{"127.0.0.1:6380"}
	}
	if c.MaxClients == 0 {
		c.MaxClients = 10000
	}
	if c.CommandTimeout == 0 {
		c.CommandTimeout = time.Second
	}
	if c.CacheBytes == 0 {
		c.CacheBytes = 64 << 20
	}
	if c.TouchEvery == 0 {
		c.TouchEvery = 10 * time.Second
	}
	if c.MaxAge == 0 {
		c.MaxAge = 5 * time.Minute
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Password == "" && len(c.Users) == 0 {
		for _, addr := range c.Listen {
			if !front.IsLoopback(addr) {
				return fmt.Errorf("listen address %q is not loopback and no password is set: set --requirepass, or listen on 127.0.0.1", addr)
			}
		}
	}
	return nil
}

func (c *Config) newCache() *cache.Cache {
	noCache := make([][]byte, len(c.NoCache))
	for i, p := range c.NoCache {
		noCache[i] = []byte(p)
	}
	cfg := cache.Config{MaxBytes: c.CacheBytes, MaxAge: c.MaxAge, NoCache: noCache, FillTimeout: 5 * c.CommandTimeout}
	if c.Upstream != nil {
		cfg.Order = beats{c.Upstream}
	}
	return cache.New(cfg)
}

// beats are the looks at the tracking connection, for the cache.
type beats struct{ u Upstream }

func (b beats) Next() uint64   { return b.u.NextBeat() }
func (b beats) Passed() uint64 { return b.u.PassedBeat() }
