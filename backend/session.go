package backend

import (
	"context"
	"errors"
	"fmt"
	"net"
	"syscall"
	"time"

	"holdfast/backend/descriptors"
)

// Session is a dedicated connection for one client's connection state. It is
// closed by Close, and when the link is lost: then reads from Conn fail.
type Session struct{ owned ownedConn }

// OpenSession opens a connection that speaks proto (2 or 3) and has db selected.
// It fails with ErrDown while the upstream is not up, and with descriptors.ErrScarce
// where only those kept back for other things are left.
func (u *Upstream) OpenSession(ctx context.Context, proto, db int) (*Session, error) {
	g := u.live.Load()
	if g == nil {
		return nil, fmt.Errorf("open session: %w", ErrDown)
	}
	if err := checkKey(proto, db); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, u.sessionTimeout())
	defer cancel()
	c, err := g.open(ctx, proto, db)
	if errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE) {
		return nil, fmt.Errorf("open session: %w: %w", descriptors.ErrScarce, err) // no fault of Redis
	}
	if err != nil {
		g.doubt()
		return nil, fmt.Errorf("open session: %w", err)
	}
	s := &Session{ownedConn{c, g}}
	if err := descriptors.Check(c.raw); err != nil { // it would take the last ones from the journal and the trunk
		_ = s.Close()
		return nil, fmt.Errorf("open session: %w", err)
	}
	return s, nil
}

// sessionTimeout leaves some of CommandTimeout for the answer of the command that needs
// the session, unless the server is silent because it was told to be.
func (u *Upstream) sessionTimeout() time.Duration {
	if left := time.Until(time.Unix(0, u.silent.Load())); left > 0 {
		return max(left, u.cfg.CommandTimeout*9/10)
	}
	return u.cfg.CommandTimeout * 9 / 10
}

// Conn is the connection, for raw bytes. Nothing has been read ahead.
func (s *Session) Conn() net.Conn { return s.owned }

// ID is the server's CLIENT ID of this connection, 0 when it does not tell.
func (s *Session) ID() int64 { return s.owned.id }

// Check has the server asked now, on the control connection, whether it is still
// there; one that is not is lost in time for an answer within CommandTimeout. It
// does not block.
func (s *Session) Check() { s.owned.g.want() }

// Lost is closed when the link is lost.
func (s *Session) Lost() <-chan struct{} { return s.owned.g.ctx.Done() }

// Close ends the connection; idempotent.
func (s *Session) Close() error { return s.owned.Close() }
