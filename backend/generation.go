package backend

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"sync"
	"sync/atomic"

	"holdfast/backend/resp"
)

type trunkKey struct{ proto, db int }

// generation is everything between one connect and the loss of the link. The
// loss of any part of it ends it as a whole: after that nothing is known of
// what the server still does with what it was sent.
type generation struct {
	u      *Upstream
	ev     Events
	ctx    context.Context
	cancel context.CancelFunc
	ctl    *control
	doubts chan struct{}
	wanted chan struct{}  // a beat is wanted now
	wg     sync.WaitGroup // goroutines, and trunks with waiters

	trunks atomic.Pointer[map[trunkKey]*trunk] // copied on write
	busy   atomic.Bool                         // with a large unit, and in its allowance
	script atomic.Pointer[string]              // what the server says to everybody while a script runs; see busy.go

	mu      sync.Mutex
	cause   error // set once: the generation has ended
	dialing map[trunkKey]*trunkDial
	conns   map[*conn]struct{} // sessions and connections given to Events
	ids     map[int64]struct{} // CLIENT IDs that may still run commands
}

// trunkDial is a trunk being made; other callers wait for done.
type trunkDial struct {
	done chan struct{}
	t    *trunk
	err  error
}

func (u *Upstream) newGeneration(ctx context.Context, ev Events, c *conn, info Info) *generation {
	g := &generation{u: u, ev: ev, doubts: make(chan struct{}, 1), wanted: make(chan struct{}, 1),
		dialing: map[trunkKey]*trunkDial{}, conns: map[*conn]struct{}{}, ids: map[int64]struct{}{}}
	g.ctx, g.cancel = context.WithCancel(context.WithoutCancel(ctx)) // ended by fail alone, after cause is set
	g.trunks.Store(&map[trunkKey]*trunk{})
	g.ctl = &control{g: g, c: c, info: info, replies: make(chan resp.Value, 1)}
	g.remember(c)
	g.wg.Go(g.ctl.readLoop)
	g.wg.Go(g.ctl.heartbeat)
	g.wg.Go(g.watchdog)
	return g
}

// remember notes the id of a connection, to be killed after an outage.
func (g *generation) remember(c *conn) {
	if c.id != 0 {
		g.ids[c.id] = struct{}{}
	}
}

// fail ends the generation; the first cause counts. It does not block.
func (g *generation) fail(err error) {
	g.mu.Lock()
	if g.cause != nil {
		g.mu.Unlock()
		return
	}
	g.cause = err
	conns := maps.Clone(g.conns)
	g.mu.Unlock()
	g.u.live.CompareAndSwap(g, nil)
	g.cancel()
	g.ctl.c.abort()
	for c := range conns {
		c.abort()
	}
	for _, t := range *g.trunks.Load() {
		t.kill(err)
	}
}

// publish lets calls in, unless the generation has ended meanwhile.
func (g *generation) publish() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.cause != nil {
		return false
	}
	g.u.live.Store(g)
	return true
}

// doubt asks the heartbeat for a check now.
func (g *generation) doubt() {
	select {
	case g.doubts <- struct{}{}:
	default:
	}
}

// want asks the heartbeat for a PING that is sent from now on: one slot will do, as
// one that is wanted already begins later than this call.
func (g *generation) want() {
	select {
	case g.wanted <- struct{}{}:
	default:
	}
}

// watchdog ends the generation when a call is not answered in time.
func (g *generation) watchdog() {
	beat := newPulse(g.u.cfg.tick())
	defer beat.stop()
	for {
		select {
		case <-g.ctx.Done():
			return
		case <-beat.ticker.C:
		}
		counts := beat.counts()
		if g.mayBeBusy() {
			g.want()
		}
		if g.waits() || !counts {
			continue
		}
		for _, t := range *g.trunks.Load() {
			if t.overdue() && !g.u.silence() {
				g.fail(ErrTimeout)
				return
			}
		}
	}
}

// withTimeout gives a context that ends after timeoutTicks, not counting ticks
// while the server is busy with a large unit.
func (g *generation) withTimeout() (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(g.ctx)
	go func() {
		defer cancel()
		beat := newPulse(g.u.cfg.tick())
		defer beat.stop()
		for silent := 0; silent < timeoutTicks || g.u.silence(); {
			select {
			case <-ctx.Done():
				return
			case <-beat.ticker.C:
				if beat.counts() && !g.busy.Load() {
					silent++
				}
			}
		}
	}()
	return ctx, cancel
}

// waits is called at each tick of the watchdog. It reports, and notes for the
// heartbeat, whether the tick counts for nobody: the server runs one command at
// a time, so a large unit on one trunk keeps everybody waiting.
func (g *generation) waits() bool {
	busy := false
	for _, t := range *g.trunks.Load() {
		busy = t.patience.tick(g.u.cfg.tick()) || busy
	}
	g.busy.Store(busy)
	return busy
}

