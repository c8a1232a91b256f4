package backend

import (
	"bytes"
	"strconv"
	"sync/atomic"
)

// A fence is a key that a write sets, in its own MULTI/EXEC, to a number that
// rises along the connection. Once the connection is known to be dead at the
// server, the key tells which of the writes under way were executed: those with
// a number up to its value.

// FenceDigits is the width of a fence number in a payload.
const FenceDigits = 19

// fenceCounter gives the numbers of one (protocol, database). They begin with
// the time, so they rise over restarts, too.
type fenceCounter struct{ last atomic.Uint64 }

// FenceName is the key that fenced calls of the protocol write in a database; ""
// when fences are off. It names the database: one that SWAPDB brought elsewhere is
// not taken for the one that belongs there.
func (u *Upstream) FenceName(proto, db int) string {
	if u.cfg.FenceKey == "" {
		return ""
	}
	if proto < len(u.fenceNames) && db < len(u.fenceNames[proto]) {
		return u.fenceNames[proto][db] // each fenced write asks for it
	}
	return u.fenceName(proto, db)
}

func (u *Upstream) fenceName(proto, db int) string {
	return u.cfg.FenceKey + ":" + strconv.Itoa(proto) + ":" + strconv.Itoa(db)
}

func (u *Upstream) fenceCounter(key trunkKey) *fenceCounter {
	u.mu.Lock()
	defer u.mu.Unlock()
	f := u.fences[key]
	if f == nil {
		f = &fenceCounter{}
		f.last.Store(uint64(u.cfg.Clock.Now().UnixMilli()) << 20)
		u.fences[key] = f
	}
	return f
}

// catchUp makes sure that the next number is above the one at the server, in
// case the clock was set back since.
func (f *fenceCounter) catchUp(c *conn, name string) error {
	if name == "" {
		return nil
	}
	rs, err := c.exchange([]string{"GET", name})
	if err != nil {
		return err
	}
	if at, err := strconv.ParseUint(string(rs[0].Str), 10, 63); err == nil && at > f.last.Load() {
		f.last.Store(at)
	}
	return nil
}

// assign fills the numbers into the payload. The trunk's lock is held.
func (f *fenceCounter) assign(c *Call) {
	n := uint64(len(c.FenceAt))
	if n == 0 {
		c.Fence = f.last.Load() + 1
		return
	}
	c.Fence = f.last.Add(n) - n + 1
	for i, at := range c.FenceAt {
		digits := strconv.AppendUint(nil, c.Fence+uint64(i), 10)
		place := c.Payload[at : at+FenceDigits]
		pad := len(place) - len(digits)
		for j := range pad {
			place[j] = '0'
		}
		copy(place[pad:], digits)
	}
}

// killNamesakes closes every other connection that bears our name, those of a
// killed process included: what they have not executed by now, they never will.
// A name that others may have, too, is left alone.
func (u *Upstream) killNamesakes(c *conn) error {
	if u.cfg.ClientName == defaultClientName || c.id == 0 {
		return nil // not ours alone, or a server too old to tell us apart
	}
	rs, err := c.exchange([]string{"CLIENT", "LIST"})
	if err != nil {
		return err
	}
	if rs[0].Err() != nil {
		return nil // not allowed: killStale says so for the ids it knows
	}
	var kill [][]string
	for line := range bytes.Lines(rs[0].Str) {
		id, named := int64(0), false
		for _, f := range bytes.Fields(line) {
			if v, ok := bytes.CutPrefix(f, []byte("id=")); ok {
				id, _ = strconv.ParseInt(string(v), 10, 64)
			}
			named = named || string(f) == "name="+u.cfg.ClientName
		}
		if named && id != 0 && id != c.id {
			kill = append(kill, []string{"CLIENT", "KILL", "ID", strconv.FormatInt(id, 10)})
		}
	}
	if len(kill) == 0 {
		return nil
	}
	_, err = c.exchange(kill...) // one that has gone meanwhile is as good as killed
	return err
}
