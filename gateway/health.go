package gateway

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/tidwall/gjson"
)

const (
	defaultCheckInterval = 10 * time.Minute
	minCheckInterval     = time.Minute
	// checkTimeout bounds one health check, maxChecks how many run at a time.
	checkTimeout = 15 * time.Second
	maxChecks    = 4
)

// checkSettings are SCHEDULED_HEALTH_CHECK of the configuration.
type checkSettings struct {
	enabled, startup bool
	interval         time.Duration
	// types are the provider types to check. Besides these, accounts are checked
	// whose entry says checkHealth.
	types []string
}

func parseChecks(r gjson.Result) checkSettings {
	return checkSettings{
		enabled: r.Get("enabled").Bool(), startup: r.Get("startupRun").Bool(),
		interval: max(millis(r.Get("interval"), defaultCheckInterval), minCheckInterval),
		types:    stringList(r.Get("providerTypes")),
	}
}

// checker asks accounts a real question from time to time, so that one that is
// marked unhealthy comes back and one that is broken is found before a client
// finds it. Questions cost money: only what is configured is checked, and no
// account that has just served a request.
type checker struct {
	forwarder *forwarder
	roster    *roster
	state     func() *snapshot
	metrics   *metrics
	log       *slog.Logger
}

// run checks as configured, until ctx ends.
func (c *checker) run(ctx context.Context) {
	started, last := false, time.Now()
	for {
		s := c.state()
		cfg := s.settings.checks
		atStart := !started && s.source != sourceNone && cfg.startup
		started = started || s.source != sourceNone
		if cfg.enabled && (atStart || time.Since(last) >= cfg.interval) {
			last = time.Now()
			c.round(ctx, s)
		}
		if !wait(ctx, time.Second) {
			return
		}
	}
}

// round checks every account that is due.
func (c *checker) round(ctx context.Context, s *snapshot) {
	slots := make(chan struct{}, maxChecks)
	var wg sync.WaitGroup
	defer wg.Wait()
	for _, typ := range s.types {
		p := s.pools[typ]
		listed := slices.ContainsFunc(s.settings.checks.types, func(name string) bool {
			resolved, ok := s.resolve(name)
			return ok && resolved == typ
		})
		for _, a := range p.accounts {
			if !listed && !a.checkHealth || !a.usable(p.info) || !c.roster.due(a.id, s.settings.checks.interval, time.Now()) {
				continue
			}
			select {
			case <-ctx.Done():
				return
			case slots <- struct{}{}:
			}
			wg.Go(func() {
				c.check(ctx, s, p, a)
				<-slots
			})
		}
	}
}

// check asks one account. Only an answer, or what is the account's fault, says
// anything: a model that the provider does not know is the entry's mistake.
func (c *checker) check(ctx context.Context, s *snapshot, p *pool, a *account) {
	model := a.checkModel
	if model == "" && len(a.supported) > 0 {
		model = a.supported[0]
	}
	if model == "" {
		return
	}
	ask := checkCall(model, p, s.settings)
	if ask == nil {
		return
	}
	asking, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	tokenWait := checkTimeout
	got := c.forwarder.try(asking, nowhere{}, ask, a, &tokenWait)
	outcome, cause := got.outcome, got.cause
	if ctx.Err() != nil {
		return
	}
	slow := errors.Is(asking.Err(), context.DeadlineExceeded)
	if slow {
		outcome, cause = "timeout", asking.Err()
	}
	c.metrics.checks.WithLabelValues(p.typ, outcome).Inc()
	now := time.Now()
	switch {
	case got.failure == nil && got.began && !slow:
		if c.roster.checked(a, true, "", time.Time{}, now) {
			c.log.Info("account is healthy again", "account", a.id)
		}
	case got.blame || slow:
		// Until the next check has had its time; a rest that lasts longer stays.
		until := now.Add(s.settings.checks.interval + checkTimeout)
		if got.cool > 0 {
			until = now.Add(got.cool)
		}
		if c.roster.checked(a, false, "a health check ("+outcome+")", until, now) {
			c.metrics.putAside.WithLabelValues(p.typ).Inc()
			c.log.Warn("account put aside by a health check", "account", a.id, "outcome", outcome, "error", cause)
		}
	default:
		c.log.Warn("health check says nothing about the account", "account", a.id, "outcome", outcome, "error", cause)
	}
}

// checkCall is the question in the protocol of the pool; nil where it cannot be
// asked, which is nowhere as yet. A forward-api account is asked in Chat
// Completions, at the path where most of them have it. It asks for no limit of
// the answer: not all models know the same name for it.
func checkCall(model string, p *pool, s settings) *call {
	c := &call{
		requestID: "check-" + uuid.NewString(), dialect: openAI{}, header: http.Header{},
		path: "/v1/chat/completions", model: model, pool: p, settings: s,
	}
	field := "messages"
	if p.info.adapter.wire() == wireResponses {
		c.dialect, field = responses{}, "input"
	}
	c.body, _ = json.Marshal(map[string]any{ // plain values cannot fail
		"model": model, field: []map[string]string{{"role": "user", "content": "Hi"}},
	})
	if c.convert() != nil {
		return nil
	}
	return c
}

// nowhere is a client that takes everything.
type nowhere struct{}

func (nowhere) Header() http.Header         { return http.Header{} }
func (nowhere) WriteHeader(int)             {}
func (nowhere) Write(p []byte) (int, error) { return len(p), nil }

// due reports whether an account should be checked now: not where the provider
// asked for a rest, nor where a request has just shown that it works.
func (r *roster) due(id accountID, interval time.Duration, now time.Time) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	m := r.mark(id)
	return !(m.rested && now.Before(m.coolUntil)) && now.Sub(m.goodAt) >= interval
}

// checked records what a health check found, and reports whether that changed
// anything. A good answer overrules the mark in the entry, until the entry
// changes.
func (r *roster) checked(a *account, good bool, reason string, until, now time.Time) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	m := r.mark(a.id)
	m.checkedAt = now
	was := now.Before(m.coolUntil) || a.marked(now) && m.healed != a.raw
	if good {
		m.errors, m.coolUntil, m.goodAt, m.healed = 0, time.Time{}, now, ""
		if a.unhealthy {
			m.healed = a.raw
		}
		return was
	}
	m.errors++
	m.healed = ""
	if until.After(m.coolUntil) {
		m.coolUntil, m.reason, m.rested = until, reason, false
	}
	return !was
}
