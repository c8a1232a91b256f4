package proxy

import (
	"bytes"
	"strconv"
	"strings"
	"time"

	"github.com/tidwall/redcon"

	"holdfast/backend/command"
	"holdfast/backend/resp"
	"holdfast/fallback"
)

// serveInOrder serves commands and writes the replies. For a client that tracks
// keys on the local state, no push gets between a read and its reply: a push
// that came first would be taken for older than the reply.
func (c *client) serveInOrder(cmds []redcon.Command) (rest []redcon.Command, err error) {
	if r := c.relay; r == nil || !r.orphaned() {
		rest = c.serve(cmds)
		return rest, c.writeRaw(c.batch.out)
	}
	c.writeMu.Lock()
	defer c.writeMu.Unlock()
	rest = c.serve(cmds)
	if len(c.batch.out) > 0 {
		_, err = c.conn.Write(c.batch.out)
	}
	return rest, err
}

// serveAlone serves what needs a connection of its own in an embedded store:
// subscriptions, tracking, and commands that block. False: the client has gone.
func (d *detached) serveAlone(rc redcon.Command) bool {
	c := d.c
	cmd, _ := command.Lookup(rc.Args)
	switch {
	case cmd != nil && cmd.Name == "client|tracking":
		return c.writeRaw(c.trackLocally(rc.Args)) == nil
	case c.s.cfg.Upstream != nil:
		c.spoil()
		return c.writeRaw([]byte("-UPSTREAMDOWN Redis is unavailable and this command needs a connection of its own\r\n")) == nil
	case cmd == nil:
		return c.writeRaw(resp.AppendError(nil, command.UnknownError(rc.Args))) == nil
	case isSubscribing(cmd):
		c.s.hub.join(c.standingRelay())
		return c.writeRaw(c.standIn(rc)) == nil
	case cmd.Flags&command.AfterWrites != 0:
		return c.writeRaw([]byte(":0\r\n")) == nil
	}
	return d.block(cmd, rc.Args)
}

// block tries a blocking command after each write until it has an answer, its
// time is over or the client has gone.
func (d *detached) block(cmd *command.Command, argv [][]byte) bool {
	c := d.c
	defer c.show(func(s *shown) { s.blocked = false })
	timeout, ok := blockFor(cmd.Name, argv)
	c.noteTracked(cmd, argv)
	req := fallback.Request{DB: c.db, Client: c.id, Proto: c.proto, Commands: [][][]byte{c.fixIDs(cmd.Name, argv)}}
	var expired <-chan time.Time
	if ok && timeout > 0 {
		timer := time.NewTimer(timeout)
		defer timer.Stop()
		expired = timer.C
	}
	for over := !ok; ; {
		change := c.s.hub.changed()
		reply, pending, err := c.s.cfg.Local.Do(req)
		switch {
		case err != nil:
			reply = resp.AppendError(nil, "ERR "+err.Error())
		case pending.Wait() != nil:
			reply = fallback.ReplyJournalFailed(nil)
		case !over && isNull(reply):
			c.handedOver() // it waits in its place
			c.show(func(s *shown) { s.blocked = true })
			select {
			case <-change:
			case <-expired:
				over = true
			case <-d.gone:
				return false
			}
			continue
		}
		return c.writeRaw(reply) == nil
	}
}

func isNull(reply []byte) bool {
	return bytes.HasPrefix(reply, []byte("_")) || bytes.HasPrefix(reply, []byte("*-1")) || bytes.HasPrefix(reply, []byte("$-1"))
}

// blockFor reads the time-out of a blocking command; 0 is for ever. Not ok: it
// is malformed, and executing the command says so.
func blockFor(name string, argv [][]byte) (time.Duration, bool) {
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
	f, err := strconv.ParseFloat(string(text), 64)
	if err != nil || f < 0 || f > 1e9 {
		return 0, false
	}
	return time.Duration(f * float64(unit)), true
}

// fixIDs replaces XREAD's "$" by the last id there is now, so that trying again
// later finds what came meanwhile.
func (c *client) fixIDs(name string, argv [][]byte) [][]byte {
	if name != "xread" {
		return argv
	}
	out := append([][]byte(nil), argv...)
	for i := range out {
		if !bytes.EqualFold(out[i], []byte("streams")) {
			continue
		}
		keys := out[i+1:]
		n := len(keys) / 2
		for j := 0; j < n; j++ {
			if string(keys[n+j]) == "$" {
				keys[n+j] = c.lastID(keys[j])
			}
		}
		break
	}
	return out
}

func (c *client) lastID(key []byte) []byte {
	ask := [][]byte{[]byte("XREVRANGE"), key, []byte("+"), []byte("-"), []byte("COUNT"), []byte("1")}
	reply, _, err := c.s.cfg.Local.Do(fallback.Request{DB: c.db, Proto: 2, Commands: [][][]byte{ask}})
	v, _, perr := resp.Parse(reply)
	if err != nil || perr != nil || len(v.Elems) == 0 || len(v.Elems[0].Elems) == 0 {
		return []byte("0-0")
	}
	return append([]byte(nil), v.Elems[0].Elems[0].Str...)
}

// localPubSub answers PUBLISH and PUBSUB in an embedded store.
func (c *client) localPubSub(cmd *command.Command, argv [][]byte) {
	h := c.s.hub
	switch cmd.Name {
	case "publish":
		c.answer(resp.AppendInt(nil, int64(h.publish(0, argv[1], argv[2]))))
	case "spublish":
		c.answer(resp.AppendInt(nil, int64(h.publish(2, argv[1], argv[2]))))
	case "pubsub|channels", "pubsub|shardchannels":
		var pattern []byte
		if len(argv) > 2 {
			pattern = argv[2]
		}
		names := h.channels(kindIndex(cmd.Name), pattern)
		out := resp.AppendArrayLen(nil, len(names))
		for _, n := range names {
			out = resp.AppendBulkString(out, n)
		}
		c.answer(out)
	case "pubsub|numsub", "pubsub|shardnumsub":
		out := resp.AppendArrayLen(nil, 2*(len(argv)-2))
		for _, ch := range argv[2:] {
			out = resp.AppendInt(resp.AppendBulk(out, ch), int64(h.count(kindIndex(cmd.Name), ch)))
		}
		c.answer(out)
	case "pubsub|numpat":
		c.answer(resp.AppendInt(nil, int64(len(h.channels(1, nil)))))
	default:
		c.reject(command.UnknownError(argv))
	}
}

func kindIndex(name string) int {
	if strings.Contains(name, "|shard") {
		return 2
	}
	return 0
}

// channels lists what is subscribed to, filtered by a pattern.
func (h *hub) channels(kind int, pattern []byte) (names []string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	seen := map[string]bool{}
	for r := range h.members {
		r.mu.Lock()
		for name := range r.subs.sets[kind] {
			if !seen[name] && (pattern == nil || command.MatchGlob(pattern, []byte(name))) {
				seen[name] = true
				names = append(names, name)
			}
		}
		r.mu.Unlock()
	}
	return names
}

func (h *hub) count(kind int, channel []byte) (n int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for r := range h.members {
		r.mu.Lock()
		if _, ok := r.subs.sets[kind][string(channel)]; ok {
			n++
		}
		r.mu.Unlock()
	}
	return n
}
