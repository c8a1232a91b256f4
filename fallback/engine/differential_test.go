package engine

import (
	"bytes"
	"fmt"
	"sort"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"holdfast/backend/redistest"
)

// Templates of generated commands. {k} is a key, {m} a member or field, {v} a
// value, {n} a small integer, {f} a float, {i} an index; sure ones must answer
// alike byte by byte.
var sureTemplates = []string{
	"SET {k} {v}", "SET {k} {v} NX", "SET {k} {v} XX", "SET {k} {v} GET", "SET {k} {v} NX GET", "SET {k} {n} KEEPTTL", "SET {k} {v} XX GET",
	"SET {k} {n} EXAT 4000000000", "SET {k} {v} PXAT 4000000000123", "SET {k} {v} EX 0", "SET {k} {v} EX x", "SET {k} {v} NX XX", "SET {k} {v} EX 1 PX 1",
	"SETNX {k} {v}", "GETSET {k} {v}", "GET {k}", "GETDEL {k}", "GETEX {k}", "GETEX {k} PERSIST", "GETEX {k} EXAT 4000000001", "GETEX {k} foo",
	"MSET {k} {v} {k} {n}", "MSETNX {k} {v} {k} {v}", "MGET {k} {k} nokey", "MSET {k}", "STRLEN {k}", "APPEND {k} {v}",
	"GETRANGE {k} {i} {i}", "SETRANGE {k} {n} {v}", "SETRANGE {k} -1 {v}", "SUBSTR {k} {i} {i}", "INCR {k}", "DECR {k}", "INCRBY {k} {i}", "DECRBY {k} {i}", "INCRBY {k} x",
	"INCRBYFLOAT {k} {f}", "INCRBYFLOAT {k} x", "SETBIT {k} {n} 1", "SETBIT {k} {n} 0", "GETBIT {k} {n}", "BITCOUNT {k}", "BITCOUNT {k} {i} {i}",
	"BITPOS {k} 1", "BITPOS {k} 0 {i}", "BITOP AND {k} {k} {k}", "BITOP OR {k} {k} {k}", "BITOP XOR {k} {k} {k}", "BITOP NOT {k} {k}",
	"DEL {k}", "DEL {k} {k}", "UNLINK {k}", "EXISTS {k} {k}", "TYPE {k}", "TOUCH {k} {k}", "RENAME {k} {k}", "RENAMENX {k} {k}", "COPY {k} {k}", "COPY {k} {k} REPLACE",
	"COPY {k} {k} DB 1 REPLACE", "MOVE {k} 1", "PERSIST {k}", "EXPIREAT {k} 4000000002", "PEXPIREAT {k} 4000000003456", "EXPIREAT {k} 4000000004 NX", "EXPIREAT {k} 4000000005 XX",
	"EXPIREAT {k} 4000000001 GT", "EXPIREAT {k} 4000000000 LT", "EXPIRE {k} -1", "EXPIRE {k} x", "EXPIRE {k} 1 NX XX", "EXPIRE {k} 1 foo", "EXPIRETIME {k}", "PEXPIRETIME {k}", "TTL nokey",
	"OBJECT REFCOUNT nokey", "DBSIZE", "KEYS *", "KEYS k[13]", "KEYS k?", "KEYS [^k]*",
	"HSET {k} {m} {v}", "HSET {k} {m} {v} {m} {n}", "HSET {k} {m}", "HSETNX {k} {m} {v}", "HGET {k} {m}", "HMGET {k} {m} {m}", "HGETALL {k}", "HKEYS {k}", "HVALS {k}",
	"HDEL {k} {m} {m}", "HLEN {k}", "HEXISTS {k} {m}", "HSTRLEN {k} {m}", "HINCRBY {k} {m} {i}", "HINCRBYFLOAT {k} {m} {f}", "HMSET {k} {m} {v}", "HSCAN {k} 0", "HINCRBY {k} {m} x",
	"LPUSH {k} {v} {m}", "RPUSH {k} {m} {v} {n}", "LPUSHX {k} {v}", "RPUSHX {k} {v}", "LPOP {k}", "RPOP {k}", "LPOP {k} {n}", "RPOP {k} {n}", "LPOP {k} -1", "LLEN {k}", "LRANGE {k} {i} {i}",
	"LINDEX {k} {i}", "LSET {k} {i} {v}", "LREM {k} {i} {m}", "LTRIM {k} {i} {i}", "LINSERT {k} BEFORE {m} {v}", "LINSERT {k} AFTER {m} {v}", "LINSERT {k} FOO {m} {v}",
	"LPOS {k} {m}", "LPOS {k} {m} RANK -1 COUNT 0", "LMOVE {k} {k} LEFT RIGHT", "LMOVE {k} {k} RIGHT LEFT", "RPOPLPUSH {k} {k}", "LMPOP 2 {k} {k} LEFT", "LMPOP 1 {k} RIGHT COUNT 2",
	"BLPOP {k} {k} 0.01", "BRPOP {k} 0.01", "BLMOVE {k} {k} LEFT LEFT 0.01", "BRPOPLPUSH {k} {k} 0.01", "BLMPOP 0.01 1 {k} LEFT", "BLPOP {k} -1", "BLPOP {k} x",
	"SADD {k} {m} {m}", "SADD {k} {n}", "SREM {k} {m} {m}", "SCARD {k}", "SISMEMBER {k} {m}", "SMISMEMBER {k} {m} {m}", "SMEMBERS {k}", "SMOVE {k} {k} {m}",
	"SDIFF {k} {k}", "SINTER {k} {k}", "SUNION {k} {k}", "SINTERCARD 2 {k} {k}", "SINTERCARD 2 {k} {k} LIMIT 1", "SINTERCARD 0 {k}", "SDIFFSTORE {k} {k} {k}", "SINTERSTORE {k} {k} {k}", "SUNIONSTORE {k} {k} {k}",
	"ZADD {k} {f} {m}", "ZADD {k} {n} {m} {f} {m}", "ZADD {k} NX {n} {m}", "ZADD {k} XX CH {n} {m}", "ZADD {k} GT CH {n} {m}", "ZADD {k} LT {n} {m}", "ZADD {k} INCR {f} {m}", "ZADD {k} NX INCR 1 {m}", "ZADD {k} x {m}", "ZADD {k} NX GT 1 {m}",
	"ZADD {k} -inf {m}", "ZADD {k} 1e20 {m}", "ZINCRBY {k} {f} {m}", "ZINCRBY {k} -1 {m}", "ZREM {k} {m} {m}", "ZCARD {k}", "ZSCORE {k} {m}", "ZMSCORE {k} {m} {m}", "ZRANK {k} {m}", "ZREVRANK {k} {m}", "ZCOUNT {k} -inf +inf", "ZCOUNT {k} (1 3",
	"ZRANGE {k} {i} {i}", "ZRANGE {k} 0 -1 WITHSCORES", "ZRANGE {k} 0 -1 REV WITHSCORES", "ZRANGE {k} (0 +inf BYSCORE LIMIT 0 2", "ZREVRANGE {k} 0 -1 WITHSCORES",
	"ZRANGEBYSCORE {k} -inf +inf WITHSCORES", "ZREVRANGEBYSCORE {k} +inf -inf", "ZREMRANGEBYRANK {k} {i} {i}", "ZREMRANGEBYSCORE {k} (1 2", "ZPOPMIN {k}", "ZPOPMAX {k} 2", "ZMPOP 1 {k} MIN",
	"BZPOPMIN {k} 0.01", "BZPOPMAX {k} {k} 0.01", "BZMPOP 0.01 1 {k} MAX", "ZUNION 2 {k} {k}", "ZUNION 2 {k} {k} WITHSCORES", "ZINTER 2 {k} {k} WITHSCORES", "ZINTER 2 {k} {k} WEIGHTS -1 -2", "ZPOPMIN {k} {n}", "ZPOPMAX {k} 0", "ZADD {k} GT INCR {f} {m}", "ZADD {k} LT INCR {f} {m}", "ZDIFF 2 {k} {k} WITHSCORES", "ZDIFF 1 {k}", "ZINTERCARD 2 {k} {k}",
	"ZUNIONSTORE {k} 2 {k} {k}", "ZUNIONSTORE {k} 2 {k} {k} WEIGHTS 2 3 AGGREGATE MAX", "ZINTERSTORE {k} 2 {k} {k}", "ZDIFFSTORE {k} 2 {k} {k}", "ZRANGESTORE {k} {k} 0 -1", "ZSCAN {k} 0",
	"SORT {k}", "SORT {k} ALPHA", "SORT {k} ALPHA DESC LIMIT 0 2", "SORT {k} ALPHA STORE {k}", "SORT {k} BY nosort", "SORT {k} ALPHA GET # GET k*", "SORT_RO {k} ALPHA",
	"PFADD {p} {m} {v}", "PFADD {p}", "PFCOUNT {p}", "PFCOUNT {p} {p}", "PFMERGE {p} {p}", "PFCOUNT {k}",
	"XADD {k} 5-{n} f {v}", "XADD {k} NOMKSTREAM 6-* f {v}", "XADD {k} 7-* f {v}", "XADD {k} 0-0 f v", "XADD {k} x f v", "XADD {k} MAXLEN 2 8-* f {v}", "XLEN {k}", "XRANGE {k} - +", "XREVRANGE {k} + - COUNT 1",
	"XDEL {k} 7-0", "XTRIM {k} MAXLEN 1", "XTRIM {k} MINID 7", "XGROUP CREATE {k} g 0", "XGROUP CREATE {k} g $ MKSTREAM", "XGROUP DESTROY {k} g", "XREADGROUP GROUP g c COUNT 1 STREAMS {k} >", "XREAD STREAMS {k} 0", "XREAD COUNT 1 STREAMS {k} 6", "XACK {k} g 7-0",
	"PING", "PING x", "ECHO {v}", "GET", "NOSUCH a b", "PUBLISH c m", "FLUSHDB",
}

