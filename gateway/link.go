package gateway

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/tidwall/gjson"
)

// link follows Redis: whether it answers, what is behind it, and what changed
// in the stored state. Its poll runs in one goroutine; the rest is safe for
// concurrent use.
type link struct {
	cfg     Config
	client  redis.UniversalClient
	loader  *loader
	log     *slog.Logger
	metrics *metrics
	roster  *roster
	tokens  *tokens
	state   atomic.Pointer[snapshot]

	named        map[string]bool // settings without effect that were named; the poll's
	warned       bool            // of a state that became empty; the poll's
	listens      string          // the address that the configuration gave, set before the poll begins
	passwordSeen bool            // the stored password was looked at; the poll's
	seeded       int64           // the coming of Redis that was seeded; the poll's
	refused      string          // the last error Redis gave instead of a state; the poll's

	probeMu sync.Mutex // one probe at a time; held before mu
	mu      sync.Mutex
	health  linkHealth
	plain   bool // the other side does not know HOLDFAST: a Redis, not the proxy
}

// linkHealth is what the last probe found, and since when.
type linkHealth struct {
	checkedAt   time.Time
	answered    bool // our own connection got an answer
	connected   bool // the real Redis is there (or the embedded store is the store)
	mode        string
	storage     string
	latency     time.Duration
	queued      int64 // writes queued in the proxy
	firstAt     time.Time
	lastAt      time.Time // when it was connected last, not when that was last seen
	url         string    // of the Redis behind the proxy; "" where there is none
	lostAt      time.Time // zero while connected
	backAt      time.Time // of the last return; zero: none yet
	lastErrorAt time.Time
	lastError   string
	reconnects  int64
	commands    int64
	failures    int64
}

// probeAge is how long a probe's result is good enough for a status request, so
// that many of them do not become many commands.
const probeAge = 100 * time.Millisecond

// snapshot is the state to work on; never nil.
func (l *link) snapshot() *snapshot { return l.state.Load() }

// run polls until ctx ends. A state that takes long to read is read half as often.
func (l *link) run(ctx context.Context) {
	timer := time.NewTimer(l.cfg.RefreshInterval)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
			start, pause := time.Now(), l.cfg.RefreshInterval
			l.poll(ctx)
			if time.Since(start) > pause/5 {
				pause *= 2
			}
			timer.Reset(pause)
		}
	}
}

// poll probes and takes over what changed; false when Redis did not give a state.
func (l *link) poll(ctx context.Context) bool {
	l.probe(ctx, 0)
	raw, err := l.loader.load(ctx)
	if err == nil && raw.empty() {
		raw, err = l.seed(ctx)
	}
	if err != nil {
		if ctx.Err() == nil {
			l.loadFailed(err)
		}
		return false
	}
	if !l.adopt(raw, sourceRedis) {
		return true
	}
	l.lookAtPassword(ctx)
	renewals := l.tokens.renewals()
	found, err := l.loader.tokens(ctx, l.snapshot())
	if err != nil {
		if ctx.Err() == nil && !errors.Is(err, errVanished) { // of that the next poll tells
			l.loadFailed(err)
		}
		return true // accounts and configuration are there; tokens stay as they were
	}
	l.refused = ""
	l.tokens.adopt(found, renewals)
	return true
}

// loadFailed notes a load without a result. An error that Redis itself gave says
// nothing about the connection; it is logged when it is a new one.
func (l *link) loadFailed(err error) {
	l.metrics.redisFails.Inc()
	if l.noticed(err) {
		return
	}
	if l.refused != err.Error() {
		l.refused = err.Error()
		l.log.Warn("redis refuses to give the state: serving the last known one", "error", err)
	}
}

// noticed takes note of an error that any command got, if it says that the
// connection does not work; a refusal by Redis does not.
func (l *link) noticed(err error) bool {
	var answered redis.Error
	if errors.As(err, &answered) {
		return false
	}
	l.failed(err)
	return true
}

// adopt publishes a state if it differs from the one in use; false for one that
// was not believed. A state that is
// suddenly completely empty is more likely a Redis that was wiped or is the
// wrong one than a wish to drop every account at once, so the last one stays.
func (l *link) adopt(raw rawState, source string) bool {
	prev := l.snapshot()
	if source == sourceRedis && raw.empty() && !prev.raw.empty() {
		if !l.warned {
			l.log.Warn("Redis holds no configuration and no pools: going on with the last known state", "source", prev.source, "key_prefix", l.cfg.KeyPrefix)
			l.warned = true
		}
		return false
	}
	l.warned = false
	if source == prev.source && raw.equal(prev.raw) {
		return true
	}
	next := buildSnapshot(raw, source, l.cfg.APIKey, prev)
	l.state.Store(next)
	l.roster.keep(next)
	l.metrics.reloads.Inc()
	accounts, broken := 0, 0
	for _, p := range next.pools {
		accounts += len(p.accounts)
		for _, a := range p.accounts {
			if !a.valid {
				broken++
			}
		}
	}
	l.log.Info("state loaded", "source", source, "providers", len(next.pools), "accounts", accounts,
		"unreadable_accounts", broken, "default_provider", next.defaults[0])
	l.nameUnused(next)
	if prev.source == sourceFile && source == sourceRedis {
		l.tellWinner(prev, next)
	}
	if raw.config != "" && !next.configOK {
		l.log.Warn("stored configuration is not a JSON object: defaults are used")
	}
	if len(next.skipped) > 0 {
		l.log.Info("provider types are stored and not served", "types", next.skipped, "why", "not in "+next.enabledBy())
	}
	if len(next.unknown) > 0 {
		l.log.Warn("unknown default providers are left out", "names", next.unknown)
	}
	return true
}

