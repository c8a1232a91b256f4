package engine

import (
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
)

// param is a parameter of CONFIG.
type param struct {
	name string
	get  func(e *Engine) string
	// set stores a value and returns why it cannot; nil: it may only be set to what it is.
	set func(e *Engine, value string) (refusal string)
}

// params are the parameters, by name; made in init, since handlers look them up.
var params map[string]*param

func init() {
	params = map[string]*param{}
	for _, p := range sizeParams() {
		params[p.name] = p
	}
	for name, value := range fixedParams {
		params[name] = &param{name: name, get: func(*Engine) string { return value }}
	}
	for name, value := range keptParams {
		params[name] = &param{name: name, get: func(e *Engine) string {
			if v, ok := e.kept[name]; ok {
				return v
			}
			return value
		}, set: func(e *Engine, v string) string {
			_, wasInt := parseInt(value)
			if _, isInt := parseInt(v); wasInt && !isInt {
				return "argument couldn't be parsed into an integer"
			}
			if (value == "yes" || value == "no") && v != "yes" && v != "no" {
				return "argument must be 'yes' or 'no'"
			}
			e.kept[name] = v
			return ""
		}}
	}
	for _, p := range append(scriptParams(), slowParams()...) {
		params[p.name] = p
	}
	params["maxmemory"] = maxmemoryParam()
	params["notify-keyspace-events"] = &param{
		name: "notify-keyspace-events",
		get:  func(e *Engine) string { return e.events.String() },
		set: func(e *Engine, v string) string {
			f, ok := parseEvents(v)
			if !ok {
				return "Invalid event class character. Use 'Ag$lshzxeKEtmdn'."
			}
			e.events = f
			return ""
		},
	}
}

// fixedParams say how the local store is: what they promise cannot be chosen here.
var fixedParams = map[string]string{
	"databases": strconv.Itoa(databases), "maxmemory-policy": "noeviction", "save": "", "appendonly": "yes",
	"appendfsync": "always", "timeout": "0", "cluster-enabled": "no", "requirepass": "", "maxclients": "10000", "bind": "", "port": "0",
	"replica-read-only": "yes", "slave-read-only": "yes", "io-threads": "1", "dir": "", "dbfilename": "", "daemonize": "no", "supervised": "no",
	"min-replicas-to-write": "0", "rdbcompression": "no", "rdbchecksum": "yes", "unixsocket": "", "masterauth": "", "loglevel": "notice",
	"replica-serve-stale-data": "yes", "aof-use-rdb-preamble": "no", "maxmemory-clients": "0", "activedefrag": "no",
	"replicaof": "", "slaveof": "",
}

// immutableParams are those of them that no Redis changes while it runs.
var immutableParams = map[string]bool{"databases": true, "daemonize": true, "supervised": true, "cluster-enabled": true, "io-threads": true, "unixsocket": true}

// keptParams tune what a client of the local store cannot see: they are kept and given
// back.
var keptParams = map[string]string{
	"list-max-listpack-size": "-2", "list-max-ziplist-size": "-2", "list-compress-depth": "0", "hz": "10", "activerehashing": "yes",
	"maxmemory-samples": "5", "lfu-log-factor": "10", "lfu-decay-time": "1", "lazyfree-lazy-eviction": "no", "lazyfree-lazy-expire": "no",
	"lazyfree-lazy-server-del": "no", "lazyfree-lazy-user-del": "no", "lazyfree-lazy-user-flush": "no", "latency-monitor-threshold": "0", "latency-tracking": "yes", "tracking-table-max-keys": "1000000",
	"client-query-buffer-limit": "1073741824", "client-output-buffer-limit": "normal 0 0 0 slave 268435456 67108864 60 pubsub 33554432 8388608 60",
	"repl-backlog-size": "1048576", "tcp-keepalive": "300", "active-expire-effort": "1", "dynamic-hz": "yes",
	"stop-writes-on-bgsave-error": "yes",
}

// size is a parameter that is a number of elements or bytes, with effect.
func size(at func(l *limits) *int64, least, most int64, names ...string) (out []*param) {
	for _, name := range names {
		out = append(out, &param{
			name: name,
			get:  func(e *Engine) string { return itoa(*at(&e.limits)) },
			set: func(e *Engine, v string) string {
				n, ok := parseMemory(v)
				_, isInt := parseInt(v)
				switch {
				case strings.HasSuffix(name, "-entries") && !isInt:
					return "argument couldn't be parsed into an integer"
				case !ok:
					return "argument must be a memory value"
				case n < least || n > most:
					return "argument must be between " + itoa(least) + " and " + itoa(most) + " inclusive"
				}
				*at(&e.limits) = n
				return ""
			},
		})
	}
	return out
}

// nodeSize is a limit of the nodes of streams.
func nodeSize(name string, at func(e *Engine) *int) []*param {
	return []*param{{
		name: name,
		get:  func(e *Engine) string { return strconv.Itoa(*at(e)) },
		set: func(e *Engine, v string) string {
			n, ok := parseMemory(v)
			if !ok || n > math.MaxInt32 {
				return "argument couldn't be parsed into an integer"
			}
			*at(e) = int(n)
			return ""
		},
	}}
}

