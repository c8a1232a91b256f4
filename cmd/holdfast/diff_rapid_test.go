package main

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// generatedCommands is how many generated commands a run compares, at least;
// HOLDFAST_DIFF_COMMANDS sets it (100000 and more for a long run).
func generatedCommands(t testing.TB) int {
	n := 4000
	if v := os.Getenv("HOLDFAST_DIFF_COMMANDS"); v != "" {
		var err error
		n, err = strconv.Atoi(v)
		require.NoError(t, err, "HOLDFAST_DIFF_COMMANDS")
	}
	return n
}

// templates are commands over all data types. A word in braces is drawn: {k} a
// key of any type, {v} a value, {f} a field, {n} a number, {s} a score, {i} an
// index, {id} a stream id, {db} a database.
var templates = strings.Split(strings.TrimSpace(`
SET {k} {v}
SET {k} {v} NX
SET {k} {v} XX GET
SET {k} {v} EX 1000
GET {k}
GET {k}
GETDEL {k}
GETSET {k} {v}
GETEX {k} PERSIST
APPEND {k} {v}
STRLEN {k}
GETRANGE {k} {i} {i}
SETRANGE {k} {n} {v}
INCR {k}
INCRBY {k} {n}
DECRBY {k} {n}
INCRBYFLOAT {k} {s}
MSET {k} {v} {k} {v}
MSETNX {k} {v} {k} {v}
MGET {k} {k} {k}
SETBIT {k} {n} 1
GETBIT {k} {n}
BITCOUNT {k}
BITPOS {k} 1
BITOP OR {k} {k} {k}
BITFIELD {k} INCRBY u8 {n} {n}
LCS {k} {k}
HSET {k} {f} {v}
HSET {k} {f} {v} {f} {v}
HSETNX {k} {f} {v}
HGET {k} {f}
HGET {k} {f}
HMGET {k} {f} {f}
HGETALL {k}
HDEL {k} {f}
HLEN {k}
HEXISTS {k} {f}
HSTRLEN {k} {f}
HINCRBY {k} {f} {n}
HINCRBYFLOAT {k} {f} {s}
HKEYS {k}
HVALS {k}
LPUSH {k} {v} {v}
RPUSH {k} {v}
LPUSHX {k} {v}
LPOP {k}
RPOP {k} {n}
LLEN {k}
LRANGE {k} {i} {i}
LINDEX {k} {i}
LSET {k} {i} {v}
LINSERT {k} BEFORE {v} {v}
LREM {k} {i} {v}
LTRIM {k} {i} {i}
LPOS {k} {v}
LMOVE {k} {k} LEFT RIGHT
LMPOP 2 {k} {k} LEFT COUNT {n}
BLPOP {k} {k} 0.001
BLMOVE {k} {k} LEFT RIGHT 0.001
SADD {k} {v} {v}
SREM {k} {v}
SISMEMBER {k} {v}
SMISMEMBER {k} {v} {v}
SCARD {k}
SMEMBERS {k}
SINTER {k} {k}
SUNION {k} {k}
SDIFF {k} {k}
SINTERCARD 2 {k} {k}
SINTERSTORE {k} {k} {k}
SUNIONSTORE {k} {k} {k}
SDIFFSTORE {k} {k} {k}
SMOVE {k} {k} {v}
SPOP {k} 1000
ZADD {k} {s} {v}
ZADD {k} GT CH {s} {v} {s} {v}
ZADD {k} INCR {s} {v}
ZINCRBY {k} {s} {v}
ZREM {k} {v}
ZSCORE {k} {v}
ZMSCORE {k} {v} {v}
ZCARD {k}
ZCOUNT {k} {s} +inf
ZRANK {k} {v}
ZREVRANK {k} {v}
ZRANGE {k} {i} {i} WITHSCORES
ZRANGE {k} {s} +inf BYSCORE LIMIT 0 {n}
ZREVRANGE {k} {i} {i}
ZRANGESTORE {k} {k} 0 -1
ZPOPMIN {k}
ZPOPMAX {k} {n}
ZMPOP 1 {k} MIN
ZREMRANGEBYRANK {k} {i} {i}
ZREMRANGEBYSCORE {k} {s} {s}
ZUNIONSTORE {k} 2 {k} {k} WEIGHTS 1 {n}
ZINTER 2 {k} {k} WITHSCORES
ZDIFF 2 {k} {k}
BZPOPMIN {k} 0.001
GEOADD {k} {lon} {lat} {v}
GEODIST {k} {v} {v}
GEOPOS {k} {v}
GEOHASH {k} {v}
GEOSEARCH {k} FROMLONLAT 15 37 BYRADIUS 900 km ASC
PFADD {k} {v} {v}
PFCOUNT {k} {k}
PFMERGE {k} {k}
XADD {k} {id} {f} {v}
XLEN {k}
XRANGE {k} - +
XREVRANGE {k} + - COUNT {n}
XDEL {k} {id}
XTRIM {k} MAXLEN {n}
XREAD COUNT 2 STREAMS {k} 0
XGROUP CREATE {k} g 0
XREADGROUP GROUP g c COUNT 1 STREAMS {k} >
XACK {k} g {id}
DEL {k}
DEL {k} {k}
UNLINK {k}
EXISTS {k} {k}
TYPE {k}
EXPIRE {k} 1000
EXPIRE {k} {i} NX
PEXPIREAT {k} 9999999999999
PERSIST {k}
TTL {k}
RENAME {k} {k}
RENAMENX {k} {k}
COPY {k} {k} REPLACE
COPY {k} {k} DB {db}
MOVE {k} {db}
OBJECT ENCODING {k}
SORT {k} ALPHA
SORT {k} LIMIT 0 {n} STORE {k}
KEYS *
SELECT {db}
SELECT {db}
SWAPDB {db} {db}
EVAL "return redis.call('get',KEYS[1])" 1 {k}
EVAL "return redis.call('incrby',KEYS[1],ARGV[1])" 1 {k} {n}
EVAL "return redis.pcall('lpush',KEYS[1],ARGV[1])" 1 {k} {v}
EVALSHA ffffffffffffffffffffffffffffffffffffffff 0
MULTI
EXEC
EXEC
EXEC
DISCARD
WATCH {k}
UNWATCH
PING {v}
ECHO {v}
NOSUCH {v}
GET {k} {k}
HSET {k} {f}
CLIENT SETNAME {f}
CLIENT GETNAME
HELLO 2
HELLO 3
RESET
PUBLISH ch {v}
FLUSHDB
`), "\n")

