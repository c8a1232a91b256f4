package engine

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"holdfast/backend/redistest"
)

const counterLib = "#!lua name=counter\nlocal function key(k) return 'n:' .. k end\n" +
	"redis.register_function('add', function(keys, args) return redis.call('INCRBY', key(keys[1]), args[1]) end)\n" +
	"redis.register_function{function_name='get', callback=function(keys) return redis.call('GET', key(keys[1])) end, flags={'no-writes', 'allow-stale'}, description='reads'}"

// functionLines are commands and their order, which must answer as in Redis.
var functionLines = [][]string{
	{"FUNCTION", "LIST"}, {"FUNCTION", "STATS"}, {"FUNCTION", "LOAD", counterLib}, {"FUNCTION", "LOAD", counterLib}, {"FUNCTION", "LOAD", "REPLACE", counterLib},
	{"FCALL", "add", "1", "k", "5"}, {"FCALL", "ADD", "1", "k", "5"}, {"FCALL_RO", "get", "1", "k"}, {"FCALL_RO", "add", "1", "k", "1"}, {"FCALL", "get", "1", "k"},
	{"FCALL", "nosuch", "0"}, {"FCALL", "add", "x"}, {"FCALL", "add", "2", "k"}, {"FCALL", "add", "-1"}, {"FCALL", "add"}, {"FCALL", "add", "1", "k", "notanumber"},
	{"FUNCTION", "STATS"}, {"FUNCTION", "LIST", "LIBRARYNAME", "x"}, {"FUNCTION", "LIST", "FOO"},
	{"FUNCTION", "LIST", "LIBRARYNAME"}, {"FUNCTION", "LIST", "WITHCODE", "WITHCODE"}, {"FUNCTION"}, {"FUNCTION", "NOSUCH"}, {"FUNCTION", "LOAD"}, {"FUNCTION", "LOAD", "FOO", counterLib},
	{"FUNCTION", "LOAD", "no header"}, {"FUNCTION", "LOAD", "#!lua"}, {"FUNCTION", "LOAD", "#!lua\nx"}, {"FUNCTION", "LOAD", "#!lua name=a name=b\nx"}, {"FUNCTION", "LOAD", "#!lua name=a x=b\nx"},
	{"FUNCTION", "LOAD", "#!js name=a\nx"}, {"FUNCTION", "LOAD", "#! name=a\nx"}, {"FUNCTION", "LOAD", "#!lua name=a-b\nx"}, {"FUNCTION", "LOAD", "#!lua name=\nx"},
	{"FUNCTION", "LOAD", "#!lua name=x\nbad code"}, {"FUNCTION", "LOAD", "#!lua name=x\nreturn 1"}, {"FUNCTION", "LOAD", "#!lua name=x\nerror('boom')"},
	{"FUNCTION", "LOAD", "#!lua name=x\nerror({err='tab'})"}, {"FUNCTION", "LOAD", "#!lua name=x\nlocal t = nil + 1"}, {"FUNCTION", "LOAD", "#!lua name=x\nreturn redis.call('ping')"},
	{"FUNCTION", "LOAD", "#!lua name=x\nreturn math.random()"}, {"FUNCTION", "LOAD", "#!lua name=x\na = 1"}, {"FUNCTION", "LOAD", "#!lua name=x\nredis.x = 1"}, {"FUNCTION", "LOAD", "#!lua name=x\nlocal m = getmetatable(_G)"},
	{"FUNCTION", "LOAD", "#!lua name=x\nredis.register_function()"}, {"FUNCTION", "LOAD", "#!lua name=x\nredis.register_function('f')"}, {"FUNCTION", "LOAD", "#!lua name=x\nredis.register_function('f', 1)"},
	{"FUNCTION", "LOAD", "#!lua name=x\nredis.register_function(nil, function() end)"}, {"FUNCTION", "LOAD", "#!lua name=x\nredis.register_function('a-b', function() end)"},
	{"FUNCTION", "LOAD", "#!lua name=x\nredis.register_function('f', function() end, 1)"}, {"FUNCTION", "LOAD", "#!lua name=x\nredis.register_function('add', function() end)"},
	{"FUNCTION", "LOAD", "#!lua name=x\nredis.register_function('f', function() end) redis.register_function('f', function() end)"},
	{"FUNCTION", "LOAD", "#!lua name=x\nredis.register_function{function_name='f'}"}, {"FUNCTION", "LOAD", "#!lua name=x\nredis.register_function{callback=function() end}"},
	{"FUNCTION", "LOAD", "#!lua name=x\nredis.register_function{function_name='f', callback=function() end, flags={'what'}}"},
	{"FUNCTION", "LOAD", "#!lua name=x\nredis.register_function{function_name='f', callback=function() end, nosuch=1}"},
	{"FUNCTION", "LOAD", "#!lua name=w\nlocal n = 0 redis.register_function('w', function(k, a) n = n + 1 if a[1] == 'fail' then error('x') end return {n, a[1]} end)"},
	{"FUNCTION", "LIST", "LIBRARYNAME", "W*", "WITHCODE"}, {"FUNCTION", "LIST", "LIBRARYNAME", "W"}, {"FCALL", "w", "0", "a"}, {"FCALL", "w", "0", "fail"}, {"FCALL", "w", "0", "b"},
	{"FUNCTION", "LOAD", "#!lua name=g\nredis.register_function('g1', function() return KEYS end) redis.register_function('g2', function() redis.register_function('x', 1) end)" +
		" redis.register_function('g3', function() x = 1 end) redis.register_function('g4', function() return redis.call('nosuch') end)" +
		" redis.register_function('g5', function() return redis.pcall('incr', 'l') end) redis.register_function('g6', function(k, a) return {#k, #a, type(redis.breakpoint)} end)"},
	{"FCALL", "g1", "0"}, {"FCALL", "g2", "0"}, {"FCALL", "g3", "0"}, {"FCALL", "g4", "0"}, {"FCALL", "g5", "0"}, {"FCALL", "g6", "1", "a", "b", "c"},
	{"FUNCTION", "DELETE", "nosuch"}, {"FUNCTION", "DELETE", "g"}, {"FUNCTION", "DELETE"}, {"FUNCTION", "KILL"}, {"FUNCTION", "KILL", "x"}, {"FUNCTION", "RESTORE", "bad payload"}, {"FUNCTION", "RESTORE", "x", "y"},
	{"FUNCTION", "RESTORE", "x", "y", "z"}, {"FUNCTION", "FLUSH", "x"}, {"FUNCTION", "FLUSH", "SYNC", "x"}, {"EVAL", "return redis.call('fcall', 'add', 0)", "0"}, {"FUNCTION", "FLUSH", "ASYNC"}, {"FUNCTION", "LIST"}, {"FCALL", "add", "1", "k", "1"},
}

