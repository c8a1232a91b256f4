package proxy

import (
	"context"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// firstDelay is what the second failed login of an address in a row waits for its
	// answer; each further one waits twice as long, up to a part of CommandTimeout.
	firstDelay = 10 * time.Millisecond
	delayPart  = 2
	// forgetLogins is how long after its last failure an address starts anew.
	forgetLogins = time.Minute
	// maxFailing bounds the addresses remembered; those beyond it count as one.
	maxFailing = 1024
)

// logins slows down the guessing of passwords: failures of an address delay the answers
// to its further failures. A right password is never delayed.
type logins struct {
	total atomic.Uint64 // failures since the start

	mu      sync.Mutex
	failing map[string]*failing // by address, see originOf
}

type failing struct {
	times   int
	last    time.Time
	warning sampledWarning
}

// failed notes a failure at a time. It gives how long the answer has to wait, most at
// the utmost, and whether it is time to warn of the address; others is the number of
// its failures that were not warned of.
func (l *logins) failed(from string, now time.Time, most time.Duration) (wait time.Duration, others int, warn bool) {
	l.total.Add(1)
	l.mu.Lock()
	defer l.mu.Unlock()
	f := l.entry(from, now)
	if now.Sub(f.last) > forgetLogins {
		f.times = 0
	}
	f.times++
	f.last = now
	wait = most
	if doublings := f.times - 2; doublings < 0 {
		wait = 0
	} else if doublings < 16 {
		wait = min(most, firstDelay<<doublings)
	}
	others, warn = f.warning.happened(now)
	return wait, others, warn
}

func (l *logins) entry(from string, now time.Time) *failing {
	if l.failing == nil {
		l.failing = map[string]*failing{}
	}
	if l.failing[from] == nil && len(l.failing) >= maxFailing {
		for old, f := range l.failing {
			if now.Sub(f.last) > forgetLogins {
				delete(l.failing, old)
			}
		}
		if len(l.failing) >= maxFailing {
			from = "others"
		}
	}
	if l.failing[from] == nil {
		l.failing[from] = &failing{}
	}
	return l.failing[from]
}

// originOf is the address whose failures count together: an IP address, the network of
// one host in IPv6, or whatever else the connection comes from.
func originOf(addr string) string {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return addr
	}
	ip, err := netip.ParseAddr(host)
	if err != nil {
		return host
	}
	if ip = ip.Unmap().WithZone(""); ip.Is6() && !ip.IsLoopback() {
		if net, err := ip.Prefix(64); err == nil {
			return net.String()
		}
	}
	return ip.String()
}

// loginFailed counts, logs and waits for a failed login from an address. The names and
// passwords that were tried go nowhere: one may have been typed for the other.
func (s *Server) loginFailed(ctx context.Context, addr string) {
	from := originOf(addr)
	wait, others, warn := s.logins.failed(from, time.Now(), s.cfg.CommandTimeout/delayPart)
	if warn {
		s.log.Warn("login refused: wrong password, or no such user", "from", from, "since_last_warning", others, "total", s.logins.total.Load())
	}
	if wait <= 0 {
		return
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	case <-s.closing:
	}
}

// refuseLogin answers a failed login. What was answered before it does not wait along.
func (c *client) refuseLogin() {
	c.flush()
	if b := &c.batch; !c.detached && len(b.out) > 0 {
		c.settle()
		_, _ = c.conn.Write(b.out)
		b.out, b.durable = b.out[:0], b.durable[:0]
	}
	c.s.loginFailed(context.Background(), c.addr)
	c.reject("WRONGPASS invalid username-password pair or user is disabled.")
}
