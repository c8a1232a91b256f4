package proxy

import (
	"errors"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"holdfast/backend/command"
	"holdfast/backend/resp"
	"holdfast/fallback"
	"holdfast/fallback/engine"
	"holdfast/proxy/embedded"
)

// embeddedCommands are what the proxy answers where there is no Redis and never was, as a
// Redis without replicas, modules and DEBUG does.
var embeddedCommands map[string]func(c *client, argv [][]byte)

func init() {
	embeddedCommands = map[string]func(c *client, argv [][]byte){
		"client|pause": clientPause, "client|unpause": clientUnpause,
		"client|caching":      (*client).caching,
		"client|trackinginfo": func(c *client, _ [][]byte) { c.trackingInfo() }, "client|getredir": func(c *client, _ [][]byte) { c.getRedir() },

		// What is acknowledged is on disk.
		"save":         says("+OK"),
		"bgsave":       says("+Background saving started"),
		"bgrewriteaof": says("+Background append only file rewriting started"),
		"lastsave":     func(c *client, _ [][]byte) { c.answer(resp.AppendInt(nil, time.Now().Unix())) },

		"wait":      says(":0"), // there are no replicas
		"replicaof": replicaOf, "slaveof": replicaOf,
		"failover": says("-ERR FAILOVER requires connected replicas."),

		"latency|latest": says("*0"), "latency|history": says("*0"), "latency|reset": says(":0"),
		"latency|graph": func(c *client, argv [][]byte) {
			c.reject("ERR No samples available for event '" + string(argv[2]) + "'")
		},
		"latency|doctor":    func(c *client, _ [][]byte) { c.answer(resp.AppendVerbatim(nil, c.proto, noLatencyMonitor)) },
		"latency|histogram": latencyHistogram,

		"debug":       says("-ERR DEBUG command not allowed. " + notAllowed),
		"module|load": says("-ERR MODULE command not allowed. " + notAllowed), "module|loadex": says("-ERR MODULE command not allowed. " + notAllowed),
		"module|unload": says("-ERR MODULE command not allowed. " + notAllowed),
	}
}

const (
	notAllowed = `If the enable-%s-command option is set to "local", you can run it from a local connection, ` +
		`otherwise you need to set this option in the configuration file, and then restart the server.`
	noLatencyMonitor = "This store has no latency monitor. SLOWLOG and LATENCY HISTOGRAM tell which commands take long.\n"
)

// says always answers the same line; %s in it is the command's name.
func says(line string) func(c *client, argv [][]byte) {
	return func(c *client, argv [][]byte) {
		text := strings.ReplaceAll(line, "%s", strings.ToLower(string(argv[0])))
		if text[0] == '-' {
			c.reject(text[1:])
			return
		}
		c.answer([]byte(text + "\r\n"))
	}
}

// replicaOf takes NO ONE, which it follows already.
func replicaOf(c *client, argv [][]byte) {
	if strings.EqualFold(string(argv[1]), "no") && strings.EqualFold(string(argv[2]), "one") {
		c.answer(replyOK)
		return
	}
	c.reject("ERR an embedded store cannot replicate; give it a Redis with --redis-url")
}

// latencyHistogram is LATENCY HISTOGRAM: how many calls of each command took up to so many
// microseconds.
func latencyHistogram(c *client, argv [][]byte) {
	ours, _ := c.s.counted.All()
	all := c.s.cfg.Local.Alone().CommandStats(ours)
	var names []string
	for _, name := range slices.Sorted(maps.Keys(all)) {
		if all[name].Calls > 0 && (len(argv) == 2 || slices.ContainsFunc(argv[2:], func(want []byte) bool { return asksFor(string(want), name) })) {
			names = append(names, name)
		}
	}
	out := resp.AppendMapLen(nil, c.proto, len(names))
	for _, name := range names {
		out = embedded.AppendHistogram(resp.AppendBulkString(out, name), c.proto, all[name])
	}
	c.answer(out)
}

// asksFor reports whether a name given by the client is that of the command, or of its
// container.
func asksFor(want, name string) bool {
	want = strings.ToLower(want)
	return want == name || strings.HasPrefix(name, want+"|") && command.ByName(want) != nil
}

