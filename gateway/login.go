package gateway

import (
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/tidwall/gjson"
)

// loginSettings are the LOGIN_ fields of the configuration.
type loginSettings struct {
	enabled           bool // UI_ENABLED
	life              time.Duration
	attempts          int
	lockout, interval time.Duration
}

func parseLogin(cfg gjson.Result) loginSettings {
	seconds := func(field string, def int) time.Duration {
		if n := bounded(cfg.Get(field), def, 30*24*60*60); n > 0 {
			return time.Duration(n) * time.Second
		}
		return time.Duration(def) * time.Second
	}
	s := loginSettings{
		enabled: cfg.Get("UI_ENABLED").Type != gjson.False,
		life:    seconds("LOGIN_EXPIRY", 3600), lockout: seconds("LOGIN_LOCKOUT_DURATION", 1800),
		attempts: bounded(cfg.Get("LOGIN_MAX_ATTEMPTS"), 5, 1000), interval: millis(cfg.Get("LOGIN_MIN_INTERVAL"), 5*time.Second),
	}
	if s.attempts == 0 { // it cannot be switched off
		s.attempts = 5
	}
	return s
}

// maxLoginSources bounds what is remembered of who tried.
const maxLoginSources = 10_000

// logins limits attempts at the password, for each address they come from. The
// zero value is ready; safe for concurrent use.
type logins struct {
	mu   sync.Mutex
	seen map[string]loginTries
}

type loginTries struct {
	n    int
	last time.Time
}

// try asks for an attempt, which counts at once: many at a time are not more
// than one after another. It gives the time to wait; zero: go on.
func (l *logins) try(from string, s loginSettings, now time.Time) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	t := l.seen[from]
	if now.Sub(t.last) >= s.lockout {
		t = loginTries{}
	}
	switch {
	case t.n >= s.attempts:
		return t.last.Add(s.lockout).Sub(now)
	case t.n > 0 && now.Sub(t.last) < s.interval:
		return t.last.Add(s.interval).Sub(now)
	}
	if len(l.seen) >= maxLoginSources {
		for addr, old := range l.seen {
			if now.Sub(old.last) >= s.lockout {
				delete(l.seen, addr)
			}
		}
		if len(l.seen) >= maxLoginSources {
			return s.interval
		}
	}
	if l.seen == nil {
		l.seen = map[string]loginTries{}
	}
	l.seen[from] = loginTries{t.n + 1, now}
	return 0
}

// passed forgets the attempts from an address that knew the password.
func (l *logins) passed(from string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.seen, from)
}

// loginSource is where a connection comes from: of IPv6 the network, since a
// host has as many addresses there as it likes.
func loginSource(remote string) string {
	host, _, err := net.SplitHostPort(remote)
	if err != nil {
		return remote
	}
	addr, err := netip.ParseAddr(host)
	if err != nil || addr.Unmap().Is4() {
		return host
	}
	prefix, err := addr.WithZone("").Prefix(64)
	if err != nil {
		return host
	}
	return prefix.String()
}
