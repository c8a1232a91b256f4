package proxy

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"

	"holdfast/backend/command"
	"holdfast/backend/resp"
)

// maxTracked bounds the keys remembered for one client that tracks what it reads. One
// more, and it is told to forget all, as by Redis's tracking-table-max-keys.
const maxTracked = 1_000_000

// tracking is CLIENT TRACKING ON of one client on the local state, by Redis's rules.
// The relay's lock guards it.
type tracking struct {
	bcast, optin, optout, noloop bool

	prefixes [][]byte            // of bcast
	redirect int64               // the client that is told instead; 0: this one
	caching  bool                // CLIENT CACHING was called just before
	keys     map[string]struct{} // read since they were last announced; not with bcast
	unknown  bool                // Redis knew what was read before: any key may be among it
}

// parseTracking reads the options of CLIENT TRACKING and checks them against what is on;
// text is Redis's refusal.
func parseTracking(argv [][]byte, old *tracking, exists func(id int64) bool) (t *tracking, text string) {
	t = &tracking{keys: map[string]struct{}{}}
	for i := 3; i < len(argv); i++ {
		more := i+1 < len(argv)
		switch opt := strings.ToLower(string(argv[i])); {
		case opt == "redirect" && more:
			i++
			if t.redirect != 0 {
				return nil, "ERR A client can only redirect to a single other client"
			}
			id, err := strconv.ParseInt(string(argv[i]), 10, 64)
			if err != nil {
				return nil, "ERR value is not an integer or out of range"
			}
			if !exists(id) {
				return nil, "ERR The client ID you want redirect to does not exist"
			}
			t.redirect = id
		case opt == "bcast":
			t.bcast = true
		case opt == "optin":
			t.optin = true
		case opt == "optout":
			t.optout = true
		case opt == "noloop":
			t.noloop = true
		case opt == "prefix" && more:
			i++
			t.prefixes = append(t.prefixes, argv[i])
		default:
			return nil, "ERR syntax error"
		}
	}
	switch word := strings.ToLower(string(argv[2])); word {
	case "off":
		return nil, ""
	case "on":
		return t, t.conflict(old)
	}
	return nil, "ERR syntax error"
}

// conflict says in Redis's words what does not go together.
func (t *tracking) conflict(old *tracking) string {
	const again = " mode before disabling tracking for this client, and then re-enabling it with a different mode."
	switch {
	case !t.bcast && len(t.prefixes) > 0:
		return "ERR PREFIX option requires BCAST mode to be enabled"
	case old != nil && old.bcast != t.bcast:
		return "ERR You can't switch BCAST mode on/off before disabling tracking for this client, and then re-enabling it with a different mode."
	case t.bcast && (t.optin || t.optout):
		return "ERR OPTIN and OPTOUT are not compatible with BCAST"
	case t.optin && t.optout:
		return "ERR You can't specify both OPTIN mode and OPTOUT mode"
	case old != nil && (t.optin && old.optout || t.optout && old.optin):
		return "ERR You can't switch OPTIN/OPTOUT" + again
	}
	for i, p := range t.prefixes {
		if old != nil {
			for _, q := range old.prefixes {
				if overlap(p, q) {
					return fmt.Sprintf("ERR Prefix '%s' overlaps with an existing prefix '%s'. Prefixes for a single client must not overlap.", p, q)
				}
			}
		}
		for _, q := range t.prefixes[i+1:] {
			if overlap(p, q) {
				return fmt.Sprintf("ERR Prefix '%s' overlaps with another provided prefix '%s'. Prefixes for a single client must not overlap.", p, q)
			}
		}
	}
	return ""
}

func overlap(p, q []byte) bool { return bytes.HasPrefix(p, q) || bytes.HasPrefix(q, p) }

// trackLocally turns tracking on or off while there is no Redis to do it.
func (c *client) trackLocally(argv [][]byte) []byte {
	var old *tracking
	if r := c.relay; r != nil {
		r.mu.Lock()
		old = r.track
		r.mu.Unlock()
	}
	t, text := parseTracking(argv, old, c.s.hasClient)
	if text != "" {
		return resp.AppendError(nil, text)
	}
	if t == nil && old == nil {
		return replyOK
	}
	if t != nil && old != nil {
		t.keys, t.unknown, t.prefixes = old.keys, old.unknown, append(old.prefixes, t.prefixes...)
	}
	r := c.standingRelay()
	r.mu.Lock()
	r.track, r.tracking = t, nil
	if t != nil {
		r.tracking = argv
	}
	r.mu.Unlock()
	if t != nil {
		c.s.hub.join(r)
	}
	return replyOK
}

// standingRelay is the relay that keeps this client's state while there is no
// connection to Redis. Where Redis comes back, it sets the state up there.
func (c *client) standingRelay() *relay {
	if r := c.relay; r != nil && !isDone(r.closed) {
		return r
	}
	r := c.newRelay(nil)
	if c.s.cfg.Upstream != nil {
		c.s.wg.Add(1)
		go func() {
			defer c.s.wg.Done()
			if r.restore() {
				r.run()
			}
			r.close()
		}()
	}
	return r
}

