package backend

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"holdfast/backend/resp"
)

// ProbeKey is a key that need not exist: asking for it makes a server that
// cannot serve say so, where PING would not.
const ProbeKey = "{holdfast}:probe"

var (
	// ErrNotMaster: the server is a replica.
	ErrNotMaster = errors.New("upstream is a replica, not a master: point the URL at the master")
	// ErrReplaced: another server process answers at the address.
	ErrReplaced = errors.New("upstream was replaced by another server")
)

// control is the connection for tracking, heartbeat and checks. Its goroutines
// are one reader and one heartbeat, which is the only one that asks.
type control struct {
	g       *generation
	c       *conn
	info    Info
	replies chan resp.Value
	keys    [][]byte // reused for Invalidate
}

// connectControl dials the control connection and prepares the server: who it
// is, its time, our old connections killed, tracking on.
func (u *Upstream) connectControl(ctx context.Context) (*conn, Info, error) {
	c, err := u.target.dial(ctx, 0, 0)
	if err != nil {
		return nil, Info{}, err
	}
	stop := context.AfterFunc(ctx, c.abort)
	info, err := u.prepare(c)
	if !stop() && err == nil {
		err = ErrTimeout
	}
	if err != nil {
		c.abort()
		return nil, info, fmt.Errorf("prepare upstream: %w", err)
	}
	return c, info, nil
}

func (u *Upstream) prepare(c *conn) (Info, error) {
	clock, err := bestTime(u.cfg.Clock, func() (resp.Value, error) {
		rs, err := c.exchange([]string{ownTime})
		if err != nil {
			return resp.Value{}, err
		}
		return rs[0], nil
	})
	if err != nil {
		return Info{}, err
	}
	questions := [][]string{{"INFO", "server"}, {"INFO", "replication"}, {"EXISTS", ProbeKey}}
	more, err := c.exchange(append(questions, askParameters()...)...)
	if err != nil {
		return Info{}, err
	}
	info := identify(more[0], more[1], c.hello)
	info.ConnectedAt, info.Time, info.Parameters = u.cfg.Clock.Now(), clock, readParameters(more[len(questions):])
	if err := refusal(more[2]); err != nil {
		return info, err
	}
	if info.Role == "slave" {
		return info, ErrNotMaster
	}
	if err := u.killNamesakes(c); err != nil {
		return info, err
	}
	if info.StaleKilled, err = u.killStale(c, info.RunID); err != nil {
		return info, err
	}
	info.Coherent, err = u.startTracking(c, info)
	return info, err
}

// killStale kills our connections from before, so that nothing that still sits
// in their buffers runs behind our back. Ids mean something only within the
// server process that gave them: elsewhere they are other clients'.
func (u *Upstream) killStale(c *conn, runID string) (bool, error) {
	u.mu.Lock()
	var cmds [][]string
	for id := range u.stale[runID] {
		cmds = append(cmds, []string{"CLIENT", "KILL", "ID", strconv.FormatInt(id, 10)})
	}
	unknown := len(u.stale[""]) > 0
	u.mu.Unlock()
	if runID == "" {
		return !unknown, nil
	}
	rs, err := c.exchange(cmds...)
	if err != nil {
		return false, err
	}
	for _, r := range rs {
		if e := r.Err(); e != nil {
			u.killDenied.Do(func() {
				u.log.Warn("cannot kill our old connections: a late write of theirs cannot be ruled out; allow CLIENT KILL to this user", "error", e.Error())
			})
			return false, nil
		}
	}
	u.mu.Lock()
	delete(u.stale, runID)
	u.mu.Unlock()
	return !unknown, nil
}

func (u *Upstream) startTracking(c *conn, info Info) (bool, error) {
	if c.proto < 3 || !info.tracksReliably() {
		u.log.Warn("no reliable invalidations from this server: cached replies live by age only", "server", info.Flavor, "version", info.Version)
		return false, nil
	}
	cmd := []string{"CLIENT", "TRACKING", "ON", "BCAST"}
	for _, p := range u.cfg.TrackPrefixes {
		cmd = append(cmd, "PREFIX", p)
	}
	rs, err := c.exchange(cmd)
	if err != nil {
		return false, err
	}
	if e := rs[0].Err(); e != nil {
		u.log.Warn("the server refuses CLIENT TRACKING: cached replies live by age only", "error", e.Error())
		return false, nil
	}
	return true, nil
}

