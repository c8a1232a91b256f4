package proxy

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"holdfast/backend"
	"holdfast/backend/resp"
)

// clientTest says whether a client is one of those that a filter means.
type clientTest func(o *client) bool

// clientFilters are the filters of CLIENT KILL, and where the server has them there of
// CLIENT LIST: the versions from which on they are known, and what a value means.
var clientFilters = map[string]struct {
	redis, valkey string
	parse         func(s *Server, value string) (clientTest, string)
}{
	"id":       {"2.8", "7.2", filterID},
	"type":     {"2.8", "7.2", filterType},
	"user":     {"6.0", "7.2", filterUser},
	"addr":     {"2.8", "7.2", filterField("addr")},
	"laddr":    {"6.2", "7.2", filterField("laddr")},
	"maxage":   {"7.4", "8.0", filterSeconds("maxage", (*client).age)},
	"name":     {"", "9.0", filterField("name")},
	"idle":     {"", "9.0", filterSeconds("idle", (*client).idle)},
	"flags":    {"", "9.0", filterFlags},
	"lib-name": {"", "9.0", filterField("lib-name")},
	"lib-ver":  {"", "9.0", filterField("lib-ver")},
	"db":       {"", "9.0", filterField("db")},
	"capa":     {"", "9.0", filterField("capa")},
	"ip":       {"", "9.0", filterIP},
}

// notSince is the Valkey from which on a filter may be turned round by "NOT-".
const notSince = "9.0"

func filterID(_ *Server, value string) (clientTest, string) {
	id, err := strconv.ParseInt(value, 10, 64)
	if err != nil || id < 1 {
		return nil, "ERR client-id should be greater than 0"
	}
	return func(o *client) bool { return o.id == id }, ""
}

func filterType(_ *Server, value string) (clientTest, string) {
	kind := strings.ToLower(value)
	switch kind {
	case "normal", "pubsub", "master", "primary", "replica", "slave":
		return func(o *client) bool { return o.kind() == kind }, ""
	}
	return nil, fmt.Sprintf("ERR Unknown client type '%.128s'", value)
}

func filterUser(s *Server, value string) (clientTest, string) {
	if _, ok := s.cfg.Users[value]; !ok && value != "default" {
		return nil, fmt.Sprintf("ERR No such user '%s'", value)
	}
	return func(o *client) bool { return o.shownUser() == value }, ""
}

func filterSeconds(name string, of func(*client, time.Time) time.Duration) func(*Server, string) (clientTest, string) {
	return func(_ *Server, value string) (clientTest, string) {
		n, err := strconv.ParseInt(value, 10, 64)
		if err != nil {
			return nil, "ERR " + name + " is not an integer or out of range"
		}
		if n <= 0 {
			return nil, "ERR " + name + " should be greater than 0"
		}
		return func(o *client) bool { return int64(of(o, time.Now())/time.Second) >= n }, ""
	}
}

func filterField(name string) func(*Server, string) (clientTest, string) {
	return func(_ *Server, value string) (clientTest, string) {
		return func(o *client) bool { return o.field(name) == value }, ""
	}
}

func filterIP(_ *Server, value string) (clientTest, string) {
	return func(o *client) bool {
		addr := o.field("addr")
		return addr[:max(0, strings.LastIndexByte(addr, ':'))] == value
	}, ""
}

func filterFlags(_ *Server, value string) (clientTest, string) {
	return func(o *client) bool {
		flags := o.field("flags")
		for _, f := range value {
			if !strings.ContainsRune(flags, f) {
				return false
			}
		}
		return true
	}, ""
}

// field is one of those that CLIENT LIST shows.
func (c *client) field(name string) string {
	for _, f := range strings.Fields(c.line(0)) {
		if v, ok := strings.CutPrefix(f, name+"="); ok {
			return v
		}
	}
	return ""
}

func (c *client) age(now time.Time) time.Duration { return now.Sub(c.created) }

// clientQuery is a parsed list of filters: all of them have to fit.
type clientQuery struct {
	tests  map[string]clientTest // a later one of the same name replaces the first
	skipMe bool
}

func (q *clientQuery) match(o, me *client) bool {
	for _, t := range q.tests {
		if !t(o) {
			return false
		}
	}
	return o != me || !q.skipMe
}

