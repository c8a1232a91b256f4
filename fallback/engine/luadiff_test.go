package engine

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"holdfast/backend/redistest"
)

// luaCorpus are bodies whose replies must be those of Redis, byte by byte. One
// script a paragraph.
func luaCorpus(t *testing.T) []string {
	b, err := os.ReadFile("testdata/scripts.lua")
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, s := range strings.Split(string(b), "\n\n") {
		if s = strings.Trim(s, "\n"); s != "" {
			out = append(out, s)
		}
	}
	return out
}

func TestLuaIsThatOfRedis(t *testing.T) {
	srv := redistest.Start(t)
	for _, proto := range []int{2, 3} {
		c := dial(t, srv.Addr(), proto)
		c.ask("FLUSHALL")
		e := newTestEngine(t, nil)
		for _, body := range luaCorpus(t) {
			argv := toBytes([]string{"EVAL", body, "2", "k1", "k2", "a1", "a2", "3"})
			want, got := string(c.do(argv)), string(e.Do(0, proto, argv).Reply)
			if want != got {
				t.Errorf("RESP%d %s\n redis  %.300q\n engine %.300q", proto, body, want, got)
			}
		}
	}
}

// What one script tries must not reach the next: each trick runs, whatever becomes of
// it, and then a script looks at the world.
func TestNothingOfAScriptIsLeft(t *testing.T) {
	e := newTestEngine(t, nil)
	look := toBytes([]string{"EVAL", `
		local names = {}
		local function walk(prefix, t, depth)
			local keys = {}
			for k in pairs(t) do keys[#keys+1] = tostring(k) end
			table.sort(keys)
			for _, k in ipairs(keys) do
				local v = rawget(t, k)
				if type(v) == 'table' and v ~= _G and depth < 3 then walk(prefix..k..'.', v, depth+1)
				else names[#names+1] = prefix..k..'='..(type(v)=='function' and tostring(v) or type(v)..(type(v)=='string' and v or '')) end
			end
		end
		walk('', _G, 0)
		names[#names+1] = tostring(getmetatable('').__index == string) .. tostring(tonumber('7')) .. ('x'):upper()
		names[#names+1] = cjson.encode({1.123456789012345, {}, 'x'}) .. tostring(getfenv(1) == _G) .. redis.call('ping').ok
		return names`, "0"})
	before := string(e.Do(0, 2, look).Reply)
	for _, body := range append(luaCorpus(t), luaTricks...) {
		for _, argv := range [][]string{{"EVAL", body, "0"}, {"EVAL_RO", body, "0"}, {"EVAL", "return pcall(function() " + body + "\nend)", "0"},
			{"EVAL", "local co = coroutine.wrap(function() " + body + "\nend) return co()", "0"},
			{"FUNCTION", "LOAD", "REPLACE", "#!lua name=t\nredis.register_function('f', function() " + body + "\nend)"}, {"FCALL", "f", "0"},
			{"FUNCTION", "LOAD", "REPLACE", "#!lua name=t\nredis.register_function('f', function() return 1 end) " + body}} {
			e.Do(0, 2, toBytes(argv))
		}
		if after := string(e.Do(0, 2, look).Reply); after != before {
			t.Fatalf("after %s\n was %.2000q\n is  %.2000q", body, before, after)
		}
	}
}

// luaTricks are attempts on the world of others.
var luaTricks = func() (out []string) {
	tables := []string{"_G", "string", "table", "math", "coroutine", "redis", "cjson", "cmsgpack", "struct", "bit", "os", "getmetatable('')",
		"getmetatable(_G)", "getmetatable('').__index", "getfenv(0)", "getfenv(1)", "getfenv(pcall)", "getfenv(redis.call)", "KEYS", "ARGV", "cjson.new()"}
	ways := []string{"%s.call = nil", "%s.upper = function() return 1 end", "%s.__index = {}", "%s.__newindex = function() end", "rawset(%s, 'x', 1)",
		"setmetatable(%s, {__index=function() return 1 end})", "table.insert(%s, 1)", "table.remove(%s)", "table.sort(%s)", "for k in pairs(%s) do %s[k] = nil end",
		"%s[1] = 2", "%s.null = 1", "%s.encode = tostring", "%s.redis = nil", "%s.tonumber = function() return 42 end", "%s._G = {}", "setfenv(1, %s) call = 1",
		"setfenv(0, {}) %s = 1", "rawset(%s, '__index', nil)", "%s.__metatable = 1", "%s.__call = function() end", "%s.pi = 3", "table.foreach(%s, function(k) rawset(%s, k, nil) end)"}
	for _, tab := range tables {
		for _, way := range ways {
			out = append(out, strings.ReplaceAll(way, "%s", tab))
		}
	}
	for _, name := range []string{"redis", "tonumber", "string", "pcall", "KEYS", "_G", "newone", "cjson"} {
		out = append(out, name+" = function() return 42 end", fmt.Sprintf("_G[%q] = nil", name), fmt.Sprintf("rawset(_G, %q, 1)", name),
			fmt.Sprintf("setfenv(1, setmetatable({}, {__index=_G})) %s = 1", name), fmt.Sprintf("loadstring('%s = 1')()", name),
			fmt.Sprintf("setfenv(loadstring('%s = 1'), _G)()", name), fmt.Sprintf("coroutine.wrap(function() %s = 1 end)()", name))
	}
	return append(out, "setfenv(0, {})", "setfenv(redis.call, {})", "setfenv(pcall, {})", "math.randomseed(1)", "redis.setresp(3)", "redis.set_repl(0)",
		"cjson.encode_number_precision(3)", "cjson.encode_max_depth(1)", "cjson.encode_sparse_array(true)", "cjson.encode_keep_buffer(false)",
		"coroutine.wrap(function() coroutine.yield() end)()", "collectgarbage('stop')", "error({err='x'})", "local t = getmetatable(newproxy(true)) t.__index = _G t.__newindex = _G",
		"string.gsub('x', 'x', function() tostring = 1 end)", "table.sort({1,2,3}, function() string.x = 1 end)", "xpcall(function() redis.x = 1 end, function(e) redis.y = 1 end)")
}()