func sizeParams() (out []*param) {
	most := int64(math.MaxInt64)
	add := func(p []*param) { out = append(out, p...) }
	add(size(func(l *limits) *int64 { return &l.hashEntries }, 0, most, "hash-max-listpack-entries", "hash-max-ziplist-entries"))
	add(size(func(l *limits) *int64 { return &l.hashValue }, 0, most, "hash-max-listpack-value", "hash-max-ziplist-value"))
	add(size(func(l *limits) *int64 { return &l.zsetEntries }, 0, most, "zset-max-listpack-entries", "zset-max-ziplist-entries"))
	add(size(func(l *limits) *int64 { return &l.zsetValue }, 0, most, "zset-max-listpack-value", "zset-max-ziplist-value"))
	add(size(func(l *limits) *int64 { return &l.setInts }, 0, most, "set-max-intset-entries"))
	add(size(func(l *limits) *int64 { return &l.bulk }, 1<<20, 4<<30, "proto-max-bulk-len"))
	add(nodeSize("stream-node-max-entries", func(e *Engine) *int { return &e.streamLimits.Entries }))
	add(nodeSize("stream-node-max-bytes", func(e *Engine) *int { return &e.streamLimits.Bytes }))
	add(size(func(l *limits) *int64 { return &l.sparse }, 0, most, "hll-sparse-max-bytes"))
	return out
}

// parseMemory parses a number with a unit, as 512mb.
func parseMemory(s string) (int64, bool) {
	s = strings.ToLower(s)
	digits := strings.TrimRight(s, "kmgb")
	times := map[string]int64{"": 1, "b": 1, "k": 1000, "kb": 1 << 10, "m": 1e6, "mb": 1 << 20, "g": 1e9, "gb": 1 << 30}[s[len(digits):]]
	n, ok := parseInt(digits)
	if !ok || times == 0 || n < 0 || n > math.MaxInt64/times {
		return 0, false
	}
	return n * times, true
}

// config is CONFIG GET, SET, RESETSTAT and REWRITE.
func (c *call) config() {
	sub := strings.ToUpper(c.args[1])
	switch {
	case c.e.run != nil:
		c.fail("ERR This Redis command is not allowed from script")
	case sub == "GET" && len(c.args) > 2:
		c.configGet()
	case sub == "SET" && len(c.args) > 3:
		c.configSet()
	case sub == "RESETSTAT" && len(c.args) == 2:
		c.e.expired, c.e.stats = 0, newStats()
		c.ok()
	case sub == "REWRITE" && len(c.args) == 2:
		c.fail("ERR The server is running without a config file")
	case sub == "GET" || sub == "SET" || sub == "RESETSTAT" || sub == "REWRITE":
		c.fail(wrongArity("config|" + sub))
	default:
		c.fail("ERR unknown subcommand '" + cText(c.args[1]) + "'. Try CONFIG HELP.")
	}
}

func (c *call) configGet() {
	found := map[string]bool{}
	var names []string
	take := func(name string) {
		if !found[name] {
			found[name] = true
			names = append(names, name)
		}
	}
	for _, pattern := range c.args[2:] {
		pattern = strings.ToLower(pattern)
		if params[pattern] != nil {
			take(pattern)
			continue
		}
		for _, name := range slices.Sorted(maps.Keys(params)) {
			if c.matches(pattern, name) {
				take(name)
			}
		}
	}
	r := c.buf()
	r.mapLen(len(names))
	for _, name := range names {
		r.bulk(name)
		r.bulk(params[name].get(c.e))
	}
	c.reply = r.b
}

// configSet sets all or none.
func (c *call) configSet() {
	if len(c.args)%2 != 0 {
		c.fail(wrongArity("config|set"))
		return
	}
	seen := map[string]bool{}
	for i := 2; i < len(c.args); i += 2 {
		name := strings.ToLower(c.args[i])
		if params[name] == nil {
			c.fail("ERR Unknown option or number of arguments for CONFIG SET - '" + c.args[i] + "'")
			return
		}
		if seen[name] {
			c.fail("ERR CONFIG SET failed (possibly related to argument '" + c.args[i] + "') - duplicate parameter")
			return
		}
		seen[name] = true
	}
	var undo []func()
	for i := 2; i < len(c.args); i += 2 {
		p, value := params[strings.ToLower(c.args[i])], c.args[i+1]
		old := p.get(c.e)
		refusal := ""
		switch {
		case p.set != nil:
			refusal = p.set(c.e, value)
		case immutableParams[p.name]:
			refusal = "can't set immutable config"
		case value != old:
			refusal = "cannot be changed in the local store, which has '" + old + "'"
		}
		if refusal != "" {
			for _, fn := range undo {
				fn()
			}
			c.fail("ERR CONFIG SET failed (possibly related to argument '" + c.args[i] + "') - " + refusal)
			return
		}
		if p.set != nil {
			undo = append(undo, func() { p.set(c.e, old) })
		}
	}
	c.ok()
}