func clientPause(c *client, argv [][]byte) {
	all := true
	if len(argv) == 4 {
		switch strings.ToLower(string(argv[3])) {
		case "write":
			all = false
		case "all":
		default:
			c.reject("ERR CLIENT PAUSE mode must be WRITE or ALL")
			return
		}
	}
	ms, err := strconv.ParseInt(string(argv[2]), 10, 64)
	switch {
	case len(argv) > 4:
		c.reject(command.UnknownError(argv))
	case err != nil:
		c.reject("ERR timeout is not an integer or out of range")
	case ms < 0:
		c.reject("ERR timeout is negative")
	default:
		c.s.pause.Set(time.Duration(min(ms, int64(forEver/time.Millisecond)))*time.Millisecond, all)
		c.answer(replyOK)
	}
}

func clientUnpause(c *client, _ [][]byte) {
	c.s.pause.End()
	c.answer(replyOK)
}

// monitorHere is MONITOR: the client gets a line for each command that anybody sends, and a
// script calls, until it hangs up or sends RESET.
func monitorHere(c *client) error {
	r := c.standingRelay()
	r.mu.Lock()
	already := r.monitor
	r.monitor = true
	r.mu.Unlock()
	err := c.writeRaw(replyOK)
	c.s.hub.join(r)
	if !already {
		c.s.hub.monitors.Add(1)
	}
	return err
}

// What stands before each command of an embedded store: want of memory, CLIENT PAUSE,
// MONITOR, and the statistics.

// lacksMemory refuses a command that needs memory while there is none left. What is queued
// in MULTI needs some, whatever it is; EXEC needs what its unit does.
func lacksMemory(c *client, cmd *command.Command) bool {
	if !c.s.cfg.Local.Alone().OutOfMemory() {
		return false
	}
	needs := cmd.Flags&command.DenyOOM != 0 || c.multi != nil && !endsUnit(cmd) && cmd.Name != "unwatch"
	if cmd.Name == "exec" && c.multi != nil {
		needs = slices.ContainsFunc(c.multi.unit, func(argv [][]byte) bool {
			queued, ok := command.Lookup(argv)
			return ok && queued.Flags&command.DenyOOM != 0
		})
	}
	if needs {
		c.refuse(cmd, "OOM command not allowed when used memory > 'maxmemory'.")
	}
	return needs
}

// awaitPause waits while CLIENT PAUSE holds the command up. What comes behind it on the
// same connection waits with it. True: the server ends, and it is not carried out.
func awaitPause(c *client, cmd *command.Command, argv [][]byte) bool {
	if !c.s.pause.On() || c.s.pause.Await(mayReplicate(c, cmd, argv), c.s.closing) {
		return false
	}
	c.closing = true
	return true
}

// mayReplicate reports whether a command is held up by CLIENT PAUSE … WRITE: it may write,
// or be sent to replicas.
func mayReplicate(c *client, cmd *command.Command, argv [][]byte) bool {
	if cmd.Name == "exec" && c.multi != nil {
		return slices.ContainsFunc(c.multi.unit, func(queued [][]byte) bool {
			q, ok := command.Lookup(queued)
			return ok && mayReplicate(c, q, queued)
		})
	}
	switch {
	case strings.HasPrefix(cmd.Name, "eval"), strings.HasPrefix(cmd.Name, "fcall"):
		return !strings.HasSuffix(cmd.Name, "_ro") && !c.s.cfg.Local.Alone().OnlyReads(argv)
	case strings.HasPrefix(cmd.Name, "script|"):
		return false
	}
	return cmd.Flags&(command.Write|command.MayReplicate) != 0
}

// unmonitored are the commands that MONITOR does not show: their arguments are secret, or
// they administer.
const unmonitored = command.Admin | command.NoAuth

// feedMonitors shows a command that is about to be carried out; EXEC's are those of its unit.
// It is never the answer.
func feedMonitors(c *client, cmd *command.Command, argv [][]byte) bool {
	if c.s.cfg.Upstream != nil {
		return false
	}
	if cmd.Name == "exec" && c.multi != nil && !c.multi.spoiled {
		for _, queued := range c.multi.unit {
			if q, ok := command.Lookup(queued); ok && q.Flags&unmonitored == 0 {
				c.s.hub.feed(c.db, c.addr, queued)
			}
		}
	}
	if cmd.Flags&unmonitored == 0 {
		c.s.hub.feed(c.db, c.addr, argv)
	}
	return false
}