// trackAgain begins tracking on the local state for a client whose connection to Redis
// is lost. The lock is held.
func (r *relay) trackAgain() {
	if r.tracking != nil {
		if r.track, _ = parseTracking(r.tracking, nil, func(int64) bool { return true }); r.track != nil {
			r.track.unknown = true
		}
	}
}

// caching is CLIENT CACHING on the local state.
func (c *client) caching(argv [][]byte) {
	yes, no := strings.EqualFold(string(argv[2]), "yes"), strings.EqualFold(string(argv[2]), "no")
	t := c.localTracking(func(t *tracking) {
		t.caching = t.caching || yes && t.optin || no && t.optout
	})
	switch {
	case t == nil:
		c.reject("ERR CLIENT CACHING can be called only when the client is in tracking mode with OPTIN or OPTOUT mode enabled")
	case yes && !t.optin:
		c.reject("ERR CLIENT CACHING YES is only valid when tracking is enabled in OPTIN mode.")
	case no && !t.optout:
		c.reject("ERR CLIENT CACHING NO is only valid when tracking is enabled in OPTOUT mode.")
	case !yes && !no:
		c.reject("ERR syntax error")
	default:
		c.answer(replyOK)
	}
}

// localTracking gives fn the client's tracking, if it is on, and a copy to the caller.
func (c *client) localTracking(fn func(t *tracking)) *tracking {
	r := c.relay
	if r == nil {
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.track == nil {
		return nil
	}
	if fn != nil {
		fn(r.track)
	}
	t := *r.track
	return &t
}

// getRedir is CLIENT GETREDIR, trackingInfo CLIENT TRACKINGINFO.
func (c *client) getRedir() {
	id := int64(-1)
	if t := c.localTracking(nil); t != nil {
		id = t.redirect
	}
	c.answer(resp.AppendInt(nil, id))
}

func (c *client) trackingInfo() {
	flags, id, prefixes := []string{"off"}, int64(-1), [][]byte(nil)
	if t := c.localTracking(nil); t != nil {
		flags, id, prefixes = t.flags(c.s.hasClient), t.redirect, t.prefixes
	}
	out := resp.AppendBulkString(resp.AppendMapLen(nil, c.proto, 3), "flags")
	out = resp.AppendSetLen(out, c.proto, len(flags))
	for _, f := range flags {
		out = resp.AppendBulkString(out, f)
	}
	out = resp.AppendInt(resp.AppendBulkString(out, "redirect"), id)
	out = resp.AppendArrayLen(resp.AppendBulkString(out, "prefixes"), len(prefixes))
	for _, p := range prefixes {
		out = resp.AppendBulk(out, p)
	}
	c.answer(out)
}

func (t *tracking) flags(exists func(int64) bool) (flags []string) {
	for _, f := range []struct {
		on   bool
		name string
	}{
		{true, "on"}, {t.bcast, "bcast"}, {t.optin, "optin"}, {t.optin && t.caching, "caching-yes"}, {t.optout, "optout"},
		{t.optout && t.caching, "caching-no"}, {t.noloop, "noloop"}, {t.redirect != 0 && !exists(t.redirect), "broken_redirect"},
	} {
		if f.on {
			flags = append(flags, f.name)
		}
	}
	return flags
}

// noteTracked remembers the keys that a client is about to read. It is told of changes
// behind that: pushes wait until the reply has gone out, see serveInOrder.
func (c *client) noteTracked(cmd *command.Command, argv [][]byte) {
	if cmd.Flags&(command.Read|command.Script) == command.Read {
		track(c, cmd, argv)
	}
}

// called is told of what a script of the item calls: if one of that reads, the keys that
// the script names are noted, as in Redis. nil: nobody wants to know.
func called(c *client, it *item) func(db int, argv [][]byte) {
	tracks, monitored := c.localTracking(nil) != nil, c.s.hub.monitors.Load() > 0
	if it.cmd.Flags&command.Script == 0 && it.unit == nil || !tracks && !monitored {
		return nil
	}
	commands := it.commands() // not the item, which would have to be allocated for every command
	return func(db int, argv [][]byte) {
		if monitored {
			c.s.hub.feed(db, "lua", argv)
		}
		if !tracks {
			return
		}
		if cmd, ok := command.Lookup(argv); !ok || cmd.Flags&command.Read == 0 {
			return
		}
		for _, script := range commands {
			if cmd, ok := command.Lookup(script); ok && cmd.Flags&command.Script != 0 {
				track(c, cmd, script)
			}
		}
	}
}

// track notes the keys of a command, unless the client said that it does not want them.
func track(c *client, cmd *command.Command, argv [][]byte) {
	forget := false
	c.localTracking(func(t *tracking) {
		if t.bcast || t.optin && !t.caching || t.optout && t.caching {
			return
		}
		for _, k := range cmd.Keys(nil, argv) {
			t.keys[string(k)] = struct{}{}
		}
		if forget = len(t.keys) > maxTracked; forget {
			clear(t.keys)
		}
	})
	if forget {
		c.s.hub.invalidate(nil, 0)
	}
}

// endCaching ends what CLIENT CACHING asked for behind the next command, or unit.
func (c *client) endCaching(cmd *command.Command) {
	if c.multi == nil && (cmd == nil || cmd.Name != "client|caching") {
		c.localTracking(func(t *tracking) { t.caching = false })
	}
}
