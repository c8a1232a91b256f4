package engine

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"regexp"
	"sort"
	"strconv"
	"strings"
	"testing"
	"time"

	"holdfast/backend/redistest"
)

// awkwardForms are commands with the kinds of their arguments; what follows | is drawn
// from at will, also twice and in any order. {k} key, {m} member, {n} integer, {f} float,
// {s} end of a range of scores, {l} end of a range of names, {v} value, {x} anything.
var awkwardForms = []string{
	"SET {k} {v} | NX XX GET KEEPTTL EX PX EXAT PXAT {t} {x} PERSIST", "SET {k} {v} | EXAT {t} NX GET", "GETEX {k} | PERSIST EXAT PXAT {t} EX KEEPTTL {x}", "GETEX {k} EXAT {t}", "GETRANGE {k} {n} {n}", "SETRANGE {k} {n} {v}",
	"SUBSTR {k} {n} {n}", "APPEND {k} {v}", "INCRBY {k} {n}", "DECRBY {k} {n}", "INCRBYFLOAT {k} {f}", "SETBIT {k} {n} {n}", "GETBIT {k} {n}", "STRLEN {k}", "GETDEL {k}", "GETSET {k} {v}",
	"BITCOUNT {k} | {n} {n} BIT BYTE {x}", "BITPOS {k} {n} | {n} {n} BIT BYTE {x}", "BITOP {x} {k} {k} | {k}", "BITOP AND {k} {k} {k}", "BITOP NOT {k} {k} | {k}", "MSETNX {k} {v} | {k} {v}", "SETNX {k} {v}",
	"BITFIELD {k} | GET u8 {n} SET i5 {n} {n} INCRBY u3 {n} {n} OVERFLOW SAT FAIL WRAP {x} i64 u63 #1", "BITFIELD_RO {k} | GET u8 {n} i64 #1 SET", "SETEX {k} {t} {v}", "PSETEX {k} {t} {v}",
	"LCS {k} {k} | IDX LEN WITHMATCHLEN MINMATCHLEN {n} {x}", "LCS {k} {k} IDX WITHMATCHLEN", "GETRANGE {k} {n} {n}", "MGET {k} | {k}",
	"LPUSH {k} {v} | {v}", "RPUSH {k} {m} | {m} {v}", "LPUSHX {k} {v}", "RPUSHX {k} {v} | {v}", "LPOP {k} | {n}", "RPOP {k} | {n}", "LRANGE {k} {n} {n}", "LINDEX {k} {n}", "LSET {k} {n} {v}", "LREM {k} {n} {m}", "LTRIM {k} {n} {n}",
	"LINSERT {k} BEFORE {m} {v}", "LINSERT {k} {x} {m} {v}", "LPOS {k} {m} | RANK COUNT MAXLEN {n} {n} {x}", "LMOVE {k} {k} LEFT RIGHT", "LMOVE {k} {k} {x} LEFT", "RPOPLPUSH {k} {k}", "LMPOP {n} {k} | {k} LEFT RIGHT COUNT {n}", "LMPOP 2 {k} {k} LEFT | COUNT {n}",
	"SADD {k} {m} | {m} {n}", "SADD {k} {n} | {n} {n}", "SREM {k} {m} | {m}", "SMOVE {k} {k} {m}", "SISMEMBER {k} {m}", "SMISMEMBER {k} {m} | {m}", "SCARD {k}", "SMEMBERS {k}", "SINTER {k} | {k}", "SUNION {k} | {k}", "SDIFF {k} | {k}",
	"SINTERSTORE {k} {k} | {k}", "SUNIONSTORE {k} {k} | {k}", "SDIFFSTORE {k} {k} | {k}", "SINTERCARD {n} {k} | {k} LIMIT {n}", "SINTERCARD 2 {k} {k} | LIMIT {n} LIMIT {n}", "SRANDMEMBER {k} 0",
	"HSET {k} {m} {v} | {m} {v}", "HMSET {k} {m} {v} | {m} {v}", "HSETNX {k} {m} {v}", "HDEL {k} {m} | {m}", "HGET {k} {m}", "HMGET {k} {m} | {m}", "HGETALL {k}", "HKEYS {k}", "HVALS {k}", "HLEN {k}", "HSTRLEN {k} {m}", "HEXISTS {k} {m}",
	"HINCRBY {k} {m} {n}", "HINCRBYFLOAT {k} {m} {f}", "HRANDFIELD {k} 0 | WITHVALUES {x}",
	"ZADD {k} {f} {m} | {f} {m}", "ZADD {k} | NX XX GT LT CH INCR {f} {m} {f} {m}", "ZADD {k} INCR {f} {m}", "ZADD {k} CH {f} {m} | {f} {m}", "ZINCRBY {k} {f} {m}", "ZREM {k} {m} | {m}", "ZSCORE {k} {m}", "ZMSCORE {k} {m} | {m}", "ZCARD {k}", "ZRANK {k} {m}", "ZREVRANK {k} {m}",
	"ZCOUNT {k} {s} {s}", "ZLEXCOUNT {z} {l} {l}", "ZRANGE {k} {n} {n} | WITHSCORES REV LIMIT {n} {n} BYSCORE {x}", "ZRANGE {k} {s} {s} BYSCORE | REV LIMIT {n} {n} WITHSCORES", "ZRANGE {z} {l} {l} BYLEX | REV LIMIT {n} {n} WITHSCORES",
	"ZREVRANGE {k} {n} {n} | WITHSCORES {x}", "ZRANGEBYSCORE {k} {s} {s} | WITHSCORES LIMIT {n} {n}", "ZREVRANGEBYSCORE {k} {s} {s} | WITHSCORES LIMIT {n} {n}", "ZRANGEBYLEX {z} {l} {l} | LIMIT {n} {n}", "ZREVRANGEBYLEX {z} {l} {l} | LIMIT {n} {n}",
	"ZREMRANGEBYSCORE {k} {s} {s}", "ZREMRANGEBYLEX {z} {l} {l}", "ZREMRANGEBYRANK {k} {n} {n}", "ZPOPMIN {k} | {n}", "ZPOPMAX {k} | {n}", "ZMPOP 2 {k} {k} MIN | COUNT {n}", "ZMPOP {n} {k} | MAX MIN COUNT {n}", "ZRANGESTORE {k} {k} {n} {n} | REV LIMIT {n} {n}",
	"ZRANGESTORE {k} {k} {s} {s} BYSCORE | REV LIMIT {n} {n}", "ZRANGESTORE {z} {z} {l} {l} BYLEX | REV LIMIT {n} {n}", "ZUNION 2 {k} {k} | WITHSCORES WEIGHTS {f} {f} AGGREGATE MIN MAX SUM", "ZINTER 2 {k} {k} WITHSCORES | WEIGHTS {f} {f} AGGREGATE MIN MAX",
	"ZUNION 2 {k} {k} WEIGHTS {f} {f} WITHSCORES", "ZDIFF 2 {k} {k} | WITHSCORES {x}", "ZUNIONSTORE {k} 2 {k} {k} | WEIGHTS {f} {f} AGGREGATE MIN", "ZINTERSTORE {k} {n} {k} | {k} WEIGHTS {f}", "ZDIFFSTORE {k} {n} {k} | {k}", "ZINTERCARD 2 {k} {k} | LIMIT {n} LIMIT {n} {x}", "ZRANDMEMBER {k} 0 | WITHSCORES {x}",
	"ZUNIONSTORE {k} 2 {k} {k} WEIGHTS {f} {f}", "ZINTERSTORE {k} 2 {k} {k} AGGREGATE MIN",
	"GEOADD {g} {f} {f} {m} | {f} {f} {m}", "GEOADD {g} NX CH 13.361389 38.115556 {m} | XX", "GEOADD {g} 15.087269 37.502669 {m} 13.5 38.1 {m}", "GEODIST {g} {m} {m} | km m ft mi {x}", "GEOPOS {g} {m} | {m}", "GEOHASH {g} {m} | {m}",
	"GEOSEARCH {g} FROMLONLAT 15 37 BYRADIUS {f} km | COUNT {n} ANY WITHDIST WITHHASH WITHCOORD DESC {x}", "GEOSEARCH {g} FROMMEMBER {m} BYBOX {f} {f} km | COUNT {n} WITHDIST WITHCOORD", "GEOSEARCH {g} FROMLONLAT 15 37 BYBOX 400 400 km WITHCOORD WITHDIST WITHHASH",
	"GEORADIUS {g} 15 37 {f} km | WITHDIST WITHCOORD COUNT {n} STORE {g}", "GEORADIUSBYMEMBER {g} {m} {f} km | STORE {g} COUNT {n}", "GEOSEARCHSTORE {g} {g} FROMLONLAT 15 37 BYRADIUS 300 km | COUNT {n} WITHDIST", "GEORADIUS_RO {g} 15 37 200 km | STORE {g} WITHHASH",
	"EXPIREAT {k} {t} | NX XX GT LT {x}", "PEXPIREAT {k} 4000000003456 | NX XX GT LT", "EXPIRE {k} {t} NX XX", "PERSIST {k}", "TYPE {k}", "RENAME {k} {k}", "RENAMENX {k} {k}", "COPY {k} {k} | REPLACE DB {n} {x}", "MOVE {k} {n}",
	"DEL {k} | {k}", "EXISTS {k} | {k}", "OBJECT ENCODING {k}", "OBJECT {x} {k}", "OBJECT REFCOUNT nokey", "SORT {k} ALPHA | DESC ASC LIMIT {n} {n} GET # STORE {k} {x}", "SORT {k} ALPHA BY w_* | DESC GET w_* GET #", "SORT_RO {k} ALPHA | STORE {k}",
	"PFADD {p} {m} | {m}", "PFCOUNT {p} | {p}", "ZADD {z} 0 {m} 0 {m}", "ZADD {z} 0 {m} 0 {m} 0 {m}", "PFMERGE {p} {p}", "RESTORE {k} {t} {v} | REPLACE ABSTTL IDLETIME FREQ {n} {x}", "DUMP nokey", "KEYS {x}", "SETEX {k} {x} {v}", "MSET {k} {v} | {k} {v}", "TOUCH {k} | {k}",
}