// unsureTemplates depend on time or chance: their effects must lead to the same
// state, whatever they answered.
var unsureTemplates = []string{
	"SET {k} {v} EX 1000", "SET {k} {v} PX 2000000", "SETEX {k} 3000 {v}", "PSETEX {k} 4000000 {v}", "EXPIRE {k} 5000", "PEXPIRE {k} 6000000", "GETEX {k} EX 7000",
	"SPOP {k}", "SPOP {k} 2", "XADD {k} * f {v}", "XADD {k} MAXLEN ~ 2 * f {v}", "XAUTOCLAIM {k} g c2 0 0", "SET {k} {v} PXAT 1000", "EXPIREAT {k} 1", "SRANDMEMBER {k}", "RANDOMKEY",
	"EVAL 'return redis.call([[INCR]],KEYS[1])' 1 {k}", "EVAL 'return redis.call([[SET]],KEYS[1],ARGV[1],[[EX]],100)' 1 {k} {v}",
	"EVAL 'redis.call([[SET]],KEYS[1],1) return redis.call([[LPUSH]],KEYS[2],2)' 2 {k} {k}",
	"EVAL 'if redis.call([[GET]],KEYS[1]) == ARGV[1] then return redis.call([[DEL]],KEYS[1]) else return 0 end' 1 {k} {v}",
	"EVAL 'return redis.call([[SPOP]],KEYS[1])' 1 {k}", "EVAL 'redis.call([[HSET]],KEYS[1],[[a]],redis.call([[TIME]])[1]) return 1' 1 {k}",
	"EVAL 'for _,k in ipairs(redis.call([[KEYS]],[[k*]])) do redis.call([[SET]],k,[[x]]) break end return 1' 0",
	"EVAL 'return redis.call([[SET]],KEYS[1],math.random())' 1 {k}", "EVAL 'return redis.call([[XADD]],KEYS[1],[[*]],1,2)' 1 {k}",
	"EVAL 'redis.call([[DEL]],KEYS[1]) return redis.error_reply([[MY no]])' 1 {k}", "EVAL 'return redis.call([[SET]],KEYS[1],ARGV[1]/3)' 1 {k} {n}",
}

