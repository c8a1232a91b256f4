package engine

import "strings"

// perKey is what the engine has for each key beside its name and value.
const perKey = 176

// memory is an estimate of the bytes that a key costs.
func (e *Engine) memory(en *entry) int64 {
	n := int64(perKey + len(en.key) + len(en.value))
	switch {
	case en.obj != nil:
		n += en.obj.memory()
	case en.kind == "stream":
		n += 128 * int64(en.stream.Len())
	}
	return n
}

var memoryHelp = []string{"MEMORY <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
	"DOCTOR", "    Return memory problems reports.", "MALLOC-STATS", "    Return internal statistics report from the memory allocator.",
	"PURGE", "    Attempt to purge dirty pages for reclamation by the allocator.", "STATS", "    Return information about the memory usage of the server.",
	"USAGE <key> [SAMPLES <count>]", "    Return memory in bytes used by <key> and its value. Nested values are", "    sampled up to <count> times (default: 5, 0 means sample all).",
	"HELP", "    Prints this help."}

// memoryCommand is MEMORY.
func (c *call) memoryCommand() {
	sub := strings.ToUpper(c.args[1])
	r := c.buf()
	switch {
	case sub == "USAGE" && len(c.args) >= 3:
		c.memoryUsage()
		return
	case len(c.args) != 2 || sub == "USAGE":
		c.fail(wrongArity("memory|" + sub))
		return
	case sub == "STATS":
		c.memoryStats(r)
	case sub == "DOCTOR":
		r.verbatim("Hi Sam, this is not a Redis but the local store of a proxy: its memory is that of the process, which INFO memory tells.\n")
	case sub == "MALLOC-STATS":
		r.bulk("Stats not supported for the current allocator")
	case sub == "PURGE":
		r.status("OK")
	case sub == "HELP":
		r.array(len(memoryHelp))
		for _, line := range memoryHelp {
			r.status(line)
		}
	default:
		c.fail("ERR unknown subcommand '" + cText(c.args[1]) + "'. Try MEMORY HELP.")
		return
	}
	c.reply = r.b
}

func (c *call) memoryUsage() {
	for i := 3; i < len(c.args); i += 2 {
		if !strings.EqualFold(c.args[i], "SAMPLES") || i+1 == len(c.args) {
			c.fail(errSyntax)
			return
		}
		n, ok := parseInt(c.args[i+1])
		if !ok {
			c.fail(errNotInt)
			return
		}
		if n < 0 {
			c.fail(errSyntax)
			return
		}
	}
	en := c.e.find(c.db, c.args[2])
	if en == nil {
		c.null()
		return
	}
	c.integer(c.e.memory(en))
}

func (c *call) memoryStats(r *replyBuf) {
	used, peak, _ := c.e.memoryInUse()
	keys := c.e.Keys()
	per := int64(0)
	if keys > 0 {
		per = int64(used) / int64(keys)
	}
	stats := []struct {
		name string
		n    int64
	}{{"peak.allocated", int64(peak)}, {"total.allocated", int64(used)}, {"startup.allocated", 0}, {"replication.backlog", 0}, {"clients.slaves", 0},
		{"clients.normal", 0}, {"aof.buffer", 0}, {"overhead.total", 0}, {"keys.count", int64(keys)}, {"keys.bytes-per-key", per}, {"dataset.bytes", int64(used)}}
	r.mapLen(len(stats))
	for _, s := range stats {
		r.bulk(s.name)
		r.integer(s.n)
	}
}

func memoryKeys(args []string) []string {
	if len(args) > 2 && strings.EqualFold(args[1], "USAGE") {
		return args[2:3]
	}
	return nil
}
