package engine

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"holdfast/backend/redistest"
)

// TestAnswersAreRedis runs scenes that were wrong once, in both protocols.
func TestAnswersAreRedis(t *testing.T) {
	srv := redistest.Start(t)
	scenes := []string{
		"ZADD z1 0 a 0 b 0 c 0 d;ZRANGESTORE z2 z1 - + BYLEX;ZRANGE z2 0 -1;ZRANGESTORE z2 z1 [b (d BYLEX LIMIT 0 1;ZRANGE z2 0 -1 WITHSCORES;ZRANGESTORE z2 z1 3 1 BYSCORE;EXISTS z2",
		"GEOADD g 13.361389 38.115556 Palermo 15.087269 37.502669 Catania 12.758489 38.788135 edge1 17.241510 38.788135 edge2;GEOSEARCH g FROMLONLAT 15 37 BYRADIUS 500 km COUNT 2;GEORADIUS g 15 37 500 km COUNT 1;" +
			"GEOSEARCH g FROMLONLAT 15 37 BYBOX 400 400 km;GEOSEARCH g FROMMEMBER edge1 BYRADIUS 1000 km;GEOPOS g Palermo none;GEOHASH g Palermo Catania none;GEODIST g Palermo Catania ft;GEOADD g NX 1 1 Palermo;GEOADD g XX CH 13.4 38.1 Palermo 1 1 new;" +
			"GEOSEARCHSTORE d g FROMLONLAT 15 37 BYRADIUS 200 km;ZCARD d;GEORADIUS g 15 37 200 km STORE d;GEORADIUS g 15 37 200 km WITHDIST WITHCOORD WITHHASH ASC;GEORADIUSBYMEMBER_RO g Catania 200 km;GEORADIUS_RO g 15 37 200 km STORE d;GEOADD g 181 1 x;GEORADIUS g 15 37 1 parsec",
		"ZADD z -inf a 1 b inf c;ZRANGEBYSCORE z (-inf +inf;ZCOUNT z (-inf (inf;ZREMRANGEBYSCORE z (-inf (inf;ZRANGE z 0 -1 WITHSCORES;ZADD y inf a;ZUNIONSTORE d 2 z y;ZRANGE d 0 -1 WITHSCORES;ZINTERSTORE d 2 z y WEIGHTS 0 1;ZRANGE d 0 -1 WITHSCORES",
		"SET s foobar;BITCOUNT s 1 1;BITCOUNT s 5 30 BIT;BITCOUNT s 1 1 BYTE;BITCOUNT s 0 -5 BIT;BITPOS s 1 2 -1 BIT;BITPOS s 0 0 8 BIT;BITPOS s 1 1 2 BYTE;SETRANGE m 0 '';BITPOS m 1;BITCOUNT s 1;BITPOS s 2;BITCOUNT s 1 x BIT;BITPOS s 1 0 x FOO",
		"HSET h f v;HRANDFIELD h 1 WITHVALUES;HRANDFIELD h -2 WITHVALUES;HRANDFIELD h;HRANDFIELD none 1 WITHVALUES;ZADD z 1.5 m;ZSCORE z m;ZSCORE z none;ZADD z INCR 1 m;ZADD z NX INCR 1 m;ZINCRBY z 0.1 m;ZRANGE z 0 -1 WITHSCORES;ZRANDMEMBER z 1 WITHSCORES;ZPOPMIN z;ZADD z 1 a 2 b;ZPOPMIN z 1;ZMPOP 1 z MAX;" +
			"LPOP none 1;LPOP none;GET none;HGET none f;SPOP none;SPOP none 1;SMEMBERS none;HGETALL h;CONFIG GET maxmemory;ZRANK z none;LPOS none a;LPOS none a COUNT 1;GEOPOS none a;ZMSCORE none a;SMISMEMBER none a;LMPOP 1 none LEFT;SRANDMEMBER none 1;SUNION none none2;ZUNION 1 none WITHSCORES",
		"SET a ohmytext;SET b mynewtext;LCS a b;LCS a b LEN;LCS a b IDX;LCS a b IDX MINMATCHLEN 4 WITHMATCHLEN;LCS a none;LCS a b IDX LEN;LPUSH l 1;LCS a l",
		"BITFIELD b SET u8 0 255 GET u8 0 INCRBY u2 100 1 OVERFLOW SAT INCRBY u2 100 3;BITFIELD b OVERFLOW FAIL INCRBY u2 100 1;BITFIELD b SET i8 #1 -129 GET i8 #1;BITFIELD b OVERFLOW SAT SET i8 #1 -129 GET i8 #1;BITFIELD b INCRBY i64 0 9223372036854775807 INCRBY i64 0 1;" +
			"BITFIELD b OVERFLOW SAT INCRBY i64 0 -9223372036854775808 INCRBY i64 0 -9223372036854775808;BITFIELD b GET u64 0;BITFIELD_RO b GET i5 3 GET u63 1;BITFIELD_RO b SET u8 0 1;GET b;BITFIELD none GET u8 0;EXISTS none;BITFIELD b OVERFLOW SAT SET u4 0 -1 GET u4 0;BITFIELD b SET u4 0 -1 GET u4 0 INCRBY u4 0 -20",
		"SET k v;SET k w NX GET;GET k;SET k w XX GET KEEPTTL;SET k w GET EX 0;SET k w NX XX;SET k w EX 1 EX 2000 GET;SET k w PX 1 EX 2;SET k w KEEPTTL EX 1;LPUSH l a;SET l x GET;SET l x GET EX 0;GETEX l;GETEX k PERSIST PERSIST;GETEX k PERSIST EX 1;GETEX none EX x",
		"INCRBYFLOAT f 0.1;INCRBYFLOAT f 0.2;INCRBYFLOAT f 1e20;INCRBYFLOAT f -1e20;SET f 3.0e3;INCRBYFLOAT f 200;SET f ' 1';INCRBYFLOAT f 1;INCRBYFLOAT g inf;HINCRBYFLOAT h f 3.0;HINCRBYFLOAT h f nan;HINCRBYFLOAT h f 1e-17;HINCRBY h f 1",
		"SADD i 3 1 2;SMEMBERS i;OBJECT ENCODING i;SADD i a;OBJECT ENCODING i;CONFIG SET set-max-intset-entries 2;SADD j 1 2;OBJECT ENCODING j;SADD j 3;OBJECT ENCODING j;CONFIG SET set-max-intset-entries 512;HSET h f v;OBJECT ENCODING h;CONFIG SET hash-max-ziplist-entries 1;CONFIG GET hash-max-listpack-entries;HSET h g v;OBJECT ENCODING h;CONFIG SET hash-max-listpack-entries 512;" +
			"ZADD z 1 m;CONFIG SET zset-max-listpack-value 3;ZADD z 1 long;OBJECT ENCODING z;ZREM z long;OBJECT ENCODING z;CONFIG SET zset-max-listpack-value 64;RPUSH l a;OBJECT ENCODING l;SET s 1;OBJECT ENCODING s;APPEND s 1;OBJECT ENCODING s;CONFIG SET nosuch 1;CONFIG SET hash-max-listpack-entries x;CONFIG GET;CONFIG FOO;CONFIG SET notify-keyspace-events KEA;CONFIG GET notify-keyspace-events;CONFIG SET notify-keyspace-events q;CONFIG SET notify-keyspace-events '';CONFIG GET hash-max-l*-value hash-max-listpack-value",
		"PFADD p a b c;PFCOUNT p;STRLEN p;PFADD p a;PFMERGE q p none;PFCOUNT q p;SET s x;PFADD s a;PFCOUNT s;PFMERGE q s;APPEND p hello;SETRANGE q 0 0123;PFCOUNT q;LPUSH l a;PFADD l a;PFCOUNT none;PFADD none;EXISTS none;STRLEN none",
		"RPUSH l 3 1 2;SORT l;SORT l DESC LIMIT 0 1;SORT l LIMIT 5 1;SORT l LIMIT -1 -1;SET w1 3;SET w2 1;SORT l BY w*;SORT l BY w* GET w* GET #;HSET h1 f x;SORT l BY nosort GET h*->f;SORT l STORE d;LRANGE d 0 -1;SORT l ALPHA BY w* DESC;SORT_RO l STORE d;RPUSH t a 1;SORT t;SORT t ALPHA;SORT none STORE d;EXISTS d;SORT h1;ZADD z 3 a 1 b;SORT z BY nosort DESC;SORT z ALPHA LIMIT 0 1;SORT l FOO",
		"EXPIRE none 1;SET k v;EXPIRE k 100 XX;EXPIRE k 100 GT;EXPIRE k 100 LT;TTL k;EXPIRE k 50 GT;EXPIRE k 200 NX;EXPIRE k 9223372036854775807;PEXPIRE k 9223372036854775807;EXPIREAT k -1;EXISTS k;EXPIRETIME k;SET k v EX 100;PERSIST k;PERSIST k;OBJECT HELP;OBJECT FREQ k;OBJECT foo k;OBJECT ENCODING;MEMORY USAGE none;MEMORY USAGE k SAMPLES x;MEMORY FOO;MEMORY USAGE",
		"SADD a 1 2 3;SADD b 2 3 4;SINTERCARD 2 a b;SINTERCARD 2 a b LIMIT 1;SINTERCARD 3 a b;SINTERCARD 0 a;SINTERCARD x a;SINTERCARD 2 a b LIMIT -1;ZINTERCARD 2 a b LIMIT 1;ZDIFF 2 a b WITHSCORES;ZDIFFSTORE d 2 a b;ZINTER 2 a b WITHSCORES;ZUNION 2 a b WEIGHTS 1 x;ZUNION 0 a;ZUNION 2 a b AGGREGATE avg;LMPOP 0 a LEFT;LMPOP 1 a LEFT;ZMPOP 1 a MIN COUNT 0;SMOVE a b 2;SMOVE a b 9;COPY a b;COPY a b REPLACE;COPY a a;COPY a c DB 20;MOVE a 0;MOVE a x;RENAME none x;RENAMENX a b",
	}
	for _, proto := range []int{2, 3} {
		c := dial(t, srv.Addr(), proto)
		for _, scene := range scenes {
			c.ask("FLUSHALL")
			e := newTestEngine(t, nil)
			for _, line := range strings.Split(scene, ";") {
				want, got := c.do(cmd(line)), e.Do(0, proto, cmd(line)).Reply
				require.Equal(t, sameReply(toStrings(cmd(line)), want), sameReply(toStrings(cmd(line)), got), "RESP%d %s\nin %s", proto, line, scene)
			}
		}
	}
}

