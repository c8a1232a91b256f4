package proxy

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tidwall/redcon"

	"holdfast/backend/command"
	"holdfast/fallback"
	"holdfast/proxy/cache"
	"holdfast/proxy/embedded"
	"holdfast/proxy/front"
)

// drainTimeout bounds how long Close waits for commands under way.
const drainTimeout = 5 * time.Second

// stuckTimeout is how long a client may take none of its replies before it is
// closed: it would hold them in memory, or hold up its connection to Redis.
const stuckTimeout = time.Minute

// Server is the proxy's listener with its clients and its cache.
type Server struct {
	cfg     Config
	log     *slog.Logger
	cache   *cache.Cache
	ln      *front.Listener
	started time.Time

	nextID     atomic.Int64
	commands   atomic.Uint64
	fencing    atomic.Int64 // calls with writes that are under way or being settled
	turns      turns
	noValues   atomic.Bool // Redis refused to tell of the values behind a script, see values.go
	seenFences sync.Map    // [protocol, database] of fences that were answered since the start
	scripts    scriptMemory
	handovers  handovers
	dry        *dryRuns
	writePause writePause
	own        ownKeys
	http       sampledWarning
	logins     logins
	closing    chan struct{} // closed by Close: nobody waits any more
	counted    embedded.Counts
	pause      embedded.Pause
	hub        *hub

	mu      sync.Mutex
	clients map[*client]struct{}
	wg      sync.WaitGroup // detached connections
	byConn  sync.Map       // net.Conn → *client, where a password is needed

	closeOnce sync.Once
	closeErr  error
}

// Open binds the listeners. It serves once Run is called.
func Open(cfg Config) (*Server, error) {
	if err := cfg.withDefaults(); err != nil {
		return nil, err
	}
	s := &Server{cfg: cfg, log: cfg.Logger, cache: cfg.newCache(), started: time.Now(), clients: map[*client]struct{}{}, hub: newHub(), dry: newDryRuns(), closing: make(chan struct{})}
	if n, ok := cfg.Local.(interface {
		OnWrite(func(db int, by int64, commands [][][]byte))
	}); ok {
		n.OnWrite(s.hub.wrote)
	}
	if n, ok := cfg.Local.(interface {
		OnExpire(func(db int, key string))
	}); ok {
		n.OnExpire(s.hub.expired)
	}
	if cfg.Upstream == nil {
		cfg.Local.Alone().OnPublish(s.hub.tell)
	}
	ln, err := front.Listen(front.Config{
		Addrs: cfg.Listen, TLS: cfg.TLS, MaxClients: cfg.MaxClients, IdleTimeout: cfg.IdleTimeout, WriteTimeout: stuckTimeout,
		Authed: s.connAuthed, Logger: cfg.Logger,
	})
	if err != nil {
		return nil, err
	}
	s.ln = ln
	return s, nil
}

// Addrs are the addresses the proxy listens on, ports filled in.
func (s *Server) Addrs() []net.Addr { return s.ln.Addrs() }

// Run serves clients until ctx ends or Close is called, then drains: commands
// under way are answered before their connections close.
func (s *Server) Run(ctx context.Context) error {
	stop := context.AfterFunc(ctx, func() { _ = s.Close() })
	defer stop()
	background, stopBackground := context.WithCancel(ctx)
	defer stopBackground()
	s.wg.Go(func() { s.watchEvents(background) })
	if s.cfg.Upstream != nil {
		s.wg.Go(func() { s.touchLoop(background) })
	}
	err := redcon.Serve(s.ln, s.onCommand, s.onAccept, s.onClosed)
	stopBackground()
	s.wg.Wait()
	s.dry.end()
	if errors.Is(err, net.ErrClosed) || errors.Is(err, io.EOF) {
		err = nil
	}
	if cerr := s.Close(); err == nil {
		err = cerr
	}
	return err
}

// Close stops accepting, lets commands under way finish for a while, and closes
// every connection. Idempotent.
func (s *Server) Close() error {
	s.closeOnce.Do(func() {
		close(s.closing)
		_ = s.ln.Stop()
		ctx, cancel := context.WithTimeout(context.Background(), drainTimeout)
		defer cancel()
		if err := s.ln.Drain(ctx); err != nil && !errors.Is(err, context.DeadlineExceeded) {
			s.log.Debug("drain ended", "error", err)
		}
		s.closeErr = s.ln.Close()
		for _, c := range s.clientsByID() { // redcon closes those that it has; others may be stuck
			if c.conn != nil {
				_ = c.conn.Close()
			}
		}
	})
	return s.closeErr
}

