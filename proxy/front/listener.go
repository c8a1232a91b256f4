package front

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"holdfast/backend/descriptors"
)

const (
	firstPause = 5 * time.Millisecond
	lastPause  = time.Second
	unixPrefix = "unix:"
	tooMany    = "-ERR max number of clients reached\r\n"
)

// Limits bound what one client may make the process hold. Zero fields take the
// defaults, which are Redis's, but for MaxArgs: servers from 7.0 on take 2^31-1.
type Limits struct {
	MaxBulk     int64 // bytes of one argument; 512 MiB
	MaxArgs     int   // arguments of one command; 1024*1024
	MaxInline   int   // bytes of an inline command or a header line; 64 KiB
	QueryBuffer int64 // bytes of one command; 1 GiB. Beyond it the client is closed without a word
}

// Config says where to listen and what to allow.
type Config struct {
	Addrs        []string    // "host:port" or "unix:/path"; at least one
	TLS          *tls.Config // for the TCP addresses; nil: plain
	Limits       Limits
	MaxClients   int           // 0: 10000
	IdleTimeout  time.Duration // 0: none. A client that sends nothing for so long is closed
	WriteTimeout time.Duration // 0: none. A client that takes none of its replies for so long is closed
	// Authed says whether a client has authenticated; until then Redis's tighter
	// caps hold. nil: no password is needed. Called from the connection's Read.
	Authed func(net.Conn) bool
	Logger *slog.Logger // nil: slog.Default
}

// Listener is several guarded addresses behind one net.Listener.
type Listener struct {
	cfg      Config
	log      *slog.Logger
	token    []byte
	standIn  []byte
	lns      []net.Listener
	accepted chan net.Conn
	stopped  chan struct{} // no more accepting
	closed   chan struct{} // Accept ends
	draining atomic.Bool
	wg       sync.WaitGroup
	pause    func(d time.Duration) // waits; ends early when stopped

	mu       sync.Mutex
	conns    map[*Conn]struct{}
	toldFull time.Time
	empty    chan struct{} // closed by forget when the last client has gone; nil: nobody waits

	stopOnce, closeOnce sync.Once
	stopErr             error
}

var _ net.Listener = (*Listener)(nil)

// Listen binds all addresses, or none. The caller checks that an address which
// is not IsLoopback has a password.
func Listen(cfg Config) (*Listener, error) {
	if len(cfg.Addrs) == 0 {
		return nil, errors.New("listen: no address given: name at least one host:port or unix:/path")
	}
	l, err := newListener(cfg)
	if err != nil {
		return nil, err
	}
	for _, addr := range cfg.Addrs {
		ln, err := bind(addr)
		if err != nil {
			_ = l.Close()
			return nil, fmt.Errorf("listen on %s: %w", addr, err)
		}
		stampAccepted(ln)
		if cfg.TLS != nil && ln.Addr().Network() != "unix" {
			ln = tls.NewListener(ln, cfg.TLS)
		}
		l.lns = append(l.lns, ln)
	}
	for _, ln := range l.lns {
		l.serve(ln)
	}
	return l, nil
}

func newListener(cfg Config) (*Listener, error) {
	setDefault(&cfg.Limits.MaxBulk, 512<<20)
	setDefault(&cfg.Limits.MaxArgs, 1024*1024)
	setDefault(&cfg.Limits.MaxInline, 64<<10)
	setDefault(&cfg.Limits.QueryBuffer, 1<<30)
	setDefault(&cfg.MaxClients, 10000)
	if cfg.Logger == nil {
		cfg.Logger = slog.Default()
	}
	l := &Listener{
		cfg: cfg, log: cfg.Logger, token: make([]byte, 17),
		accepted: make(chan net.Conn), stopped: make(chan struct{}), closed: make(chan struct{}),
		conns: make(map[*Conn]struct{}),
	}
	if _, err := rand.Read(l.token[1:]); err != nil {
		return nil, fmt.Errorf("make listener token: %w", err)
	}
	l.standIn = standIn(l.token)
	l.pause = func(d time.Duration) {
		select {
		case <-time.After(d):
		case <-l.stopped:
		}
	}
	return l, nil
}

func setDefault[T int | int64](v *T, def T) {
	if *v <= 0 {
		*v = def
	}
}

func bind(addr string) (net.Listener, error) {
	path, isUnix := strings.CutPrefix(addr, unixPrefix)
	if !isUnix {
		return net.Listen("tcp", addr)
	}
	if err := removeStale(path); err != nil {
		return nil, err
	}
	return net.Listen("unix", path) // it removes the file on Close
}