// draw fills a template.
func draw(t *rapid.T, template string) []string {
	args, err := splitQuoted(template)
	if err != nil {
		panic(err)
	}
	for i, a := range args {
		switch a {
		case "{k}":
			args[i] = fmt.Sprintf("k%d", rapid.IntRange(0, 11).Draw(t, "key"))
		case "{v}":
			args[i] = rapid.SampledFrom([]string{"a", "b", "c", "1", "42", "", "-7", "3.5", "x\r\ny", "\x00\xff", strings.Repeat("long", 30)}).Draw(t, "value")
		case "{f}":
			args[i] = rapid.SampledFrom([]string{"f1", "f2", "f3"}).Draw(t, "field")
		case "{n}":
			args[i] = strconv.Itoa(rapid.IntRange(0, 20).Draw(t, "number"))
		case "{i}":
			args[i] = strconv.Itoa(rapid.IntRange(-4, 6).Draw(t, "index"))
		case "{s}":
			args[i] = rapid.SampledFrom([]string{"1", "2.5", "-3", "0", "1e3", "x"}).Draw(t, "score")
		case "{lon}":
			args[i] = rapid.SampledFrom([]string{"13.361389", "15.087269", "2.35"}).Draw(t, "lon")
		case "{lat}":
			args[i] = rapid.SampledFrom([]string{"38.115556", "37.502669", "48.85"}).Draw(t, "lat")
		case "{id}":
			args[i] = fmt.Sprintf("%d-%d", rapid.IntRange(1, 30).Draw(t, "ms"), rapid.IntRange(0, 1).Draw(t, "seq"))
		case "{db}":
			args[i] = rapid.SampledFrom([]string{"0", "0", "0", "1", "2", "99"}).Draw(t, "db")
		}
	}
	return args
}

// TestGeneratedCommandsAreByteEqual compares generated scripts over all types.
func TestGeneratedCommandsAreByteEqual(t *testing.T) {
	const perScript = 200
	p := startPair(t)
	want, done := generatedCommands(t), 0
	for done < want {
		rapid.Check(t, func(rt *rapid.T) {
			if done >= want {
				return
			}
			q := *p
			q.t = rapidTB{t, rt}
			q.reset()
			cmds := [][]string{{"HELLO", rapid.SampledFrom([]string{"2", "3"}).Draw(rt, "proto")}}
			for _, tpl := range rapid.SliceOfN(rapid.SampledFrom(templates), perScript, perScript).Draw(rt, "commands") {
				cmds = append(cmds, draw(rt, tpl))
			}
			seed := rapid.Uint64().Draw(rt, "chunks")
			if rapid.Bool().Draw(rt, "stepwise") {
				done += q.compareStepwise(cmds)
			} else {
				ch := chunkings[[]int{0, 2}[seed%2]]
				done += q.comparePipelined(cmds, ch, rand.New(rand.NewPCG(seed, 1)))
			}
		})
		if t.Failed() {
			return
		}
	}
	t.Logf("%d generated commands compared", done)
}

// rapidTB reports failures to rapid, so that it can shrink them.
type rapidTB struct {
	testing.TB
	rt *rapid.T
}

func (r rapidTB) Errorf(format string, args ...any) { r.rt.Errorf(format, args...) }
func (r rapidTB) Fatalf(format string, args ...any) { r.rt.Fatalf(format, args...) }
func (r rapidTB) FailNow()                          { r.rt.FailNow() }