func pick(t *rapid.T, list []string) string { return rapid.SampledFrom(list).Draw(t, "pick") }

// generate draws a command from templates.
func generate(t *rapid.T, templates []string) string {
	words := map[string][]string{
		"{p}": {"p1", "p2"},
		"{k}": {"k1", "k2", "k3", "k4", "k5"}, "{m}": {"a", "b", "c"}, "{v}": {"a", "hello", "10", "3.5", "-7", "a~b"},
		"{n}": {"0", "1", "2", "5", "9"}, "{f}": {"1", "0.5", "-2.5", "3.0e2", "1.25"}, "{i}": {"0", "1", "2", "-1", "-2", "-100", "100"},
	}
	line := pick(t, templates)
	for hole, list := range words {
		for strings.Contains(line, hole) {
			line = strings.Replace(line, hole, pick(t, list), 1)
		}
	}
	return line
}

// unordered lists commands whose reply's order is open.
var unordered = map[string]bool{"KEYS": true, "SMEMBERS": true, "HGETALL": true, "HKEYS": true, "HVALS": true, "SDIFF": true, "SINTER": true,
	"SUNION": true, "HSCAN": true, "SSCAN": true}

// comparable brings a reply into a form that does not depend on open order.
func comparable(line string, reply []byte) string {
	name, _, _ := strings.Cut(line, " ")
	v, rest := parseReply(reply)
	if (!unordered[name] && !strings.HasSuffix(line, "BY nosort")) || v.isErr() || len(rest) > 0 {
		return string(reply)
	}
	if strings.HasSuffix(name, "SCAN") && len(v.list) == 2 {
		v = v.list[1]
	}
	l := v.flat()
	if name == "HGETALL" || name == "HSCAN" {
		l = pairs(l)
	}
	sort.Strings(l)
	return fmt.Sprintf("%c %q", v.kind, l)
}

