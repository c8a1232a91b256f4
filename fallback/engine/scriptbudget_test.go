package engine

import (
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// Scripts that would take all memory end, and have changed nothing; the process lives.
func TestScriptsHaveAMemoryBudget(t *testing.T) {
	e := newTestEngine(t, nil)
	require.EqualValues(t, 512<<20, e.scriptMemory)
	e.scriptMemory = 48 << 20 // the kind counts; more would take a minute
	for _, body := range []string{
		"return string.rep('x', 1e10)",
		"local s = 'x' while true do s = s .. s end",
		"local t = {} while true do t[#t+1] = string.rep('x', 1e8) .. #t end",
		"local t = {} for i = 1, 1e9 do t[i] = {i} end",
		"local t = {} for i = 1, 1e9 do t['k' .. i] = i end",
		"local s = string.rep('x', 1e8) local t = {} for i = 1, 100 do t[i] = s end return table.concat(t)",
		"local s = string.rep('x', 1e6) return s:gsub('x', s)",
		"local s = string.rep('x', 1e8) local t = {} for i = 1, 50 do t[i] = s end return cjson.encode(t)",
		"local s = string.rep('x', 1e8) local t = {} for i = 1, 50 do t[i] = s end return cmsgpack.pack(t)",
		"local t = {} for i = 1, 30 do t = {t, t} end return t",
		"local t = {} for i = 1, 1e9 do t[i] = coroutine.create(function() coroutine.yield() end) coroutine.resume(t[i]) end",
		"local t = {} for i = 1, 1e9 do t[i] = function() return i end end",
		"return string.format('%s%s%s%s%s%s%s%s%s%s', string.rep('x', 1e8):rep(5), string.rep('x', 1e8):rep(5), string.rep('x', 1e8):rep(5), 1, 1, 1, 1, 1, 1, 1)",
	} {
		body = "redis.call('SET', 'k', 'v') " + body
		start := time.Now()
		reply := e.Do(0, 2, toBytes([]string{"EVAL", body, "0"})).Reply
		require.Equal(t, byte('-'), reply[0], "%s: %.80q", body, reply)
		require.False(t, e.Has(0, []byte("k")), body)
		t.Logf("%-60.60s %.2fs %.100s", body[28:], time.Since(start).Seconds(), reply)
		runtime.GC()
	}
}

// Sources that are meant to take long to compile, or the stack, are refused soon.
func TestScriptsHaveACompileBudget(t *testing.T) {
	e := newTestEngine(t, nil)
	const n = 200_000
	for name, body := range map[string]string{
		"concat": "return 'a'" + strings.Repeat("..'a'", 40_000), "sum": "return 1" + strings.Repeat("+x", n), "parentheses": "return " + strings.Repeat("(", n),
		"tables": "return " + strings.Repeat("{", n), "not": "return " + strings.Repeat("not ", n) + "1", "minus": "return " + strings.Repeat("- ", n) + "1",
		"power": "return 2" + strings.Repeat("^2", n), "functions": strings.Repeat("return function() ", n), "blocks": strings.Repeat("do ", n), "ifs": strings.Repeat("if 1 then ", n),
		"index": "return x" + strings.Repeat(".x", n), "calls": "return x" + strings.Repeat("()", n), "method": "return x" + strings.Repeat(":x()", n), "elseif": "if a then " + strings.Repeat("elseif a then ", n) + "end",
		"or": "return x" + strings.Repeat(" or x", n), "list": "return {" + strings.Repeat("1,", n) + "}", "strings": "return {" + strings.Repeat("'a',", n) + "}", "lines": strings.Repeat("\n", 10*n) + "return 1",
		"comment": "--[[" + strings.Repeat("x", 10*n) + "]] return 1", "locals": strings.Repeat("local a ", 300), "upvalues": strings.Repeat("x=1 ", n), "args": "f(" + strings.Repeat("1,", n) + "1)",
		"long string": "return #[==[" + strings.Repeat("]=", 10*n) + "]==]", "assign": strings.Repeat("a,", n) + "a=1",
	} {
		start := time.Now()
		reply := e.Do(0, 2, toBytes([]string{"EVAL", body, "0"})).Reply
		took := time.Since(start)
		t.Logf("%-12s %8d bytes %.3fs %.90q", name, len(body), took.Seconds(), reply)
		require.Less(t, took, 10*time.Second, name)
	}
}

func TestADeadlineEndsAScriptAsAWhole(t *testing.T) {
	until := time.Time{}
	e := New(Config{Deadline: func() time.Time { return until }})
	defer e.Close()
	e.Do(0, 2, cmd("SET k old"))
	for _, loop := range []string{"while true do end", "while true do pcall(function() while true do end end) end", "for i = 1, 1e12 do end", "repeat until false",
		"local function f() return f() end return f()", "coroutine.wrap(function() while true do end end)()", "while true do redis.call('PING') end",
		"return string.find(string.rep('a', 32), string.rep('a?', 32) .. string.rep('a', 32) .. 'b')", "local t = {} for i = 1, 3e6 do t[i] = i end table.sort(t, function(a, b) return a > b end) while true do end",
		"xpcall(function() while true do end end, function() while true do end end)", "setmetatable({}, {__index = function(t, k) while true do end end}).x()"} {
		until = time.Now().Add(50 * time.Millisecond)
		start := time.Now()
		res := e.Do(0, 2, toBytes([]string{"EVAL", "redis.call('SET', 'k', 'new') " + loop, "0"}))
		require.Equal(t, "-"+errTime.Error()+"\r\n", string(res.Reply), loop)
		require.Empty(t, res.Effects)
		require.Less(t, time.Since(start), 10*time.Second, loop)
		require.Equal(t, "$3\r\nold\r\n", string(e.Do(0, 2, cmd("GET k")).Reply))
	}
}
