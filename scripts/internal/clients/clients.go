// Package clients gives the judges Redis clients that never repeat a command by
// themselves and that say exactly what is known of each one.
package clients

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"holdfast/backend/resp"
)

// AnswerTimeout is how long a client waits for an answer before it gives up. It
// is far beyond any bound that the proxy promises.
const AnswerTimeout = 20 * time.Second

// Reply is what came back for one command. Without Answered nothing came.
type Reply struct {
	Answered bool
	Err      string // the text of an error reply
	Val      any    // nil, int64, string, float64 or []any
}

// BrokenError says that a connection broke, or could not be made.
type BrokenError struct {
	Life int64 // the proxy's life when the connection was made
	Sent bool  // false: no byte of the commands left
	Err  error
}

func (e *BrokenError) Error() string { return fmt.Sprintf("connection broke: %v", e.Err) }

// Unwrap gives the cause.
func (e *BrokenError) Unwrap() error { return e.Err }

// Conn is one client with one connection at a time. Not safe for concurrent use.
type Conn interface {
	// Do sends the commands as one pipeline and returns one Reply for each. The
	// error, a *BrokenError, says why the last ones were not answered.
	Do(cmds [][]string) ([]Reply, error)
	Close()
}

// Config is what all kinds of clients need.
type Config struct {
	Addr  string
	Proto int
	DB    int
	// Life tells the proxy's life; it is asked before each dial.
	Life func() int64
}

func (c Config) life() int64 {
	if c.Life == nil {
		return 0
	}
	return c.Life()
}

// raw writes RESP to a socket.
type raw struct {
	cfg  Config
	conn net.Conn
	r    *resp.Reader
	life int64
	buf  []byte
}

// Raw makes a client on a bare socket.
func Raw(cfg Config) Conn { return &raw{cfg: cfg} }

func (c *raw) Close() {
	if c.conn != nil {
		_ = c.conn.Close()
		c.conn = nil
	}
}

func (c *raw) dial() error {
	c.life = c.cfg.life()
	conn, err := net.DialTimeout("tcp", c.cfg.Addr, 5*time.Second)
	if err != nil {
		return err
	}
	c.conn, c.r = conn, resp.NewReader(conn)
	if c.cfg.Proto == 3 {
		err = c.prepare("HELLO", "3")
	}
	if c.cfg.DB != 0 && err == nil {
		err = c.prepare("SELECT", fmt.Sprint(c.cfg.DB))
	}
	if err != nil {
		c.Close()
	}
	return err
}

// prepare runs one command on a new connection.
func (c *raw) prepare(cmd ...string) error {
	_ = c.conn.SetDeadline(time.Now().Add(AnswerTimeout))
	if _, err := c.conn.Write(resp.AppendCommandStrings(nil, cmd...)); err != nil {
		return err
	}
	v, err := c.r.ReadReply(nil)
	if err == nil && v.IsError() {
		err = errors.New(v.Text())
	}
	return err
}

func (c *raw) Do(cmds [][]string) ([]Reply, error) {
	replies := make([]Reply, len(cmds))
	if c.conn == nil {
		if err := c.dial(); err != nil {
			return replies, &BrokenError{Life: c.life, Err: err}
		}
	}
	c.buf = c.buf[:0]
	for _, cmd := range cmds {
		c.buf = resp.AppendCommandStrings(c.buf, cmd...)
	}
	_ = c.conn.SetDeadline(time.Now().Add(AnswerTimeout))
	if _, err := c.conn.Write(c.buf); err != nil {
		c.Close()
		return replies, &BrokenError{Life: c.life, Sent: true, Err: err}
	}
	for i := range replies {
		v, err := c.r.ReadReply(nil)
		if err != nil {
			c.Close()
			return replies, &BrokenError{Life: c.life, Sent: true, Err: err}
		}
		replies[i] = fromValue(v)
	}
	return replies, nil
}

func fromValue(v resp.Value) Reply {
	if v.IsError() {
		return Reply{Answered: true, Err: v.Text()}
	}
	return Reply{Answered: true, Val: plain(v)}
}