var awkwardWords = map[string][]string{
	"{k}": {"k1", "k2", "k3", "k4", ""},
	"{z}": {"z1", "z2", "z3"}, "{g}": {"g1", "g2"}, "{p}": {"p1", "p2"},
	"{m}": {"a", "b", "c", "", "1", "-7", "a\x00b", "\xff\xfe", "longer than sixty-four bytes, which is what Redis keeps in its packed forms by default"},
	"{n}": {"0", "1", "-1", "2", "-2", "3", "10", "100", "-100", "400000", "9223372036854775807", "-9223372036854775808", "9223372036854775808", "01", "+1", "1.5", "", " 1", "1 ", "x", "-0", "\x001"},
	"{t}": {"4000000000", "4000000001", "4000000002", "4000000003", "0", "-1", "-100", "9223372036854775807", "-9223372036854775808", "9223372036854775", "", "x", "01", "1.5"},
	"{f}": {"0", "1", "-1.5", "2.25", "1e3", "inf", "-inf", "+inf", "nan", "-nan", "infinity", "1e308", "-1e308", "1e400", "1e-400", "0x10", "", " 1", "1 ", "x", "100", "200", "1_0", ".5", "5.", "-0"},
	"{s}": {"-inf", "+inf", "inf", "(1", "1", "(-inf", "(inf", "0", "(0", "2.25", "nan", "(", "", "x", "(x", "[1", "1e400", "0x10", " 1", "1 "},
	"{l}": {"-", "+", "[a", "(a", "[b", "(c", "[", "(", "", "a", "-x", "+x", "[\x00"},
	"{v}": {"a", "hello", "10", "3.5", "-7", "", "a\x00b", "9223372036854775807", "ohmytext", "mynewtext"},
	"{x}": {"foo", "", "NX", "COUNT", "LIMIT", "*", "k?", "\x00", "help"},
}

