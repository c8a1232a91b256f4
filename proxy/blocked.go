package proxy

import (
	"bytes"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/tidwall/redcon"

	"holdfast/backend/command"
	"holdfast/backend/resp"
	"holdfast/fallback"
)

// blocked is a client of an embedded store in a blocking command.
type blocked struct {
	waiter *fallback.Waiter
	answer chan []byte // what it gets from whoever has unblocked it
}

// waits handles a command whose answer may take its time.
func (c *client) waits(cmd *command.Command, rc redcon.Command) bool {
	embedded := c.s.cfg.Upstream == nil
	switch {
	case c.online(), embedded && isSubscribing(cmd):
		return false
	case embedded:
		return c.blockHere(rc.Args)
	}
	c.data(cmd, rc)
	return true
}

// blockHere executes a blocking command of an embedded store. It takes its place
// among those who wait here and now, before this client's connection is made ready for
// it: what others send later must not overtake it. False: it has to wait.
func (c *client) blockHere(argv [][]byte) bool {
	if c.parked != nil {
		return false
	}
	c.flush()
	c.s.handovers.note(c)
	if cmd, ok := command.Lookup(argv); ok {
		c.noteTracked(cmd, argv)
	}
	reply, pending, waiter, err := c.s.cfg.Local.Block(fallback.Request{DB: c.db, Client: c.id, Proto: c.proto, Commands: [][][]byte{argv}, Arrived: c.arrived(), Who: c.who})
	switch {
	case err != nil:
		c.batch.out = resp.AppendError(c.batch.out, "ERR "+err.Error())
	case waiter == nil:
		c.appendDurable(reply, pending)
	default:
		c.parked = &blocked{waiter, make(chan []byte, 1)}
		c.blocked.Store(c.parked)
		return false
	}
	return true
}

// block waits until the client is served, its time is over, somebody unblocks it or it
// has gone. False: it has.
func (d *detached) block(cmd *command.Command, argv [][]byte) bool {
	c := d.c
	c.handedOver() // it has its place among those who wait
	if c.parked == nil {
		return c.writeRaw(resp.AppendError(nil, command.UnknownError(argv))) == nil
	}
	reply, pending, gone := d.await(c.parked, blockFor(cmd.Name, argv))
	c.blocked.Store(nil)
	c.parked = nil
	if gone {
		return false
	}
	if pending.Wait() != nil {
		reply = fallback.ReplyJournalFailed(nil)
	}
	return c.writeRaw(reply) == nil
}

// await waits for the answer; limit 0 is for ever.
func (d *detached) await(b *blocked, limit time.Duration) (reply []byte, p fallback.Pending, gone bool) {
	c, w := d.c, b.waiter
	var expired <-chan time.Time
	if limit > 0 {
		timer := time.NewTimer(limit)
		defer timer.Stop()
		expired = timer.C
	}
	left := d.gone
	for {
		select {
		case done := <-w.Served():
			return done.Reply, done.Pending, false
		case reply = <-b.answer:
			return reply, p, false
		case <-expired:
			if c.s.cfg.Local.Unblock(w) {
				return resp.AppendNullArray(nil, c.proto), p, false
			}
		case <-left:
			if c.s.cfg.Local.Unblock(w) {
				return nil, p, true
			}
			left = nil // what it was served is on its way
		}
	}
}

// forEver is a time-out that nobody lives to see.
const forEver = 100 * 365 * 24 * time.Hour

// blockFor reads the time-out of a blocking command that the engine has accepted; 0 is
// for ever.
func blockFor(name string, argv [][]byte) time.Duration {
	text, unit := argv[len(argv)-1], time.Second
	switch name {
	case "blmpop", "bzmpop":
		text = argv[1]
	case "xread", "xreadgroup":
		unit = time.Millisecond
		for i := 1; i+1 < len(argv); i++ {
			if bytes.EqualFold(argv[i], []byte("block")) {
				text = argv[i+1]
				break
			}
		}
	}
	f, _ := strconv.ParseFloat(string(text), 64)
	if f *= float64(unit); f >= float64(forEver) {
		return forEver
	}
	return time.Duration(math.Ceil(f/float64(time.Millisecond))) * time.Millisecond
}

// unblockLocally is CLIENT UNBLOCK where there is no Redis, for those who wait here.
func (c *client) unblockLocally(argv [][]byte) {
	reason := strings.ToLower(string(argv[len(argv)-1]))
	id, err := strconv.ParseInt(string(argv[2]), 10, 64)
	switch {
	case len(argv) > 4:
		c.reject(command.UnknownError(argv))
	case len(argv) == 4 && reason != "timeout" && reason != "error":
		c.reject("ERR CLIENT UNBLOCK reason should be TIMEOUT or ERROR")
	case err != nil:
		c.reject("ERR value is not an integer or out of range")
	case c.s.unblock(id, len(argv) == 4 && reason == "error"):
		c.answer(resp.AppendInt(nil, 1))
	default:
		c.answer(resp.AppendInt(nil, 0))
	}
}

// unblock ends the waiting of the client with the id; false: it does not wait.
func (s *Server) unblock(id int64, failing bool) bool {
	c := s.clientByID(id)
	if c == nil {
		return false
	}
	b := c.blocked.Load()
	switch {
	case b == nil || !s.cfg.Local.Unblock(b.waiter):
		return false
	case failing:
		b.answer <- resp.AppendError(nil, "UNBLOCKED client unblocked via CLIENT UNBLOCK")
	default:
		b.answer <- resp.AppendNullArray(nil, int(c.shownProto.Load()))
	}
	return true
}

func (s *Server) clientByID(id int64) *client {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.clients {
		if c.id == id {
			return c
		}
	}
	return nil
}