func plain(v resp.Value) any {
	switch {
	case v.Null:
		return nil
	case v.Kind == resp.KindInt || v.Kind == resp.KindBool:
		return v.Int
	case v.IsError():
		return errors.New(v.Text())
	case v.Elems != nil || v.Kind == resp.KindArray || v.Kind == resp.KindMap || v.Kind == resp.KindSet:
		list := make([]any, len(v.Elems))
		for i, e := range v.Elems {
			list[i] = plain(e)
		}
		return list
	}
	return v.Text()
}

// livedConn knows the life in which it was made, since go-redis may have several.
// It hides that it is a socket: go-redis looks at idle sockets and silently
// replaces those that were closed, and the judges must see that.
type livedConn struct {
	net.Conn
	life   int64
	failed *atomic.Int64 // told the life of each connection that failed
}

func (c livedConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if err != nil {
		c.failed.Store(c.life)
	}
	return n, err
}

func (c livedConn) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	if err != nil {
		c.failed.Store(c.life)
	}
	return n, err
}

// goRedis is the client most Go programs use.
type goRedis struct {
	cfg    Config
	c      *redis.Client // nil after a failed dial: its pool would repeat that error for a while
	failed atomic.Int64  // life of the connection that failed last
}

// quiet keeps go-redis from logging each failed dial.
type quiet struct{}

func (quiet) Printf(context.Context, string, ...any) {}

func init() { redis.SetLogger(quiet{}) }

// GoRedis makes a go-redis client with one connection and no retries.
func GoRedis(cfg Config) Conn { return &goRedis{cfg: cfg} }

func (g *goRedis) open() *redis.Client {
	return redis.NewClient(&redis.Options{
		Addr: g.cfg.Addr, Protocol: g.cfg.Proto, DB: g.cfg.DB, MaxRetries: -1, PoolSize: 1, DialerRetries: 1, PoolTimeout: AnswerTimeout,
		DialTimeout: 5 * time.Second, ReadTimeout: AnswerTimeout, WriteTimeout: AnswerTimeout,
		Dialer: func(ctx context.Context, network, addr string) (net.Conn, error) {
			life := g.cfg.life()
			conn, err := (&net.Dialer{Timeout: 5 * time.Second}).DialContext(ctx, network, addr)
			if err != nil {
				g.failed.Store(life)
				return nil, err
			}
			return livedConn{conn, life, &g.failed}, nil
		},
	})
}

func (g *goRedis) Close() {
	if g.c != nil {
		_ = g.c.Close()
		g.c = nil
	}
}

func (g *goRedis) Do(cmds [][]string) ([]Reply, error) {
	ctx := context.Background()
	replies := make([]Reply, len(cmds))
	results := make([]*redis.Cmd, len(cmds))
	var broken error
	if g.c == nil {
		g.c = g.open()
	}
	// Single commands, too: go-redis has other connections for those, and WATCH
	// has to be on the one that EXEC is on.
	p := g.c.Pipeline()
	for i, cmd := range cmds {
		results[i] = p.Do(ctx, args(cmd)...)
	}
	_, _ = p.Exec(ctx) // the errors are in the results
	for i, r := range results {
		val, err := r.Result()
		var reply redis.Error
		switch {
		case err == nil:
			replies[i] = Reply{Answered: true, Val: val}
		case errors.Is(err, redis.Nil):
			replies[i] = Reply{Answered: true}
		case errors.As(err, &reply):
			replies[i] = Reply{Answered: true, Err: err.Error()}
		case broken == nil:
			var op *net.OpError
			dial := errors.As(err, &op) && op.Op == "dial"
			broken = &BrokenError{Life: g.failed.Load(), Sent: !dial, Err: err}
			if dial {
				defer g.Close()
			}
		}
	}
	return replies, broken
}

func args(cmd []string) []any {
	list := make([]any, len(cmd))
	for i, a := range cmd {
		list[i] = a
	}
	return list
}
