package backend

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"holdfast/backend/resp"
)

// busyPause is how long a server that is busy with a script is left alone before it
// is asked again.
const busyPause = 20 * time.Millisecond

// noDatabase asks dial for a connection that is authenticated only: a server that is
// busy with a script does not take SELECT.
const noDatabase = -1

// defaultClientName is how our connections show in CLIENT LIST.
const defaultClientName = "holdfast"

var (
	// ErrAuth: the server wants other credentials. The text has no secret.
	ErrAuth = errors.New("upstream refused the credentials")
	// ErrProto: the server does not speak the protocol version asked for.
	ErrProto = errors.New("upstream does not speak this RESP version")
)

// conn is a connection that is set up: authenticated, in its database.
type conn struct {
	net.Conn
	raw   net.Conn // below TLS
	to    target   // the very server: no sentinel is asked again
	id    int64    // CLIENT ID; 0 when the server does not tell
	proto int
	hello resp.Value // the reply of HELLO; zero without it
	rd    *resp.Reader
}

// abort ends the connection at once: by a reset, so that neither kernel goes on
// delivering what was not executed yet. Closing TLS properly could block on a
// server that reads nothing.
func (c *conn) abort() {
	if tcp, ok := c.raw.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	_ = c.raw.Close()
}

// dial connects and sets up within ctx. proto 0 means 3, or 2 where the server
// has no RESP3.
func (t target) dial(ctx context.Context, proto, db int) (*conn, error) {
	if t.master != "" {
		addr, err := t.resolve(ctx)
		if err != nil {
			return nil, err
		}
		t.addr, t.master = addr, ""
	}
	var d net.Dialer
	raw, err := d.DialContext(ctx, t.network, t.addr)
	if err != nil {
		return nil, fmt.Errorf("connect to upstream: %w", err)
	}
	c := &conn{Conn: raw, raw: raw, to: t}
	// A deadline in the past ends whatever blocks when ctx ends.
	stop := context.AfterFunc(ctx, func() { _ = raw.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	if t.tls != nil {
		tc := tls.Client(raw, t.tls)
		if err := tc.HandshakeContext(ctx); err != nil {
			c.abort()
			return nil, fmt.Errorf("set up TLS with upstream: %w", err)
		}
		c.Conn = tc
	}
	c.rd = resp.NewReader(c.Conn)
	if err := t.login(c, proto, db); err != nil {
		c.abort()
		if ctx.Err() != nil {
			err = fmt.Errorf("%w: %w", err, ErrTimeout)
		}
		return nil, fmt.Errorf("set up upstream connection: %w", err)
	}
	if !stop() {
		c.abort()
		return nil, fmt.Errorf("set up upstream connection: %w", ErrTimeout)
	}
	return c, nil
}

// resolve asks the sentinels, in order, for the master's address.
func (t target) resolve(ctx context.Context) (string, error) {
	var errs []error
	for _, s := range t.sentinels {
		sc := redis.NewSentinelClient(&redis.Options{Addr: s, MaxRetries: -1, DialerRetries: 1, DialTimeout: 500 * time.Millisecond, ReadTimeout: time.Second})
		hp, err := sc.GetMasterAddrByName(ctx, t.master).Result()
		_ = sc.Close()
		if err == nil && len(hp) == 2 {
			return net.JoinHostPort(hp[0], hp[1]), nil
		}
		errs = append(errs, fmt.Errorf("sentinel %s: %w", s, err))
	}
	return "", fmt.Errorf("find master %q: %w", t.master, errors.Join(errs...))
}

// A connection is set up with commands spelled in a way of their own, so that whoever
// shows the feed of MONITOR can leave them out.
const (
	ownHello  = "hELLO"
	ownSelect = "sELECT"
	ownClient = "cLIENT"
	ownPing   = "pING"
	ownInfo   = "iNFO"
	ownTime   = "tIME"
)

// setup authenticates, names the connection and selects db: one round trip on
// a server with HELLO, a second one on an older server.
func (t target) setup(c *conn, password string, proto, db int) error {
	want := max(proto, 2)
	if proto == 0 {
		want = 3
	}
	hello := []string{ownHello, strconv.Itoa(want)}
	if password != "" {
		user := t.user
		if user == "" {
			user = "default"
		}
		hello = append(hello, "AUTH", user, password)
	}
	cmds := [][]string{append(hello, "SETNAME", t.name)}
	if db != noDatabase {
		cmds = append(cmds, []string{ownSelect, strconv.Itoa(db)}, []string{ownClient, "ID"})
	}
	rs, err := c.exchange(cmds...)
	if err != nil {
		return err
	}
	if e := rs[0].Err(); e != nil {
		if !isOldServer(e) {
			return authError(e)
		}
		if proto == 3 {
			return fmt.Errorf("%w: %w", ErrProto, e)
		}
		return t.setupOld(c, password, db)
	}
	c.proto, c.hello = want, rs[0]
	if db == noDatabase {
		return nil
	}
	return c.afterSelect(rs[1], rs[2], db)
}

// setupOld sets up without HELLO (Redis before 6, or HELLO renamed away).
func (t target) setupOld(c *conn, password string, db int) error {
	var cmds [][]string
	if password != "" {
		auth := []string{"AUTH", password}
		if t.user != "" {
			auth = []string{"AUTH", t.user, password}
		}
		cmds = append(cmds, auth)
	}
	if db != noDatabase {
		cmds = append(cmds, []string{"CLIENT", "SETNAME", t.name}, []string{"SELECT", strconv.Itoa(db)}, []string{"CLIENT", "ID"})
	}
	rs, err := c.exchange(cmds...)
	if err != nil {
		return err
	}
	if password != "" {
		if e := rs[0].Err(); e != nil {
			return authError(e)
		}
	}
	c.proto = 2
	if db == noDatabase {
		return nil
	}
	n := len(rs)
	return c.afterSelect(rs[n-2], rs[n-1], db)
}

func (c *conn) afterSelect(sel, id resp.Value, db int) error {
	// A user without the right to SELECT is fine as long as db 0 is meant.
	if e := sel.Err(); e != nil && (db != 0 || !strings.HasPrefix(e.Error(), "NOPERM")) {
		return fmt.Errorf("select database %d: %w", db, authError(e))
	}
	c.id = id.Int
	return nil
}

// isOldServer recognises a server without HELLO, or without the version.
func isOldServer(e error) bool {
	s := e.Error()
	return strings.HasPrefix(s, "NOPROTO") || strings.HasPrefix(s, "ERR unknown command") || strings.HasPrefix(s, "ERR unknown subcommand")
}

// authError turns a refusal of credentials into ErrAuth; the server's texts
// name neither user nor password for these codes.
func authError(e error) error {
	s := e.Error()
	switch {
	case strings.HasPrefix(s, "NOAUTH"):
		return fmt.Errorf("%w: it wants a password: give one in the URL or REDIS_PASSWORD", ErrAuth)
	case strings.HasPrefix(s, "WRONGPASS"), strings.HasPrefix(s, "ERR invalid password"):
		return fmt.Errorf("%w: wrong user name or password, or the user is disabled", ErrAuth)
	case strings.HasPrefix(s, "ERR Client sent AUTH"), strings.HasPrefix(s, "ERR AUTH"):
		return fmt.Errorf("%w: it has no password set, but one was given", ErrAuth)
	}
	return e
}

// turnedAway reports whether a dial failed with an answer that the next ones
// will get as well.
func turnedAway(err error) bool {
	var reply resp.ReplyError
	return errors.Is(err, ErrAuth) || errors.As(err, &reply) && strings.Contains(reply.Error(), "max number of clients")
}

// exchange sends commands in one write and reads their replies, before the
// connection has another user. The Values are copies. While the server is busy with a
// script it is asked again: what a connection is set up with may be asked twice.
func (c *conn) exchange(cmds ...[]string) ([]resp.Value, error) {
	for {
		rs, err := c.exchangeOnce(cmds)
		if err != nil || !slices.ContainsFunc(rs, isBusy) {
			return rs, err
		}
		time.Sleep(busyPause) // whoever bounds the set-up ends the connection
	}
}

// isBusy reports whether a script keeps the server from executing a command.
func isBusy(v resp.Value) bool {
	e := v.Err()
	return e != nil && strings.HasPrefix(e.Error(), "BUSY ")
}

func (c *conn) exchangeOnce(cmds [][]string) ([]resp.Value, error) {
	var b []byte
	for _, cmd := range cmds {
		b = resp.AppendCommandStrings(b, cmd...)
	}
	if _, err := c.Write(b); err != nil {
		return nil, err
	}
	out := make([]resp.Value, 0, len(cmds))
	for range cmds {
		v, err := c.rd.ReadReply(nil)
		if err != nil {
			// A server that hangs up has said why before (max clients).
			for _, o := range out {
				if e := o.Err(); e != nil {
					return nil, e
				}
			}
			return nil, err
		}
		out = append(out, v.Clone())
	}
	return out, nil
}
