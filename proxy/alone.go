package proxy

import (
	"strings"

	"github.com/tidwall/redcon"

	"holdfast/backend/command"
	"holdfast/backend/resp"
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
	case cmd != nil && cmd.Name == "monitor":
		return monitorHere(c) == nil
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