func TestRepliesAndStateMatchRedis(t *testing.T) {
	srv := redistest.Start(t)
	now := time.Now()
	for _, proto := range []int{2, 3} {
		t.Run(fmt.Sprint("RESP", proto), func(t *testing.T) {
			c, plain := dial(t, srv.Addr(), proto), dial(t, srv.Addr(), 2)
			rapid.Check(t, func(rt *rapid.T) {
				c.ask("FLUSHALL")
				e := New(Config{Now: func() time.Time { return now }})
				defer e.Close()
				for range 60 {
					line := generate(rt, sureTemplates)
					want := comparable(line, c.do(cmd(line)))
					direct, plain := e.ReadPlain(nil, 0, proto, cmd(line), func(int, string) bool { return true })
					reply := e.Do(0, proto, cmd(line)).Reply
					if plain && !bytes.Equal(direct, reply) {
						rt.Fatalf("%s\n plain %q\n do    %q", line, direct, reply)
					}
					got := comparable(line, reply)
					if got != want {
						rt.Fatalf("%s\n redis  %q\n engine %q", line, want, got)
					}
				}
				if want, got := plain.state(), state(t, e); want != got {
					rt.Fatalf("state\nredis\n%s\nengine\n%s", want, got)
				}
			})
		})
	}
}

func TestEffectsGiveRedisTheSameState(t *testing.T) {
	srv := redistest.Start(t)
	c := dial(t, srv.Addr(), 2)
	now := time.Now()
	templates := append(append([]string{}, sureTemplates...), unsureTemplates...)
	templates = append(templates, unsureTemplates...)
	rapid.Check(t, func(rt *rapid.T) {
		c.ask("FLUSHALL")
		e := New(Config{Now: func() time.Time { return now }})
		defer e.Close()
		var log []string
		for range 60 {
			line := generate(rt, templates)
			res := e.Do(0, 2, cmd(line))
			log = append(log, fmt.Sprintf("%s -> %q", line, res.Effects))
			if len(res.Reply) == 0 || res.Reply[0] == '-' && len(res.Effects) > 0 {
				rt.Fatalf("%s: reply %q with effects %q", line, res.Reply, res.Effects)
			}
			for _, effect := range res.Effects {
				argv, _ := ForRedis(effect)
				if reply := c.do(argv); reply[0] == '-' {
					rt.Fatalf("%s: effect %q: %s", line, argv, reply)
				}
			}
		}
		if want, got := c.state(), state(t, e); want != got {
			rt.Fatalf("state\nredis\n%s\nengine\n%s\nafter\n%s", want, got, strings.Join(log, "\n"))
		}
	})
}

func TestDumpLoadsIntoRedis(t *testing.T) {
	srv := redistest.Start(t)
	c := dial(t, srv.Addr(), 2)
	e := newTestEngine(t, nil)
	fill(e)
	require.NoError(t, e.Dump(func(db int, argv [][]byte) error {
		c.ask("SELECT", fmt.Sprint(db))
		if v := c.ask(toStrings(argv)...); v.isErr() {
			return fmt.Errorf("%q: %s", argv, v.str)
		}
		return nil
	}))
	require.Equal(t, c.state(), state(t, e))
}
