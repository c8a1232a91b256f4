package main

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"holdfast/backend/redistest"
	"holdfast/fallback"
)

// What a script did that asks for time or chance is held as soon as it is acknowledged:
// Redis going away right then refuses nobody, and what is held is what Redis has.
func TestScriptsThatCannotBeFollowedAreHeld(t *testing.T) {
	const wait = " for i=1,3 do redis.call('TIME') end "
	scripts := map[string]string{
		"string": "local t=redis.call('TIME')" + wait + "redis.call('SET',KEYS[1],t[1]..t[2]) redis.call('PEXPIRE',KEYS[1],100000) return t[1]..t[2]",
		"hash":   "local t=redis.call('TIME') redis.call('HSET',KEYS[1],'at',t[1]..t[2],'n',ARGV[1]) return t[1]..t[2]",
		"list":   "local t=redis.call('TIME') redis.call('RPUSH',KEYS[1],t[1]..t[2]) return redis.call('LRANGE',KEYS[1],-1,-1)[1]",
		"zset":   "local t=redis.call('TIME') redis.call('ZADD',KEYS[1],t[1],t[1]..t[2]) redis.call('ZREMRANGEBYRANK',KEYS[1],0,-20) return t[1]..t[2]",
		"chance": "redis.call('SADD',KEYS[1],'a','b','c','d','e','f') local gone=redis.call('SPOP',KEYS[1]) redis.call('SET',KEYS[2],gone) return gone",
	}
	reads := map[string][]string{
		"string": {"GET aiclient:string", "PEXPIRETIME aiclient:string"}, "hash": {"HGETALL aiclient:hash"}, "list": {"LRANGE aiclient:list 0 -1"},
		"zset": {"ZRANGE aiclient:zset 0 -1 WITHSCORES"}, "chance": {"SCARD aiclient:chance", "GET aiclient:chance2", "SISMEMBER aiclient:chance a"},
	}
	srv, p := online(t)
	c, d := p.client(), directClient(t, srv)
	for round := range 3 {
		p.awaitMode(fallback.Online)
		if round == 1 { // what Redis refuses for a while is asked for again
			require.NoError(t, d.ConfigSet(bg, "maxmemory", "1").Err())
			assert.ErrorContains(t, c.Eval(bg, scripts["hash"], []string{"aiclient:hash"}, 0).Err(), "OOM")
			require.NoError(t, d.ConfigSet(bg, "maxmemory", "0").Err())
			require.NoError(t, d.ConfigSet(bg, "min-replicas-to-write", "1").Err())
			assert.ErrorContains(t, c.Eval(bg, scripts["hash"], []string{"aiclient:hash"}, 0).Err(), "NOREPLICAS")
			assert.NoError(t, c.Eval(bg, "redis.call('TIME') return redis.call('HLEN',KEYS[1])", []string{"aiclient:hash"}).Err())
			require.NoError(t, d.ConfigSet(bg, "min-replicas-to-write", "0").Err())
		}
		for name, script := range scripts {
			p.awaitMode(fallback.Online)
			last, err := c.Eval(bg, script, []string{"aiclient:" + name, "aiclient:" + name + "2"}, round).Result()
			require.NoError(t, err)
			srv.Kill()
			var got []any
			for _, read := range reads[name] {
				v, err := c.Do(bg, fields(read)...).Result()
				assert.NoError(t, err, "%s, last %v", read, last)
				got = append(got, v)
			}
			srv.Start()
			for i, read := range reads[name] {
				assert.Equal(t, d.Do(bg, fields(read)...).Val(), got[i], read)
			}
		}
	}
}

// A server before version 7, or a user without the right, refuses to tell of the values:
// scripts work as they did, and the mirror fetches what they wrote.
func TestScriptsWhoseValuesMayNotBeRead(t *testing.T) {
	srv := redistest.Start(t, "--rename-command", "PEXPIRETIME", "")
	p := startProxy(t, srv.URL())
	p.awaitMode(fallback.Online)
	c := p.client()
	for i := range 20 {
		n, err := c.Eval(bg, "redis.call('TIME') return redis.call('INCR',KEYS[1])", []string{"aiclient:n"}).Int()
		require.NoError(t, err)
		assert.Equal(t, i+1, n)
	}
}

func fields(line string) (args []any) {
	for _, f := range strings.Fields(line) {
		args = append(args, fmt.Sprint(f))
	}
	return args
}