// readLoop delivers pushes in order and passes replies to the heartbeat.
func (k *control) readLoop() {
	for {
		v, err := k.c.rd.Next()
		if err != nil {
			k.g.fail(fmt.Errorf("control connection: %w", err))
			return
		}
		if v.Kind == resp.KindPush {
			k.push(v)
			continue
		}
		select {
		case k.replies <- v.Clone():
		case <-k.g.ctx.Done():
			return
		}
	}
}

func (k *control) push(v resp.Value) {
	if len(v.Elems) != 2 || string(v.Elems[0].Str) != "invalidate" {
		return
	}
	what := v.Elems[1]
	if what.Null {
		k.g.ev.Invalidate(nil)
		return
	}
	k.keys = k.keys[:0]
	for _, e := range what.Elems {
		k.keys = append(k.keys, e.Str)
	}
	if len(k.keys) > 0 {
		k.g.ev.Invalidate(k.keys)
	}
	clear(k.keys)
}

// heartbeat pings and checks until the generation ends.
func (k *control) heartbeat() {
	u := k.g.u
	checked := u.cfg.Clock.Now()
	for {
		doubted := false
		select {
		case <-k.g.ctx.Done():
			return
		case <-k.g.doubts:
			doubted = true
		case <-k.g.wanted:
		case <-u.cfg.Clock.After(u.cfg.PingInterval):
		}
		if doubted {
			u.apply(evDoubt)
		}
		deep := doubted || u.cfg.Clock.Now().Sub(checked) >= u.cfg.CheckInterval
		if err := k.beat(deep); err != nil {
			k.g.fail(err)
			return
		}
		if deep {
			checked = u.cfg.Clock.Now()
		}
		if doubted {
			u.apply(evCleared)
		}
	}
}

// beat sends a PING, and with deep asks whether this is still the same master
// and able to serve.
func (k *control) beat(deep bool) error {
	start, n := time.Now(), k.g.u.beats.begin()
	v, err := k.ask(ownPing)
	if err != nil {
		return fmt.Errorf("ping upstream: %w", err)
	}
	k.g.u.rtt.Store(int64(time.Since(start)))
	if err := refusal(v); err != nil {
		return err
	}
	// A script that runs for long lets Redis answer BUSY, but not push.
	if !k.g.noteBusy(v) {
		k.g.u.beats.end(n)
	}
	if !deep {
		return nil
	}
	if v, err = k.ask("EXISTS", ProbeKey); err == nil {
		err = refusal(v)
	}
	if err != nil {
		return fmt.Errorf("check upstream: %w", err)
	}
	server, err := k.ask(ownInfo, "server")
	if err != nil {
		return fmt.Errorf("check upstream: %w", err)
	}
	replication, err := k.ask(ownInfo, "replication")
	if err != nil {
		return fmt.Errorf("check upstream: %w", err)
	}
	if err := k.checkTime(); err != nil {
		return fmt.Errorf("check upstream: %w", err)
	}
	now := identify(server, replication, resp.Value{})
	if now.Role == "slave" {
		return ErrNotMaster
	}
	if now.RunID != "" && k.info.RunID != "" && now.RunID != k.info.RunID {
		return ErrReplaced
	}
	return nil
}

// ask sends one command and waits for its reply for timeoutTicks. Ticks while
// the server is busy with a large unit of ours do not count.
func (k *control) ask(args ...string) (resp.Value, error) {
	_ = k.c.SetWriteDeadline(time.Now().Add(2 * timeoutTicks * k.g.u.cfg.tick()))
	if _, err := k.c.Write(resp.AppendCommandStrings(nil, args...)); err != nil {
		return resp.Value{}, err
	}
	beat := newPulse(k.g.u.cfg.tick())
	defer beat.stop()
	for silent := 0; silent < timeoutTicks || k.g.u.silence(); {
		select {
		case v := <-k.replies:
			return v, nil
		case <-k.g.ctx.Done():
			return resp.Value{}, k.g.ctx.Err()
		case <-beat.ticker.C:
			if beat.counts() && !k.g.busy.Load() {
				silent++
			}
		}
	}
	return resp.Value{}, ErrTimeout
}

// refusal is the error of a reply that says the server cannot serve. Other
// error replies (NOPERM, MISCONF, BUSY) are signs of life.
func refusal(v resp.Value) error {
	e := v.Err()
	if e == nil || !IsRefusal([]byte("-"+e.Error())) {
		return nil
	}
	code, _, _ := strings.Cut(e.Error(), " ")
	return fmt.Errorf("%w: %s", ErrRefused, code)
}
