package engine

import (
	"fmt"
	"regexp"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"holdfast/backend/redistest"
)

// luaGen makes random programs that end: expressions over a few variables, tables and
// library functions, right and wrong ones.
type luaGen struct {
	t *rapid.T
}

func (g luaGen) pick(what string, from ...string) string {
	return rapid.SampledFrom(from).Draw(g.t, what)
}

func (g luaGen) expr(depth int) string {
	if depth <= 0 {
		return g.pick("leaf", "a", "b", "c", "t", "nil", "true", "false", "0", "1", "-1", "2.5", "1e15", "0/0", "1/0", "'x'", "'10'", "'0x10'", "'a b'", "''", "{}", "{1,2,3}",
			"{x=1,y='z'}", "ARGV[1]", "KEYS[1]", "#ARGV", "cjson.null", "t.x", "t[1]", "t[a]", "string", "print", "'\\0é\\n'")
	}
	x, y := func() string { return g.expr(depth - 1) }, func() string { return g.expr(depth - 2) }
	switch rapid.IntRange(0, 15).Draw(g.t, "kind") {
	case 0, 1:
		return "(" + x() + g.pick("arith", "+", "-", "*", "/", "%", "^") + y() + ")"
	case 2:
		return "(" + x() + ".." + y() + ".." + y() + ")"
	case 3:
		return "(" + x() + g.pick("compare", "==", "~=", "<", "<=", ">", ">=") + y() + ")"
	case 4:
		return "(" + x() + g.pick("logic", " and ", " or ") + y() + ")"
	case 5:
		return g.pick("unary", "not ", "-", "#") + "(" + x() + ")"
	case 6:
		return "{" + x() + "," + y() + ",k=" + y() + ",[" + y() + " or 1]=" + y() + "}"
	case 7:
		return "(" + x() + ")[" + y() + "]"
	case 8:
		return g.pick("one", "tostring", "tonumber", "type", "string.upper", "string.len", "string.reverse", "cjson.encode", "cjson.decode", "cmsgpack.pack", "cmsgpack.unpack",
			"table.concat", "unpack", "math.floor", "math.abs", "bit.tobit", "bit.bnot", "bit.tohex", "next", "ipairs", "table.getn", "table.maxn", "redis.sha1hex", "redis.error_reply",
			"redis.status_reply", "string.byte", "string.format", "loadstring", "struct.size", "redis.pcall", "pcall", "assert", "setmetatable") + "(" + x() + ")"
	case 9:
		return g.pick("two", "string.rep", "string.sub", "string.find", "string.match", "string.format", "math.max", "math.fmod", "math.pow", "bit.band", "bit.lshift", "select", "rawget",
			"rawequal", "tonumber", "table.concat", "struct.pack", "struct.unpack", "pcall", "cmsgpack.pack", "redis.pcall", "setmetatable", "string.gmatch", "table.insert", "unpack") + "(" + x() + "," + g.small(y()) + ")"
	case 10:
		return "(" + x() + "):" + g.pick("method", "upper", "sub", "rep", "byte", "gsub", "format", "nosuch", "x") + "(" + g.small(y()) + "," + g.small(y()) + ")"
	case 11:
		return "select(2, pcall(function() return " + x() + " end))"
	case 12:
		return "(function(...) local a, b = ... return b, a end)(" + x() + "," + y() + ")"
	case 13:
		return "redis.pcall('" + g.pick("command", "SET", "GET", "RPUSH", "LRANGE", "HSET", "INCR", "NOSUCH", "STRLEN") + "', KEYS[1], " + x() + ")"
	case 14:
		if rapid.Bool().Draw(g.t, "raise") { // not a table: that ends the process of Redis 7.0
			return "pcall(error, tostring(" + x() + "))"
		}
		return "coroutine.wrap(function(x) local y = coroutine.yield(x) return " + x() + " end)(" + y() + ")"
	}
	return x()
}

// small keeps repetitions from growing large.
func (g luaGen) small(e string) string {
	if strings.Contains(e, "1e15") || strings.Contains(e, "/0") {
		return "3"
	}
	return e
}

func (g luaGen) program() string {
	var b strings.Builder
	b.WriteString("local a, b, c, t = 1, 'x', {}, {x=5, 10, 20}\n")
	for range rapid.IntRange(1, 5).Draw(g.t, "statements") {
		v := g.pick("var", "a", "b", "c", "t.x", "t[1]", "t[b]", "c.n")
		switch rapid.IntRange(0, 6).Draw(g.t, "statement") {
		case 0, 1:
			fmt.Fprintf(&b, "%s = %s\n", v, g.expr(3))
		case 2:
			fmt.Fprintf(&b, "if %s then %s = %s else %s = %s end\n", g.expr(2), v, g.expr(2), v, g.expr(1))
		case 3:
			fmt.Fprintf(&b, "for i = 1, 4 do %s = %s if i == 3 then break end end\n", v, g.expr(2))
		case 4:
			fmt.Fprintf(&b, "for k, v in pairs({p=%s, q=%s, %s}) do t[#t+1] = tostring(k) .. type(v) end\n", g.expr(1), g.expr(1), g.expr(1))
		case 5:
			fmt.Fprintf(&b, "a, b = %s, %s\n", g.expr(2), g.expr(2))
		case 6:
			fmt.Fprintf(&b, "local function f(x) return %s end b = f(%s)\n", g.expr(2), g.expr(1))
		}
	}
	fmt.Fprintf(&b, "return {%s, type(a), t, %s}", g.expr(2), g.pick("result", "a", "b", "c", "tostring(a)", "cjson.encode(t)"))
	return b.String()
}

// names of what an error is about: Lua finds them in its byte code, so that those of
// values out of and, or are not always told here.
var namedValue = regexp.MustCompile(`(global|local|field|upvalue|method) '[^']*' \(a (\w+) value\)`)

func nameless(reply string) string { return namedValue.ReplaceAllString(reply, "a $2 value") }

// addresses of values differ in every process.
func hasAddress(reply string) bool {
	for _, kind := range []string{"table: ", "function: ", "userdata: ", "thread: "} {
		if strings.Contains(strings.ToLower(reply), kind) {
			return true
		}
	}
	return false
}

func TestRandomProgramsAnswerLikeRedis(t *testing.T) {
	c := dial(t, redistest.Start(t).Addr(), 2)
	e := newTestEngine(t, nil)
	rapid.Check(t, func(rt *rapid.T) {
		body := luaGen{rt}.program()
		c.ask("FLUSHALL")
		e.Do(0, 2, cmd("FLUSHALL"))
		argv := toBytes([]string{"EVAL", body, "1", "k", "arg"})
		want, got := nameless(string(c.do(argv))), nameless(string(e.Do(0, 2, argv).Reply))
		if hasAddress(want) && hasAddress(got) {
			return
		}
		if want != got {
			rt.Fatalf("%s\n redis  %.400q\n engine %.400q", body, want, got)
		}
	})
}