// TestWatchIsAbortedByChangesOnly asks a Redis which commands abort a transaction on
// their keys, and expects the same.
func TestWatchIsAbortedByChangesOnly(t *testing.T) {
	srv := redistest.Start(t)
	c, other := dial(t, srv.Addr(), 2), dial(t, srv.Addr(), 2)
	setup := []string{"SET s v", "SET n 5", "SET timed v EX 1000", "RPUSH l a b", "SADD set a b", "SADD set2 a", "HSET h f v", "ZADD z 1 m", "SETBIT bits 7 1", "PFADD p a", "SET b v", "ZADD z2 1 m"}
	for _, line := range []string{
		"ZADD z 1 m", "ZADD z NX 5 m", "ZADD z GT 0 m", "ZADD z XX 1 none", "ZADD z 2 m", "ZADD z CH 1 m", "ZINCRBY z 0 m", "ZREM z none", "ZREMRANGEBYSCORE z 5 6", "ZPOPMIN z 0", "SADD set a", "SREM set none", "SMOVE set set2 none", "SMOVE set set2 a", "SMOVE set set a", "SPOP set 0", "HSET h f v", "HDEL h none", "HSETNX h f x",
		"HINCRBYFLOAT h g 0", "LREM l 0 none", "LINSERT l BEFORE none x", "LPUSHX none x", "LTRIM l 0 -1", "LSET l 0 a", "LPOP l 0", "LMOVE l l LEFT LEFT", "RPOPLPUSH none l", "EXPIRE none 10", "EXPIRE timed 10 GT", "EXPIRE timed 10 NX", "EXPIRE timed 2000", "PERSIST s", "PERSIST timed", "SETNX s x", "SET s v NX", "SET none v XX", "SET s v", "MSETNX s x new y",
		"APPEND s ''", "SETRANGE s 0 ''", "SETRANGE s 0 v", "SETBIT bits 7 1", "SETBIT bits 7 0", "BITFIELD bits GET u8 0", "BITFIELD bits SET u1 7 1", "BITFIELD bits INCRBY u1 7 0", "INCRBY n 0", "GETEX s", "GETEX timed PERSIST", "GETDEL none", "DEL none", "UNLINK s", "RENAME s s", "RENAMENX s n", "RENAME s new", "COPY s n", "COPY s n REPLACE", "MOVE s 0",
		"SUNIONSTORE new set set2", "SINTERSTORE none none2 set", "ZUNIONSTORE new 1 z", "ZRANGESTORE new z 0 -1", "ZDIFFSTORE none 2 z z2", "SORT l ALPHA STORE new", "PFADD p a", "PFADD p new", "PFMERGE p", "PFCOUNT s", "BITOP AND new s n", "BITOP AND none none none2", "GEOADD z NX 1 1 m", "LMPOP 2 none l LEFT", "ZMPOP 2 z z2 MIN", "TOUCH s", "OBJECT ENCODING s", "EXPIRE timed -1", "GETSET s v", "SWAPDB 0 0",
	} {
		for _, key := range []string{"s", "n", "timed", "l", "set", "set2", "h", "z", "z2", "bits", "p", "new", "none"} {
			c.ask("FLUSHALL")
			e := newTestEngine(t, nil)
			for _, l := range setup {
				c.do(cmd(l))
				do(e, l)
			}
			c.ask("WATCH", key)
			w := e.Watch(0, [][]byte{[]byte(key)})
			other.do(cmd(line))
			do(e, line)
			c.ask("MULTI")
			aborted := c.ask("EXEC").isNil()
			require.Equal(t, aborted, w.Changed(), "%s watching %s", line, key)
		}
	}
}