func (s *Server) onAccept(conn redcon.Conn) bool {
	c := s.newClient(conn)
	conn.SetContext(c)
	s.mu.Lock()
	s.clients[c] = struct{}{}
	s.mu.Unlock()
	if s.needsAuth() {
		s.byConn.Store(c.conn, c)
	}
	return true
}

func (s *Server) onClosed(conn redcon.Conn, _ error) {
	c, ok := conn.Context().(*client)
	if !ok || c.detached {
		return
	}
	s.forget(c)
}

func (s *Server) forget(c *client) {
	s.mu.Lock()
	delete(s.clients, c)
	s.mu.Unlock()
	s.byConn.Delete(c.conn)
	if b := c.blocked.Load(); b != nil {
		s.cfg.Local.Unblock(b.waiter) // nobody gets what it would be served
	}
	c.endSession()
	c.handedOver()
}

// onCommand serves one batch: redcon's first command and what came with it.
func (s *Server) onCommand(conn redcon.Conn, first redcon.Command) {
	c, _ := conn.Context().(*client)
	c.cmds = front.Batch(c.cmds[:0], conn, first)
	rest := c.serve(c.cmds)
	s.commands.Add(uint64(len(c.cmds)))
	if len(c.batch.out) > maxKeptBytes {
		// redcon would copy it into a buffer that it keeps; nothing is waiting there.
		_, _ = c.conn.Write(c.batch.out)
		c.batch.out = nil
	} else {
		conn.WriteRaw(c.batch.out)
	}
	if rest != nil {
		c.detach(conn, rest)
		return
	}
	clear(c.cmds)
	if c.closing {
		_ = conn.Close()
	}
}

// connAuthed tells the guard whether a connection has authenticated: until then
// Redis's tighter length caps hold.
func (s *Server) connAuthed(conn net.Conn) bool {
	if !s.needsAuth() {
		return true
	}
	c, ok := s.byConn.Load(conn)
	return ok && c.(*client).authed.Load()
}

func (s *Server) baseDB() int { return s.cfg.BaseDB }

func (s *Server) clientsByID() []*client {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make([]*client, 0, len(s.clients))
	for c := range s.clients {
		out = append(out, c)
	}
	slices.SortFunc(out, func(a, b *client) int { return int(a.id - b.id) })
	return out
}

// redisVersion is what HELLO and INFO tell clients.
func (s *Server) redisVersion() string {
	if s.cfg.Upstream != nil {
		if v := s.cfg.Upstream.Status().Info.Version; v != "" {
			return v
		}
	}
	return emulatedVersion
}

// emulatedVersion is the Redis whose behaviour the local engine follows.
const emulatedVersion = "7.0.15"

// Invalidate drops changed keys from the cache; nil means all. It is called
// from the tracking connection, in the server's order.
func (s *Server) Invalidate(keys [][]byte) {
	s.cache.Invalidate(keys)
	if keys == nil {
		s.own.flushed()
	}
	for _, key := range keys {
		if isOwn(key) {
			s.own.saw(key)
		}
	}
}

// Fencing reports whether fenced writes of a dead link still look for their
// place. Redis must not be declared back before: their fence would move on.
func (s *Server) Fencing() bool { return s.fencing.Load() > 0 }

// Lost drops every cached reply: nothing will announce changes from now on.
func (s *Server) Lost() { s.cache.NextGeneration() }

// beforeWrite notes what a write says about how its key may be treated later:
// a key ever written with NX is a lock and never cached; a script's body is kept
// for an EVALSHA while Redis is away.
func (s *Server) beforeWrite(cmd *command.Command, db int, argv [][]byte) {
	switch {
	case cmd.Flags&command.Script != 0:
		s.scripts.note(s.cfg.Local, cmd, argv)
	case cmd.Name == "set" && len(argv) > 3 && hasWord(argv[3:], "nx"), cmd.Name == "setnx":
		s.cache.NeverCache(db, argv[1])
	}
}

func hasWord(args [][]byte, word string) bool {
	for _, a := range args {
		if bytes.EqualFold(a, []byte(word)) {
			return true
		}
	}
	return false
}

// Cache gives the reply cache's figures.
func (s *Server) Cache() cache.Stats { return s.cache.Stats() }

// Clients is the number of connected clients.
func (s *Server) Clients() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.clients)
}

var _ Local = (*fallback.Store)(nil)

// Describe tells where the proxy listens, for the ready line.
func (s *Server) Describe() string {
	out := ""
	for i, a := range s.Addrs() {
		if i > 0 {
			out += ","
		}
		if a.Network() == "unix" {
			out += "unix:"
		}
		out += a.String()
	}
	return out
}