func TestFunctionsAnswerLikeRedis(t *testing.T) {
	srv := redistest.Start(t)
	for _, proto := range []int{2, 3} {
		c := dial(t, srv.Addr(), proto)
		c.ask("FLUSHALL")
		e := newTestEngine(t, nil)
		e.Do(0, 2, toBytes([]string{"RPUSH", "l", "x"}))
		c.ask("RPUSH", "l", "x")
		for _, line := range functionLines {
			want, got := string(c.do(toBytes(line))), string(e.Do(0, proto, toBytes(line)).Reply)
			require.Equal(t, want, got, "RESP%d %q", proto, line)
		}
	}
}

// What one dumps the other restores, also where Redis has compressed it.
func TestLibrariesGoFromOneToTheOther(t *testing.T) {
	c := dial(t, redistest.Start(t).Addr(), 2)
	e := newTestEngine(t, nil)
	long := counterLib + "\n--" + strings.Repeat(" a comment that compresses well", 2000)
	for _, code := range []string{counterLib, long} {
		c.ask("FUNCTION", "FLUSH")
		c.ask("FUNCTION", "LOAD", code)
		theirs := c.ask("FUNCTION", "DUMP").str
		require.Equal(t, "+OK\r\n", string(e.Do(0, 2, toBytes([]string{"FUNCTION", "RESTORE", theirs, "FLUSH"})).Reply))
		require.Equal(t, []string{code}, e.Libraries())
		ours, _ := parseReply(e.Do(0, 2, cmd("FUNCTION DUMP")).Reply)
		c.ask("FUNCTION", "FLUSH")
		require.Equal(t, "OK", c.ask("FUNCTION", "RESTORE", ours.str).str)
		require.Equal(t, "5", c.ask("FCALL", "add", "1", "k", "5").str)
		c.ask("DEL", "n:k")
	}
}

// A function is journaled by what it did: Redis may have another library.
func TestFunctionsAreJournaledByTheirEffects(t *testing.T) {
	e := newTestEngine(t, nil)
	res := e.Do(0, 2, toBytes([]string{"FUNCTION", "LOAD", counterLib}))
	require.Len(t, res.Effects, 1)
	require.Equal(t, counterLib, string(res.Effects[0][2]))
	res = e.Do(0, 2, cmd("FCALL add 1 k 5"))
	require.Equal(t, [][][]byte{toBytes([]string{"INCRBY", "n:k", "5"})}, res.Effects)
	require.Empty(t, e.Do(0, 2, cmd("FCALL_RO get 1 k")).Effects)
	require.Empty(t, e.Do(0, 2, cmd("FCALL add 1 k x")).Effects)
	require.False(t, e.Supports("fcall"), "where there is a Redis, libraries are there")
}

func TestALibraryRegistersInTime(t *testing.T) {
	e := newTestEngine(t, nil)
	start := time.Now()
	reply := string(e.Do(0, 2, toBytes([]string{"FUNCTION", "LOAD", "#!lua name=x\nwhile 1 do end"})).Reply)
	require.Equal(t, "-ERR Error registering functions: ERR FUNCTION LOAD timeout\r\n", reply)
	require.Less(t, time.Since(start), 20*time.Second)
}
