package backend

import (
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

// Clock is time, replaceable in tests.
type Clock interface {
	Now() time.Time
	After(d time.Duration) <-chan time.Time
}

type systemClock struct{}

func (systemClock) Now() time.Time                         { return time.Now() }
func (systemClock) After(d time.Duration) <-chan time.Time { return time.After(d) }

// Config says which Redis to talk to and how long to wait for it. Zero
// durations mean the default in brackets.
type Config struct {
	// URL is redis://, rediss://, unix:// or
	// redis-sentinel://host:port,host:port/master?db=0 (or /master/0).
	URL string
	// Username and Password override those in URL when not empty.
	Username, Password string
	// ConnectTimeout bounds dialing and setting up the control connection [5s].
	ConnectTimeout time.Duration
	// CommandTimeout bounds the wait for an answer, a local one included, so a call
	// is given up before [1s]. See DESIGN.md for long transfers.
	CommandTimeout time.Duration
	// PingInterval is the time between two heartbeats [500ms].
	PingInterval time.Duration
	// CheckInterval is the time between two looks at role and run id [2s].
	CheckInterval time.Duration
	// TrackPrefixes are the key prefixes whose invalidations are wanted; none
	// means all keys. None may be a prefix of another.
	TrackPrefixes []string
	// ClientName is how our connections show in CLIENT LIST [holdfast]. A name
	// that nobody else has lets a new process find and kill the connections of a
	// killed one, whose last writes may still be on their way.
	ClientName string
	// FenceKey, when set, is where calls with fences write their numbers; protocol
	// and database are appended to it.
	FenceKey string
	// Clock, Logger and Rand (0 <= x < 1) have usable defaults.
	Clock  Clock
	Logger *slog.Logger
	Rand   func() float64
}

// target is where and how to dial, from the URL.
type target struct {
	scheme    string
	network   string
	addr      string // host:port or path; for Sentinel the sentinels' list
	tls       *tls.Config
	user      string
	password  string // as configured
	logins    *logins
	db        int
	name      string // of our connections
	master    string // Sentinel's name of the master
	sentinels []string
}

// tick is the unit in which silence is counted; see timeoutTicks.
func (c *Config) tick() time.Duration {
	return max(c.CommandTimeout/ticksPerTimeout, time.Millisecond)
}

func (c Config) withDefaults() (Config, error) {
	for _, d := range []struct {
		name string
		v    *time.Duration
		def  time.Duration
	}{
		{"ConnectTimeout", &c.ConnectTimeout, 5 * time.Second},
		{"CommandTimeout", &c.CommandTimeout, time.Second},
		{"PingInterval", &c.PingInterval, 500 * time.Millisecond},
		{"CheckInterval", &c.CheckInterval, 2 * time.Second},
	} {
		if *d.v < 0 {
			return c, fmt.Errorf("check upstream config: %s is %v: give a positive duration", d.name, *d.v)
		}
		if *d.v == 0 {
			*d.v = d.def
		}
	}
	for i, p := range c.TrackPrefixes {
		for j, q := range c.TrackPrefixes {
			if i != j && strings.HasPrefix(q, p) {
				return c, fmt.Errorf("check upstream config: TrackPrefixes %q and %q overlap: keep the shorter one", p, q)
			}
		}
	}
	if c.ClientName == "" {
		c.ClientName = defaultClientName
	}
	if c.Clock == nil {
		c.Clock = systemClock{}
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	if c.Rand == nil {
		c.Rand = rand.Float64
	}
	return c, nil
}

var errURL = errors.New("parse upstream URL: not of the form redis://[user:password@]host[:port][/db] " +
	"(or rediss://, unix:///path?db=n, redis-sentinel://host:port,host:port/master?db=n); " +
	"percent-encode special characters in the password")

// parseTarget reads the URL. No part of a malformed URL is ever repeated in the
// error: where the password ends is just what is not known then.
func parseTarget(c Config) (target, error) {
	scheme, rest, ok := strings.Cut(c.URL, "://")
	if !ok {
		return target{}, errURL
	}
	t := target{scheme: strings.ToLower(scheme)}
	var err error
	switch t.scheme {
	case "redis", "rediss", "unix":
		err = t.parsePlain(c.URL)
	case "redis-sentinel":
		err = t.parseSentinel(rest)
	default:
		err = errURL
	}
	if err != nil {
		return target{}, err
	}
	if c.Username != "" {
		t.user = c.Username
	}
	if c.Password != "" {
		t.password = c.Password
	}
	if t.user != "" && t.password == "" {
		return target{}, errors.New("check upstream config: a user name without a password: give both or none")
	}
	t.logins = newLogins(t.password)
	if t.db < 0 {
		return target{}, fmt.Errorf("check upstream config: database %d: give 0 or more", t.db)
	}
	return t, nil
}

func (t *target) parsePlain(raw string) error {
	opts, err := redis.ParseURL(raw)
	if err != nil {
		// Without credentials the parser's own words are safe and help more.
		if !strings.Contains(raw, "@") && !strings.Contains(strings.ToLower(raw), "pass") {
			return fmt.Errorf("%w (%v)", errURL, err)
		}
		return errURL
	}
	t.network, t.addr, t.tls = opts.Network, opts.Addr, opts.TLSConfig
	t.user, t.password, t.db = opts.Username, opts.Password, opts.DB
	return nil
}

func (t *target) parseSentinel(rest string) error {
	cred, hosts, found := "", rest, false
	if i := strings.LastIndex(rest, "@"); i >= 0 {
		cred, hosts, found = rest[:i], rest[i+1:], true
	}
	hosts, query, _ := strings.Cut(hosts, "?")
	hosts, master, _ := strings.Cut(hosts, "/")
	master, dbPath, _ := strings.Cut(strings.TrimSuffix(master, "/"), "/")
	if hosts == "" || master == "" {
		return errURL
	}
	if found {
		user, password, _ := strings.Cut(cred, ":")
		var err1, err2 error
		t.user, err1 = url.PathUnescape(user)
		t.password, err2 = url.PathUnescape(password)
		if err1 != nil || err2 != nil {
			return errURL
		}
	}
	for _, h := range strings.Split(hosts, ",") {
		if _, _, err := net.SplitHostPort(h); err != nil {
			h = net.JoinHostPort(h, "26379")
		}
		t.sentinels = append(t.sentinels, h)
	}
	values, err := url.ParseQuery(query)
	if err != nil {
		return errURL
	}
	db := dbPath
	if db == "" {
		db = values.Get("db")
	}
	if db != "" {
		if t.db, err = strconv.Atoi(db); err != nil {
			return errURL
		}
	}
	t.network, t.master, t.addr = "tcp", master, strings.Join(t.sentinels, ",")
	return nil
}

// safeURL names the upstream without user, password and options.
func (t target) safeURL() string {
	switch t.scheme {
	case "unix":
		return fmt.Sprintf("unix://%s?db=%d", t.addr, t.db)
	case "redis-sentinel":
		return fmt.Sprintf("redis-sentinel://%s/%s?db=%d", t.addr, t.master, t.db)
	}
	return fmt.Sprintf("%s://%s/%d", t.scheme, t.addr, t.db)
}
