package engine

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"holdfast/backend/redistest"
)

// scripts answer alike in Redis and here, byte by byte; {[[ ]]} is Lua's way to
// quote inside the quotes of cmd.
var scripts = []string{
	`return 1`, `return -3.99`, `return [[x]]`, `return true`, `return false`, `return nil`, `return {1,2,[[a]],{3,false,4},nil,5}`, `return {}`,
	`return {ok=[[FINE]]}`, `return {err=[[MY error]]}`, `return redis.status_reply([[ST]])`, `return redis.error_reply([[BAD thing]])`, `return redis.error_reply([[BAD]])`, `return {double=1.5}`,
	`return KEYS[1]..ARGV[1]`, `return #ARGV`, `return {KEYS,ARGV}`,
	`return redis.call([[SET]],KEYS[1],ARGV[1])`, `return redis.call([[GET]],KEYS[1])`, `return redis.call([[GET]],[[nokey]])`, `return redis.call([[HGETALL]],[[h]])`,
	`redis.call([[HSET]],[[h]],[[f]],1) return redis.call([[HGETALL]],[[h]])`, `redis.setresp(3) return redis.call([[HGETALL]],[[h]])`,
	`return redis.call([[INCR]],[[h]])`, `return redis.pcall([[INCR]],[[h]])`, `return redis.pcall([[INCR]],[[h]]).err`, `local ok,e = pcall(redis.call,[[INCR]],[[h]]) return e`,
	`return redis.call([[NOSUCH]])`, `return redis.pcall([[NOSUCH]])`, `return redis.call([[GET]])`, `return redis.call()`, `return redis.call({})`,
	`error([[boom]])`, `error({err=[[My boom]]})`, `return nosuch`, `x = 1`, `local a = 1
return redis.call([[INCR]],[[h]])`,
	`return redis.sha1hex([[a]])`, `return redis.call([[SET]],[[n]],10/3)`, `return redis.call([[GET]],[[n]])`, `return tostring(10/3)`, `return tostring(1e20)`, `return 2^53`, `return tonumber([[0x10]])`,
	`return cjson.encode({})`, `return cjson.encode({1,2,{a=[[b/c]]}})`, `return cjson.encode([[é"\]]..string.char(1,127))`, `return cjson.encode({1.5,-2,1e20,true,cjson.null})`, `return cjson.encode({[1]=1,[2]=2,[4]=4})`,
	`return cjson.decode([[{"a":[1,2,{"b":null}],"c":"\u00e9\n"}]]).c`, `return cjson.decode([[ [1, 2.5, "x", true, null] ]])`, `return cjson.encode(cjson.decode([[{"a":[]}]]))`,
	`return cjson.decode([[{bad}]])`, `return bit.band(7,12)`, `return bit.bnot(0)`, `return string.format([[%5.2f|%d|%s]],3.14159,42,[[s]])`, `return table.concat({1,2,3},[[-]])`,
	`local t = {} for w in string.gmatch([[a b c]],[[%a+]]) do t[#t+1]=w end return t`, `return select([[#]],unpack({1,2,3}))`, `return type(redis.call([[TIME]])[1])`, `return redis.call([[EVAL]],[[return 1]],0)`,
	`return redis.call([[LPUSH]],[[l]],1,2,3)`, `return redis.call([[LRANGE]],[[l]],0,-1)`, `return redis.call([[ZADD]],[[z]],1.5,[[m]])`, `return redis.call([[ZSCORE]],[[z]],[[m]])`, `return redis.call([[SELECT]],1)`, `return redis.call([[SET]],KEYS[1],1,[[EX]],[[x]])`,
}

func TestScriptsAnswerLikeRedis(t *testing.T) {
	srv := redistest.Start(t)
	now := time.Now()
	for _, proto := range []int{2, 3} {
		c := dial(t, srv.Addr(), proto)
		c.ask("FLUSHALL")
		e := newTestEngine(t, func() time.Time { return now })
		for _, body := range scripts {
			for _, argv := range [][]string{{"EVAL", body, "1", "k", "v"}, {"EVALSHA", sha1Hex(body), "1", "k", "v"}, {"EVAL_RO", body, "1", "k", "v"}} {
				want, got := c.do(toBytes(argv)), e.Do(0, proto, toBytes(argv)).Reply
				if string(want) != string(got) {
					t.Errorf("RESP%d %s %s\n redis  %q\n engine %q", proto, argv[0], body, want, got)
				}
			}
		}
		for _, line := range []string{"EVAL", "EVAL x", "EVAL 'return 1' x", "EVAL 'return 1' 2 a", "EVAL 'return 1' -1", "EVALSHA nosuch 0", "SCRIPT EXISTS nosuch", "SCRIPT NOSUCH", "SCRIPT FLUSH FOO", "SCRIPT LOAD 'return 7'", "SCRIPT LOAD"} {
			require.Equal(t, string(c.do(cmd(line))), string(e.Do(0, proto, cmd(line)).Reply), fmt.Sprint(proto, line))
		}
	}
}

// Scripts that only EVAL ran are kept by number and bytes, last used first; those
// of SCRIPT LOAD stay.
func TestScriptsOfEvalAreBounded(t *testing.T) {
	e := New(Config{})
	defer e.Close()
	has := func(body string) bool {
		_, ok := e.Script(sha1Hex(body))
		return ok
	}
	eval := func(body string) {
		require.NotEqual(t, byte('-'), e.Do(0, 2, toBytes([]string{"EVAL", body, "0"})).Reply[0])
	}
	loaded := "return 'loaded'"
	eval(loaded)
	e.LoadScript([]byte(loaded))
	for i := range maxSeenScripts + 1 {
		eval(fmt.Sprint("return ", i))
		require.True(t, has("return 0"), "the last used is kept") // asking is a use, as EVALSHA is
	}
	require.Equal(t, maxSeenScripts, e.scripts.seen.Len())
	require.True(t, has(loaded))
	require.False(t, has("return 1"))

	big := strings.Repeat(" ", maxSeenScriptBytes/2)
	for i := range 3 {
		eval(fmt.Sprint("return ", i, big))
		require.LessOrEqual(t, e.scripts.bytes, maxSeenScriptBytes)
	}
	require.Equal(t, 1, e.scripts.seen.Len(), "each is more than half of the bound")
	eval("return 3" + big + big)
	require.False(t, has("return 3"+big+big), "one beyond the bound is not kept")
	require.Equal(t, []string{loaded}, e.Scripts())

	e.Do(0, 2, toBytes([]string{"SCRIPT", "FLUSH"}))
	require.False(t, has(loaded))
	require.Zero(t, e.scripts.bytes)
}

// What Redis runs is remembered as what runs here: EVAL's bodies in bounds.
func TestRememberedScripts(t *testing.T) {
	e := newTestEngine(t, time.Now)
	defer e.Close()
	e.RememberScript([]byte("return 'loaded'"), true)
	for i := range 2 * maxSeenScripts {
		e.RememberScript([]byte(fmt.Sprint("return ", i)), false)
	}
	e.RememberScript([]byte("return ("), true)
	known := func(body string) bool { _, ok := e.Script(sha1Hex(body)); return ok }
	require.True(t, known("return 'loaded'"))
	require.True(t, known(fmt.Sprint("return ", 2*maxSeenScripts-1)))
	require.False(t, known("return 0"), "the oldest")
	require.False(t, known("return ("), "Redis refuses it")
	require.Equal(t, maxSeenScripts, e.scripts.seen.Len())
	e.ForgetScripts()
	require.False(t, known("return 'loaded'"))
}