// awkward makes a command of a form.
func awkward(r *rand.Rand, form string) []string {
	fixed, more, _ := strings.Cut(form, " | ")
	words := strings.Fields(fixed)
	if list := strings.Fields(more); len(list) > 0 {
		if r.IntN(3) == 0 { // in the order given, cut off anywhere
			words = append(words, list[:r.IntN(len(list)+1)]...)
		} else {
			for range r.IntN(5) {
				words = append(words, list[r.IntN(len(list))])
			}
		}
	}
	for i, w := range words {
		if list := awkwardWords[w]; list != nil {
			words[i] = list[r.IntN(len(list))]
			if r.IntN(3) > 0 { // mostly one that goes through
				words[i] = list[r.IntN(min(4, len(list)))]
			}
		} else if i > 0 && r.IntN(8) == 0 {
			words[i] = strings.ToLower(w)
		}
	}
	switch r.IntN(40) {
	case 0:
		words = words[:1+r.IntN(len(words))]
	case 1:
		words = append(words, awkwardWords["{x}"][r.IntN(len(awkwardWords["{x}"]))])
	}
	return words
}

// sameReply brings a reply into a form that what is open does not change.
func sameReply(args []string, reply []byte) string {
	name := strings.ToUpper(args[0])
	v, rest := parseReply(reply)
	if len(rest) > 0 || v.isErr() {
		return string(reply)
	}
	open := unordered[name] || name == "SORT" || name == "SORT_RO"
	if !open || v.list == nil {
		return string(reply)
	}
	var out []string
	for i, el := range v.list {
		s := render(el)
		if name == "HGETALL" && i%2 == 1 {
			out[len(out)-1] += s
			continue
		}
		out = append(out, s)
	}
	sort.Strings(out)
	return fmt.Sprintf("%c %q", v.kind, out)
}