// trunk gives the trunk for (proto, db) and makes it on first use. Making one
// holds up nobody who uses another.
func (g *generation) trunk(key trunkKey) (*trunk, error) {
	if t := (*g.trunks.Load())[key]; t != nil {
		return t, nil
	}
	g.mu.Lock()
	if g.cause != nil {
		defer g.mu.Unlock()
		return nil, g.cause
	}
	if t := (*g.trunks.Load())[key]; t != nil {
		g.mu.Unlock()
		return t, nil
	}
	if d := g.dialing[key]; d != nil {
		g.mu.Unlock()
		<-d.done // bounded by withTimeout
		return d.t, d.err
	}
	d := &trunkDial{done: make(chan struct{})}
	g.dialing[key] = d
	g.mu.Unlock()
	d.t, d.err = g.openTrunk(key)
	close(d.done)
	return d.t, d.err
}

func (g *generation) openTrunk(key trunkKey) (*trunk, error) {
	ctx, cancel := g.withTimeout()
	defer cancel()
	c, err := g.ctl.c.to.dial(ctx, key.proto, key.db)
	g.judge(err)
	counter := g.u.fenceCounter(key)
	if err == nil {
		stop := context.AfterFunc(ctx, c.abort)
		if err = counter.catchUp(c, g.u.FenceName(key.proto, key.db)); !stop() && err == nil {
			err = ErrTimeout
		}
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.dialing, key)
	if err == nil && g.cause != nil {
		c.abort()
		err = g.cause
	}
	if err != nil {
		return nil, err
	}
	t := newTrunk(key, c)
	t.fences = counter
	t.refused = func([]byte) { g.doubt() }
	t.ended = g.trunkEnded
	g.remember(c)
	g.wg.Add(1) // until trunkEnded
	g.wg.Go(t.readLoop)
	g.wg.Go(t.writeLoop)
	g.setTrunk(key, t)
	return t, nil
}

// judge decides what a failed dial means for the link. A reply of the server
// (wrong database, NOPROTO) is the caller's affair; anything else is an outage, and
// so is a server that takes no new connections, even if the old ones go on.
func (g *generation) judge(err error) {
	var reply resp.ReplyError
	switch {
	case err == nil:
	case !turnedAway(err) && (errors.As(err, &reply) || errors.Is(err, ErrProto)):
		g.doubt()
	default:
		g.fail(err)
	}
}

// setTrunk publishes a changed copy of the trunks, under mu.
func (g *generation) setTrunk(key trunkKey, t *trunk) {
	m := maps.Clone(*g.trunks.Load())
	if t == nil {
		delete(m, key)
	} else {
		m[key] = t
	}
	g.trunks.Store(&m)
}

// trunkEnded is called after the last waiter of t has failed. A server may
// close an idle connection (its timeout setting): then only this trunk goes, and
// a check finds out whether it was more.
func (g *generation) trunkEnded(t *trunk, err error, idle bool) {
	defer g.wg.Done()
	if !idle {
		g.fail(err)
		return
	}
	g.mu.Lock()
	if (*g.trunks.Load())[t.key] == t {
		g.setTrunk(t.key, nil)
	}
	delete(g.ids, t.conn.id)
	g.mu.Unlock()
	g.doubt()
}

// open dials a connection that ends with the generation.
func (g *generation) open(ctx context.Context, proto, db int) (*conn, error) {
	ctx, cancel := context.WithTimeout(ctx, g.u.cfg.ConnectTimeout)
	defer cancel()
	stop := context.AfterFunc(g.ctx, cancel)
	defer stop()
	c, err := g.ctl.c.to.dial(ctx, proto, db)
	if err != nil {
		return nil, err
	}
	if len(c.rd.Buffered()) > 0 {
		c.abort()
		return nil, fmt.Errorf("open upstream connection: %w", ErrProtocol)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.cause != nil {
		c.abort()
		return nil, g.cause
	}
	g.remember(c)
	g.conns[c] = struct{}{}
	return c, nil
}

// forget ends a connection made by open. What was written to it before still
// reaches the server, as with any client that hangs up.
func (g *generation) forget(c *conn) {
	_ = c.raw.Close()
	g.mu.Lock()
	delete(g.conns, c)
	if g.cause == nil {
		delete(g.ids, c.id)
	}
	g.mu.Unlock()
}

// ownedConn is a connection made by open, given away as a net.Conn.
type ownedConn struct {
	*conn
	g *generation
}

func (o ownedConn) Close() error { o.g.forget(o.conn); return nil }

// dialForEvents is the dial function that Events.Connected gets: authenticated,
// RESP2, database 0. Refused credentials end the generation, as for a trunk; where
// there is merely no room for one more client, the trunks go on.
func (g *generation) dialForEvents(ctx context.Context) (net.Conn, error) {
	c, err := g.open(ctx, 2, 0)
	if err != nil {
		if errors.Is(err, ErrAuth) {
			g.fail(err)
		}
		return nil, err
	}
	return ownedConn{c, g}, nil
}