// removeStale removes the socket file of a process that died. A socket that
// somebody answers, or a file of another kind, stays.
func removeStale(path string) error {
	info, err := os.Lstat(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if info.Mode()&os.ModeSocket == 0 {
		return fmt.Errorf("%s exists and is not a socket: choose another path or remove it", path)
	}
	if conn, err := net.DialTimeout("unix", path, time.Second); err == nil {
		_ = conn.Close()
		return fmt.Errorf("%s is in use by another process: stop it or choose another path", path)
	}
	return os.Remove(path)
}

// serve accepts on one address until Stop.
func (l *Listener) serve(ln net.Listener) {
	l.wg.Go(func() {
		pause := time.Duration(0)
		for {
			nc, err := ln.Accept()
			if err == nil {
				if pause > 0 {
					l.log.Info("accepting clients again", "listen", ln.Addr().String())
					pause = 0
				}
				l.hand(nc)
				continue
			}
			if l.isStopped() || errors.Is(err, net.ErrClosed) {
				return
			}
			// Out of descriptors, most likely: trying again at once would spin.
			if pause == 0 {
				l.log.Error("accept clients", "listen", ln.Addr().String(), "err", err)
				pause = firstPause
			} else {
				pause = min(2*pause, lastPause)
			}
			l.pause(pause)
		}
	})
}

// hand gives nc to Accept, or refuses it when there are too many clients.
func (l *Listener) hand(nc net.Conn) {
	c := newConn(nc, l)
	scarce := descriptors.Scarce(nc)
	l.mu.Lock()
	full := scarce || len(l.conns) >= l.cfg.MaxClients
	if !full {
		l.conns[c] = struct{}{}
	}
	l.mu.Unlock()
	if full {
		l.tellFull(scarce)
		l.refuse(nc)
		return
	}
	select {
	case l.accepted <- c:
	case <-l.stopped:
		_ = c.Close()
	}
}

// tellFull logs that clients are refused, once a minute.
func (l *Listener) tellFull(scarce bool) {
	now := time.Now()
	l.mu.Lock()
	last := l.toldFull
	if now.Sub(last) >= time.Minute {
		l.toldFull = now
	}
	n := len(l.conns)
	l.mu.Unlock()
	switch {
	case now.Sub(last) < time.Minute:
	case scarce:
		l.log.Error("clients are refused: descriptors are kept back for the journal and Redis; raise their limit (ulimit -n)", "clients", n, "limit", descriptors.Limit())
	default:
		l.log.Warn("clients are refused: there are as many as --maxclients allows", "clients", n)
	}
}

// refuse never blocks: the text fits into a new socket's buffer. A TLS client
// is closed without it, for it would need a handshake first, as in Redis.
func (l *Listener) refuse(nc net.Conn) {
	if _, isTLS := nc.(*tls.Conn); !isTLS {
		_ = nc.SetWriteDeadline(time.Now().Add(time.Second))
		_, _ = nc.Write([]byte(tooMany))
	}
	_ = nc.Close()
}

func (l *Listener) forget(c *Conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.conns, c)
	if len(l.conns) == 0 && l.empty != nil {
		close(l.empty)
		l.empty = nil
	}
}

// Accept waits for the next client. It returns net.ErrClosed after Close, and
// no other error.
func (l *Listener) Accept() (net.Conn, error) {
	select {
	case nc := <-l.accepted:
		return nc, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

// Addr is the first address; it is known once Listen has returned.
func (l *Listener) Addr() net.Addr { return l.lns[0].Addr() }

// Addrs are all addresses, in the order of Config.Addrs.
func (l *Listener) Addrs() []net.Addr {
	addrs := make([]net.Addr, len(l.lns))
	for i, ln := range l.lns {
		addrs[i] = ln.Addr()
	}
	return addrs
}

// Clients is the number of open connections, detached ones included.
func (l *Listener) Clients() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.conns)
}

func (l *Listener) isStopped() bool {
	select {
	case <-l.stopped:
		return true
	default:
		return false
	}
}

// Stop ends accepting and removes unix socket files; open connections and
// Accept go on. Idempotent.
func (l *Listener) Stop() error {
	l.stopOnce.Do(func() {
		close(l.stopped)
		var errs []error
		for _, ln := range l.lns {
			errs = append(errs, ln.Close())
		}
		l.stopErr = errors.Join(errs...)
	})
	l.wg.Wait()
	return l.stopErr
}

// Drain stops accepting, ends each connection once the commands it has read are
// answered, and returns when all are gone or ctx is done.
func (l *Listener) Drain(ctx context.Context) error {
	err := l.Stop()
	l.draining.Store(true)
	l.mu.Lock()
	var empty chan struct{}
	if len(l.conns) > 0 {
		if l.empty == nil {
			l.empty = make(chan struct{})
		}
		empty = l.empty
	}
	for c := range l.conns {
		_ = c.SetReadDeadline(time.Unix(1, 0))
	}
	l.mu.Unlock()
	if empty == nil {
		return err
	}
	select {
	case <-empty:
		return err
	case <-ctx.Done():
		return errors.Join(err, fmt.Errorf("drain clients: %w", ctx.Err()))
	}
}

// Close stops accepting and makes Accept return; redcon.Serve then closes the
// connections it still has. Idempotent.
func (l *Listener) Close() error {
	err := l.Stop()
	l.closeOnce.Do(func() { close(l.closed) })
	return err
}

// IsLoopback reports whether addr (as in Config.Addrs) can be reached from this
// machine only. A host name other than localhost counts as reachable from outside.
func IsLoopback(addr string) bool {
	if strings.HasPrefix(addr, unixPrefix) {
		return true
	}
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return false
	}
	if host == "localhost" {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}