// TestKeyspaceEventsAreRedis compares the messages of all commands.
func TestKeyspaceEventsAreRedis(t *testing.T) {
	srv := redistest.Start(t)
	c, sub := dial(t, srv.Addr(), 2), dial(t, srv.Addr(), 2)
	c.ask("CONFIG", "SET", "notify-keyspace-events", "KEAmn")
	sub.do(cmd("PSUBSCRIBE __key*"))
	var got []string
	clk := newClock()
	e := New(Config{Now: clk.Now, Notify: func(db int, event, key string, byKey, byEvent bool) {
		require.True(t, byKey && byEvent)
		got = append(got, fmt.Sprint(db, " ", event, " ", key))
	}})
	defer e.Close()
	require.Equal(t, "+OK\r\n", do(e, "CONFIG SET notify-keyspace-events KEAmn"))
	for _, line := range []string{
		"SET a 1", "SET a 1 EX 100", "SETEX a 100 v", "GETSET a v", "APPEND a x", "SETRANGE a 0 y", "SETBIT bits 1 1", "INCR n", "DECRBY n 2", "INCRBYFLOAT n 1.5", "MSET a 1 b 2", "MSETNX c 1 d 2", "GETDEL c", "GETEX a EX 100", "GETEX a PERSIST", "SETNX e 1", "GET none", "BITFIELD bits SET u8 0 3", "BITOP OR bits2 bits bits", "PFADD p a", "PFMERGE q p",
		"EXPIRE a 100", "PERSIST a", "EXPIRE a -1", "DEL b none", "RENAME d d2", "COPY d2 d3", "MOVE d3 1", "LPUSH l a b c d", "RPUSH l e", "LPOP l", "RPOP l 2", "LSET l 0 x", "LINSERT l BEFORE x y", "LREM l 0 y", "LTRIM l 0 0", "LMOVE l l2 LEFT RIGHT", "RPOPLPUSH l2 l3", "LMPOP 1 l3 LEFT", "RPUSH l 3 1 2", "SORT l STORE sorted",
		"SADD s a b c", "SREM s a", "SMOVE s s2 b", "SPOP s2", "SADD s d", "SUNIONSTORE s3 s", "SINTERSTORE s3 s none", "HSET h f v", "HSETNX h g v", "HINCRBY h n 1", "HINCRBYFLOAT h n 1.5", "HDEL h f g", "HDEL h n", "ZADD z 1 a 2 b 3 c 4 d", "ZINCRBY z 1 a", "ZADD z INCR 1 a", "ZREM z a", "ZREMRANGEBYSCORE z 2 2", "ZREMRANGEBYRANK z 0 0", "ZPOPMIN z", "ZADD z 1 a 2 b", "ZUNIONSTORE z2 1 z", "ZDIFFSTORE z3 2 z z2", "ZRANGESTORE z4 z 0 -1", "ZPOPMAX z 5",
		"GEOADD g 1 1 a", "GEOSEARCHSTORE g2 g FROMLONLAT 1 1 BYRADIUS 1 km", "GEORADIUS g 1 1 1 km STORE g3", "SADD s a", "SADD s a", "ZADD z4 1 a", "SET x v NX", "SET x v NX", "RESTORE x 0 bad", "EVAL 'redis.call([[SET]],KEYS[1],1) redis.call([[DEL]],KEYS[1])' 1 lua",
		"XGROUP CREATE st gr $ MKSTREAM", "XGROUP CREATE st gr2 0", "XGROUP CREATECONSUMER st gr Bob", "XGROUP CREATECONSUMER st gr Bob", "XADD st 1-0 f v", "XADD st MAXLEN 1 2-0 f v", "XREADGROUP GROUP gr Alice STREAMS st >", "XCLAIM st gr Mike 0 2-0 FORCE",
		"XAUTOCLAIM st gr Lee 0 0", "XAUTOCLAIM st gr Bob 0 0", "XACK st gr 2-0", "XGROUP DELCONSUMER st gr none", "XGROUP DELCONSUMER st gr Bob", "XGROUP SETID st gr 0", "XSETID st 5-0", "XDEL st 2-0", "XDEL st 9-0", "XTRIM st MAXLEN 0", "XGROUP DESTROY st gr2", "XGROUP DESTROY st none",
	} {
		got = got[:0]
		c.do(cmd(line))
		e.Do(0, 2, cmd(line))
		if line != "GET none" { // writes that also read tell of misses in Redis only
			got = slices.DeleteFunc(got, func(ev string) bool { return strings.Contains(ev, "keymiss") })
		}
		c.ask("PUBLISH", "__key:end", line)
		var want []string
		for {
			v, _ := parseReply(sub.read())
			if v.list[2].str == "__key:end" {
				break
			}
			if ch := v.list[2].str; strings.HasPrefix(ch, "__keyevent@") {
				if ev := fmt.Sprintf("%c %s %s", ch[11], ch[strings.Index(ch, ":")+1:], v.list[3].str); line == "GET none" || !strings.Contains(ev, "keymiss") {
					want = append(want, ev)
				}
			}
		}
		require.ElementsMatch(t, want, append([]string{}, got...), line)
	}
	got = got[:0]
	do(e, "SET gone v PX 1000")
	clk.now = clk.now.Add(2 * time.Second)
	e.Expire()
	require.Contains(t, got, "0 expired gone")
	got = got[:0]
	do(e, "EVAL 'redis.call([[SET]],KEYS[1],1) return redis.error_reply([[ERR no]])' 1 failing")
	require.Empty(t, got, "what failed has not happened")
}