// probe asks what is on the other side, unless that was asked less than maxAge
// ago. Through the proxy the answer is about the Redis behind it.
func (l *link) probe(ctx context.Context, maxAge time.Duration) linkHealth {
	l.probeMu.Lock()
	defer l.probeMu.Unlock()
	l.mu.Lock()
	h, plain := l.health, l.plain
	l.mu.Unlock()
	if !h.checkedAt.IsZero() && time.Since(h.checkedAt) < maxAge {
		return h
	}
	ctx, cancel := context.WithTimeout(ctx, l.cfg.ConnectTimeout+l.cfg.CommandTimeout)
	defer cancel()
	start := time.Now()
	if !plain {
		text, err := l.client.Do(ctx, "HOLDFAST", "STATUS").Text()
		var answered redis.Error
		switch {
		case err == nil && gjson.Valid(text):
			return l.proxyAnswered(gjson.Parse(text), l.latency(ctx, start))
		case err != nil && !errors.As(err, &answered):
			return l.probeFailed(ctx, err)
		}
		l.mu.Lock()
		l.plain = true
		l.mu.Unlock()
		start = time.Now()
	}
	if err := l.client.Ping(ctx).Err(); err != nil {
		return l.probeFailed(ctx, err)
	}
	return l.note(func(h *linkHealth) {
		h.answered, h.connected, h.mode, h.storage, h.queued, h.url = true, true, "online", "redis", 0, ""
		h.latency = time.Since(start)
	})
}

// latency is how long an answer takes. The proxy tells of itself without asking
// Redis, so one command goes all the way; one that is refused tells as much.
func (l *link) latency(ctx context.Context, start time.Time) time.Duration {
	own, asked := time.Since(start), time.Now()
	var refused redis.Error
	if err := l.client.Time(ctx).Err(); err != nil && !errors.As(err, &refused) {
		return own
	}
	return time.Since(asked)
}

// lastHealth is what the last probe found; it never waits.
func (l *link) lastHealth() linkHealth {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.health
}

// proxyAnswered takes over the proxy's own status. Embedded, the proxy is the
// store and nothing is missing.
func (l *link) proxyAnswered(s gjson.Result, latency time.Duration) linkHealth {
	return l.note(func(h *linkHealth) {
		h.answered, h.latency = true, latency
		h.mode, h.storage = s.Get("mode").String(), "redis"
		h.connected, h.url = s.Get("connected").Bool(), s.Get("upstream").String()
		if at, err := time.Parse(time.RFC3339, s.Get("lastConnectedAt").String()); err == nil {
			h.lastAt = at
		}
		if h.mode == "embedded" {
			h.connected, h.storage = true, "embedded"
		}
		if s.Get("source").String() == "files" {
			h.storage = sourceFile
		}
		h.queued = s.Get("journal.queuedWrites").Int()
		if !h.connected {
			h.lastError = "the Redis behind the proxy does not answer"
			h.lastErrorAt = time.Now()
		}
	})
}

func (l *link) probeFailed(ctx context.Context, err error) linkHealth {
	if errors.Is(ctx.Err(), context.Canceled) { // the asker went away; nothing was learned
		l.mu.Lock()
		defer l.mu.Unlock()
		return l.health
	}
	return l.failed(err)
}

// failed records that our own connection got no good answer.
func (l *link) failed(err error) linkHealth {
	return l.note(func(h *linkHealth) {
		h.answered, h.connected, h.mode = false, false, "offline"
		h.failures++
		h.lastErrorAt, h.lastError = time.Now(), err.Error()
		l.plain = false // what comes back may be something else
	})
}

// note applies a probe's finding, and logs when connected changes.
func (l *link) note(change func(*linkHealth)) linkHealth {
	l.mu.Lock()
	defer l.mu.Unlock()
	h := &l.health
	was, first := h.connected, h.checkedAt.IsZero()
	now := time.Now()
	h.checkedAt = now
	h.commands++
	change(h)
	if h.connected {
		if h.firstAt.IsZero() {
			h.firstAt = now
		} else if !was {
			h.reconnects++
			h.backAt = now
		}
		if !was && h.url == "" { // else the proxy told
			h.lastAt = now
		}
		h.lostAt, h.lastError = time.Time{}, "" // lastErrorAt tells when it was
		l.metrics.redisUp.Set(1)
	} else {
		if h.lostAt.IsZero() {
			h.lostAt = now
		}
		l.metrics.redisUp.Set(0)
	}
	switch {
	case h.connected && (first || !was):
		l.log.Info("redis connected", "url", safeURL(l.cfg.RedisURL), "mode", h.mode, "storage", h.storage)
	case !h.connected && (first || was):
		l.log.Warn("redis not connected: serving the last known state", "url", safeURL(l.cfg.RedisURL), "error", h.lastError)
	}
	return *h
}