// feed sends a line to every client in MONITOR.
func (h *hub) feed(db int, who string, argv [][]byte) {
	line := embedded.MonitorLine(time.Now(), db, who, argv)
	h.mu.Lock()
	defer h.mu.Unlock()
	for r := range h.members {
		r.mu.Lock()
		monitors := r.monitor && r.sess == nil
		r.mu.Unlock()
		if monitors {
			r.deliver(line)
		}
	}
}

// countAnswer counts a command that the proxy of an embedded store answers itself.
func countAnswer(c *client, cmd *command.Command, argv [][]byte) (done func()) {
	start, at := time.Now(), len(lastAnswers(c))
	return func() {
		took := time.Since(start)
		stat := engine.CommandStat{Calls: 1}
		stat.Time(took, 1)
		if out := lastAnswers(c); len(out) > at && out[at] == '-' {
			stat.Failed = 1
			c.s.counted.Failed(out[at:])
		}
		c.s.counted.Add(cmd.Name, stat)
		alone := c.s.cfg.Local.Alone()
		if after := alone.SlowAfter(); after >= 0 && took.Microseconds() >= after && !neverSlow[cmd.Name] {
			alone.LogSlow(argv, took, c.who)
		}
	}
}

// lastAnswers are the replies that were given and not yet sent.
func lastAnswers(c *client) []byte {
	if c.multi != nil && !c.multi.free {
		return c.multi.held.replies
	}
	return c.batch.out
}

// neverSlow are commands that SLOWLOG does not show: those of a unit are shown instead of
// EXEC, and what has a password in it is not.
var neverSlow = map[string]bool{"exec": true, "auth": true, "hello": true}

// whoAsks is what SLOWLOG tells of the client.
func whoAsks(c *client) (addr, name string) {
	if p := c.name.Load(); p != nil {
		name = *p
	}
	return c.addr, name
}

// answeredHere reports whether the proxy of an embedded store answers the command, and not
// the engine: in a unit, too.
func answeredHere(cmd *command.Command) bool {
	switch cmd.Name {
	case "ping", "echo", "select", "config|get", "config|resetstat", "slowlog|get", "slowlog|len":
		return false // the engine has them
	case "auth", "hello", "quit", "reset", "client|tracking", "client|reply":
		return false // they change how the replies of the unit would have to look
	}
	return localCommands[cmd.Name] != nil || embeddedCommands[cmd.Name] != nil ||
		cmd.Flags&(isData|command.Blocking) == 0 && cmd.Flags&command.PubSub != 0 && !isSubscribing(cmd)
}

// execMixed executes a unit of an embedded store in which some commands are the proxy's.
// Those are carried out behind the others, at once, since they neither see nor change data.
// False: there are none.
func execMixed(c *client, it *item, watch []*fallback.Watch) bool {
	if c.s.cfg.Upstream != nil {
		return false
	}
	ours := make([]bool, len(it.unit))
	data := [][][]byte{}
	for i, argv := range it.unit {
		if cmd, ok := command.Lookup(argv); ok && answeredHere(cmd) {
			ours[i] = true
		} else {
			data = append(data, argv)
		}
	}
	if !slices.Contains(ours, true) {
		return false
	}
	c.flush()
	req := c.request(it)
	req.Commands, req.Watch = data, watch
	reply, pending, err := c.s.cfg.Local.Do(req)
	switch elems := splitArray(reply, len(data)); {
	case errors.Is(err, fallback.ErrWatchLost):
		c.answer(watchedLost)
	case err != nil:
		c.answer(resp.AppendError(nil, "ERR "+err.Error()))
	case elems == nil:
		c.appendDurable(reply, pending) // refused, or a watched key has changed
	default:
		c.appendDurable(mix(c, it.unit, ours, elems), pending)
	}
	return true
}

// mix puts the replies of the proxy's commands between those of the engine.
func mix(c *client, unit [][][]byte, ours []bool, elems [][]byte) []byte {
	out := resp.AppendArrayLen(nil, len(unit))
	for i, argv := range unit {
		if !ours[i] {
			out, elems = append(out, elems[0]...), elems[1:]
			continue
		}
		cmd, _ := command.Lookup(argv)
		at := len(c.batch.out)
		if cmd.Flags&command.PubSub != 0 {
			c.localPubSub(cmd, argv)
		} else {
			c.local(cmd, argv)
		}
		out = append(out, c.batch.out[at:]...)
		c.batch.out = c.batch.out[:at]
	}
	return out
}