// TestAwkwardArguments compares with Redis what random and mostly odd commands answer and
// leave. HOLDFAST_SEED and HOLDFAST_ROUNDS ask for others and for more.
func TestAwkwardArguments(t *testing.T) {
	seed, rounds := uint64(1), 60
	if s := os.Getenv("HOLDFAST_SEED"); s != "" {
		seed, _ = strconv.ParseUint(s, 10, 64)
	}
	if s := os.Getenv("HOLDFAST_ROUNDS"); s != "" {
		rounds, _ = strconv.Atoi(s)
	}
	srv := redistest.Start(t)
	now := time.Now()
	plain := dial(t, srv.Addr(), 2)
	for _, proto := range []int{2, 3} {
		c := dial(t, srv.Addr(), proto)
		for round := range rounds {
			r := rand.New(rand.NewPCG(seed, uint64(round)))
			plain.ask("FLUSHALL")
			e := New(Config{Now: func() time.Time { return now }})
			var log []string
			for range 120 {
				args := awkward(r, awkwardForms[r.IntN(len(awkwardForms))])
				log = append(log, fmt.Sprintf("%q", args))
				theirs := c.do(toBytes(args))
				if bytes.Contains(theirs, []byte("can't be converted")) {
					e.Do(0, proto, toBytes(args))
					continue // Redis looks at what an earlier conversion has left in errno
				}
				want := sameReply(args, theirs)
				got := sameReply(args, e.Do(0, proto, toBytes(args)).Reply)
				if want != got {
					t.Fatalf("seed %d round %d RESP%d: %q\nredis  %q\nengine %q\nafter\n%s", seed, round, proto, args, want, got, strings.Join(tail(log, 30), "\n"))
				}
			}
			about := func(s string) string { return relative.ReplaceAllString(s, "until $1") }
			if want, got := about(plain.state()), about(state(t, e)); want != got {
				t.Fatalf("seed %d round %d: state\nredis\n%s\nengine\n%s\nafter\n%s", seed, round, want, got, strings.Join(log, "\n"))
			}
			e.Close()
		}
	}
}

// relative finds deadlines, whose last digits depend on when the command came.
var relative = regexp.MustCompile(`until (\d+)\d{8}\b`)

func tail(list []string, n int) []string { return list[max(0, len(list)-n):] }
