package proxy

import (
	"maps"
	"slices"
	"strings"
	"time"

	"holdfast/backend/command"
	"holdfast/backend/resp"
	"holdfast/fallback/engine"
)

// embeddedCommands are what the proxy answers where there is no Redis and never was, as a
// Redis without replicas, modules and DEBUG does.
var embeddedCommands map[string]func(c *client, argv [][]byte)

func init() {
	embeddedCommands = map[string]func(c *client, argv [][]byte){
		"client|pause": (*client).clientPause, "client|unpause": (*client).clientUnpause,
		"client|caching":      (*client).caching,
		"client|trackinginfo": func(c *client, _ [][]byte) { c.trackingInfo() }, "client|getredir": func(c *client, _ [][]byte) { c.getRedir() },

		// What is acknowledged is on disk.
		"save":         says("+OK"),
		"bgsave":       says("+Background saving started"),
		"bgrewriteaof": says("+Background append only file rewriting started"),
		"lastsave":     func(c *client, _ [][]byte) { c.answer(resp.AppendInt(nil, time.Now().Unix())) },

		"wait":      says(":0"), // there are no replicas
		"replicaof": (*client).replicaOf, "slaveof": (*client).replicaOf,
		"failover": says("-ERR FAILOVER requires connected replicas."),

		"latency|latest": says("*0"), "latency|history": says("*0"), "latency|reset": says(":0"),
		"latency|graph": func(c *client, argv [][]byte) {
			c.reject("ERR No samples available for event '" + string(argv[2]) + "'")
		},
		"latency|doctor":    func(c *client, _ [][]byte) { c.answer(resp.AppendVerbatim(nil, c.proto, noLatencyMonitor)) },
		"latency|histogram": (*client).latencyHistogram,

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
func (c *client) replicaOf(argv [][]byte) {
	if strings.EqualFold(string(argv[1]), "no") && strings.EqualFold(string(argv[2]), "one") {
		c.answer(replyOK)
		return
	}
	c.reject("ERR an embedded store cannot replicate; give it a Redis with --redis-url")
}

// latencyHistogram is LATENCY HISTOGRAM: how many calls of each command took up to so many
// microseconds.
func (c *client) latencyHistogram(argv [][]byte) {
	ours, _ := c.s.counted.all()
	all := c.s.cfg.Local.CommandStats(ours)
	var names []string
	for _, name := range slices.Sorted(maps.Keys(all)) {
		if all[name].Calls > 0 && (len(argv) == 2 || slices.ContainsFunc(argv[2:], func(want []byte) bool { return asksFor(string(want), name) })) {
			names = append(names, name)
		}
	}
	out := resp.AppendMapLen(nil, c.proto, len(names))
	for _, name := range names {
		out = appendHistogram(resp.AppendBulkString(out, name), c.proto, all[name])
	}
	c.answer(out)
}

// asksFor reports whether a name given by the client is that of the command, or of its
// container.
func asksFor(want, name string) bool {
	want = strings.ToLower(want)
	return want == name || strings.HasPrefix(name, want+"|") && command.ByName(want) != nil
}

func appendHistogram(out []byte, proto int, s engine.CommandStat) []byte {
	out = resp.AppendInt(resp.AppendBulkString(resp.AppendMapLen(out, proto, 2), "calls"), s.Calls)
	out = resp.AppendBulkString(out, "histogram_usec")
	var upTo []int64
	total := int64(0)
	for i, n := range s.Took {
		if total += n; n > 0 {
			upTo = append(upTo, int64(1)<<i, total)
		}
	}
	out = resp.AppendMapLen(out, proto, len(upTo)/2)
	for _, n := range upTo {
		out = resp.AppendInt(out, n)
	}
	return out
}