// parse reads filters as the server does; text is its error, if not "".
func (q *clientQuery) parse(s *Server, args [][]byte) (text string) {
	info, several := s.serverInfo(), atLeast(s.serverInfo(), "", "8.1")
	q.tests = map[string]clientTest{}
	for i := 0; i < len(args); i += 2 {
		if i+1 == len(args) {
			return "ERR syntax error"
		}
		name, value := strings.ToLower(string(args[i])), string(args[i+1])
		if name == "skipme" {
			if q.skipMe = strings.EqualFold(value, "yes"); !q.skipMe && !strings.EqualFold(value, "no") {
				return "ERR syntax error"
			}
			continue
		}
		bare, not := strings.CutPrefix(name, "not-")
		f, ok := clientFilters[bare]
		if !ok || !atLeast(info, f.redis, f.valkey) || not && !atLeast(info, "", notSince) {
			return "ERR syntax error"
		}
		t, text := f.parse(s, value)
		if text != "" {
			return text
		}
		for ; several && bare == "id" && i+2 < len(args); i++ {
			if _, err := strconv.ParseInt(string(args[i+2]), 10, 64); err != nil {
				break
			}
			more, text := f.parse(s, string(args[i+2]))
			if text != "" {
				return text
			}
			t = either(t, more)
		}
		if before := q.tests[name]; before != nil && several && bare == "id" {
			t = either(before, t)
		}
		q.tests[name] = t
		if not {
			q.tests[name] = func(o *client) bool { return !t(o) }
		}
	}
	return ""
}

func either(a, b clientTest) clientTest { return func(o *client) bool { return a(o) || b(o) } }

// serverInfo is what is known of Redis, or of the one that an embedded store follows.
func (s *Server) serverInfo() backend.Info {
	if s.cfg.Upstream != nil {
		return s.cfg.Upstream.Status().Info
	}
	return backend.Info{Version: emulatedVersion, Flavor: "redis"}
}

// atLeast reports whether the server is a Redis or a Valkey from the version on; ""
// is a kind that never has it. One whose version is not known may have all.
func atLeast(info backend.Info, redis, valkey string) bool {
	since := redis
	if info.Flavor == "valkey" {
		since = valkey
	}
	var have, want [2]int
	if _, err := fmt.Sscanf(info.Version, "%d.%d", &have[0], &have[1]); err != nil || info.Flavor != "redis" && info.Flavor != "valkey" {
		return true
	}
	if _, err := fmt.Sscanf(since, "%d.%d", &want[0], &want[1]); err != nil {
		return false
	}
	return have[0] > want[0] || have[0] == want[0] && have[1] >= want[1]
}

// clientList lists the clients of the proxy, which are what its users can see
// and close; those of Redis itself are its own affair.
func (c *client) clientList(argv [][]byte) {
	q, args := clientQuery{}, argv[2:]
	if !atLeast(c.s.serverInfo(), "", "8.1") {
		if text := q.parseShort(c.s, args); text != "" {
			c.reject(text)
			return
		}
	} else if text := q.parse(c.s, args); text != "" {
		c.reject(text)
		return
	}
	var b strings.Builder
	for _, o := range c.s.clientsByID() {
		if q.match(o, c) {
			asked := 0
			if o == c {
				asked = len(resp.AppendCommand(nil, argv...))
			}
			b.WriteString(o.line(asked))
			b.WriteByte('\n')
		}
	}
	c.answer(resp.AppendVerbatim(nil, c.proto, b.String()))
}

// parseShort reads the one filter that CLIENT LIST of Redis takes: TYPE, or ID with any
// number of them.
func (q *clientQuery) parseShort(s *Server, args [][]byte) (text string) {
	switch {
	case len(args) == 0:
		return ""
	case len(args) == 2 && strings.EqualFold(string(args[0]), "type"):
		return q.parse(s, args)
	case len(args) > 1 && strings.EqualFold(string(args[0]), "id"):
	default:
		return "ERR syntax error"
	}
	want := map[int64]bool{}
	for _, a := range args[1:] {
		id, err := strconv.ParseInt(string(a), 10, 64)
		if err != nil {
			return "ERR Invalid client ID"
		}
		want[id] = true
	}
	q.tests = map[string]clientTest{"id": func(o *client) bool { return want[o.id] }}
	return ""
}

// clientKill closes clients of the proxy: those at an address, or all that fit filters.
func (c *client) clientKill(argv [][]byte) {
	q, byAddr := clientQuery{skipMe: true}, len(argv) == 3
	if byAddr {
		addr := string(argv[2])
		q = clientQuery{tests: map[string]clientTest{"addr": func(o *client) bool { return o.addr == addr }}}
	} else if text := q.parse(c.s, argv[2:]); text != "" {
		c.reject(text)
		return
	}
	killed := 0
	for _, o := range c.s.clientsByID() {
		if !q.match(o, c) {
			continue
		}
		killed++
		if o == c {
			c.closing = true
			continue
		}
		_ = o.conn.Close()
	}
	switch {
	case !byAddr:
		c.answer(resp.AppendInt(nil, int64(killed)))
	case killed > 0:
		c.answer(replyOK)
	default:
		c.reject("ERR No such client")
	}
}
