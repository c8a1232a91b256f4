package engine

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"holdfast/backend/redistest"
)

// reported are scenes out of public bug reports of other servers that speak Redis's protocol,
// with their brothers.
var reported = []string{
	// garnet 515, 492; dragonfly 4389: ZRANGE with REV, shapes in RESP3, also in MULTI
	"ZADD z 1 1 2 2;ZRANGE z 1 -inf BYSCORE REV LIMIT 0 1;ZRANGE z 2 1 BYSCORE REV;ZRANGE z 1 2 BYSCORE REV;ZRANGE z (2 -inf BYSCORE REV WITHSCORES;ZRANGE z + - BYLEX REV;ZRANGE z 0 500 WITHSCORES;ZREVRANGE z 0 -1 WITHSCORES;ZRANGE z 5 10 REV;ZRANGE z 0 1 LIMIT 0 1;ZRANGE z 0 1 BYLEX WITHSCORES;ZRANGE z 0 1 BYSCORE BYLEX",
	// valkey 4619, redis 9052: negative offsets of LIMIT
	"ZADD z 1 a 2 b 3 c 4 d 5 e;ZRANGEBYSCORE z 1 5 LIMIT -2 10;ZREVRANGEBYSCORE z 5 1 LIMIT -2 10;ZRANGEBYLEX z - + LIMIT -2 10;ZREVRANGEBYLEX z + - LIMIT -2 1;ZRANGE z 1 5 BYSCORE LIMIT -1 1;ZRANGEBYSCORE z 1 5 LIMIT 1 -1;ZRANGEBYSCORE z 1 5 LIMIT 1 -7;ZRANGEBYSCORE z 1 5 LIMIT 5 1;ZRANGEBYSCORE z 1 5 LIMIT 9223372036854775807 1;SET k v;ZRANGESTORE k z 0 10 BYSCORE LIMIT -1 10;EXISTS k;ZRANGEBYSCORE z nan 5;ZRANGEBYSCORE z 1 (nan;ZCOUNT z -nan 1;ZRANGEBYSCORE z 5 1;ZLEXCOUNT z [b [a;ZRANGEBYLEX z b c",
	// kvrocks 1687, redis 12165: LPOS and the smallest rank
	"RPUSH l a b a c a;LPOS l a RANK -9223372036854775808;LPOS l a RANK -9223372036854775807;LPOS l a RANK 0;LPOS l a RANK -3;LPOS l a RANK -4;LPOS l a COUNT -1;LPOS l a MAXLEN -1;LPOS l a COUNT 0 RANK -1 MAXLEN 2;LPOS l a RANK x;LPOS none a RANK 0;LPOS l a COUNT 0 MAXLEN 0;LPOS l a RANK",
	// kvrocks 928: the empty key
	"SET '' v;TYPE '';SCAN 0;KEYS *;DEL '';LPUSH '' x;EXISTS '';RANDOMKEY;RENAME '' a;TYPE a;HSET h '' '';HGETALL h;HKEYS h;ZADD z 0 '';ZRANGE z 0 -1;ZRANGEBYLEX z [ [;SADD s '';SMEMBERS s;SISMEMBER s ''",
	// kvrocks 2610, 1659; dragonfly 231: shapes and answers for what is missing
	"SADD s bar;SRANDMEMBER s;SRANDMEMBER s 1;SRANDMEMBER none;SRANDMEMBER none 1;SRANDMEMBER s 0;SPOP s 1;SISMEMBER none a;SMISMEMBER none a b;LINSERT none BEFORE p e;LPUSHX none a;RPUSHX none a;LINSERT none MIDDLE p e;HSCAN none 0;SSCAN none 0;ZSCAN none 0;HMGET none a b;ZMSCORE none a b;HRANDFIELD none;HSTRLEN none f;GETDEL none;GETRANGE none 0 -1;SUBSTR none 0 1;OBJECT ENCODING none;MEMORY USAGE none;COPY none a;XRANGE none - +;XLEN none;TYPE none;PFCOUNT none;BITPOS none 1;BITPOS none 0;BITCOUNT none;LRANGE none 0 -1;SDIFF none;LINDEX none 0;LSET none 0 a;RENAME none a;ZPOPMIN none;ZRANDMEMBER none;ZRANDMEMBER none 2;GEODIST none a b;TTL none;EXPIRETIME none",
	// fakeredis 555, valkey 4150: counts and numbers of keys
	"RPUSH l a b;SADD s a b;ZADD z 1 a 2 b;LPOP l 0;LPOP l -1;RPOP l x;LPOP none 0;LPOP none -1;SPOP s -1;SPOP s 0;SPOP s x;SPOP none -1;ZPOPMIN z -1;ZPOPMAX z 0;ZPOPMIN none -1;LMPOP 1 l LEFT COUNT 0;LMPOP 1 l LEFT COUNT -1;LMPOP -1 l LEFT;ZMPOP 1 z MIN COUNT 0;ZMPOP 1 z MIN COUNT -5;ZMPOP x z MIN;LMPOP 2 l LEFT;LMPOP 1 l MIDDLE;SCAN 0 COUNT 0;SCAN 0 COUNT -1;SSCAN s 0 COUNT 0;HSCAN h x;SCAN x;SCAN 0 FOO;SINTERCARD -1 s;SINTERCARD 1 s LIMIT x;SINTERCARD 3 s;ZINTERCARD 0 z;ZUNION -1 z;ZINTER 5 z;ZDIFF 0;ZUNION x z;ZUNIONSTORE d 0 z;ZUNIONSTORE d 1 z WEIGHTS;ZUNIONSTORE d 1 z AGGREGATE;SMOVE none k m;SET k v;SMOVE none k m;SMOVE s k a;SMOVE s k none",
	// kvrocks 1161; dragonfly 5776; miniredis 255: what scripts give
	"EVALSHA 123 0;EVALSHA x;EVAL `return redis.error_reply('NOT FOUND')` 0;EVAL `return redis.error_reply('-NOT FOUND')` 0;EVAL `return redis.pcall('foo','bar')` 0;EVAL `return redis.pcall('incrby','foo','bar')` 0;EVAL `return redis.call('set',KEYS[1],'v','NX')['ok']` 1 k;EVAL `return redis.call('set',KEYS[1],'v','NX')` 1 k;EVAL `return type(redis.call('set',KEYS[1],'v','NX'))` 1 k;EVAL `return redis.call('get','none')==false` 0;EVAL `return {1,2,nil,3}` 0;EVAL `return {ok='x',err='y'}` 0;EVAL `return 3.99` 0;EVAL `return -3.99` 0;EVAL `return true` 0;EVAL `return false` 0;EVAL `return {}` 0;EVAL `return redis.call('type',KEYS[1])` 1 k;EVAL `return redis.status_reply('')` 0;EVAL `return 2^53` 0;EVAL `return 2^63` 0;EVAL `return tostring(2^53)` 0",
	// numbers as text
	"SET n 10;INCRBY n 9223372036854775807;DECRBY n -9223372036854775808;INCR s;SET n ' 5';INCR n;SET n 05;INCR n;SET n +5;INCR n;SET n -0;INCR n;SET n 9223372036854775807;INCR n;DECRBY n 9223372036854775808;SET n -9223372036854775808;DECR n;DECRBY n -9223372036854775808;INCRBYFLOAT n 1;SET f 1e400;INCRBYFLOAT f 1;SET f 0x10;INCRBYFLOAT f 1;SET f 5.0e3;INCRBYFLOAT f 2.0e2;INCRBYFLOAT f -inf;INCRBYFLOAT f '1 ';INCRBYFLOAT f nan;HSET h f 010;HINCRBY h f 1;HINCRBYFLOAT h f 1;HINCRBY h f 9223372036854775807;HINCRBYFLOAT h g 1e-5;HINCRBYFLOAT h g 1e300;HSET h w '';HINCRBY h w 1;HINCRBYFLOAT h w 1;SETRANGE n -1 a;SETRANGE n 536870912 a;SETRANGE none 5 '';GETRANGE n 0 9223372036854775807;GETRANGE n -9223372036854775808 -1;GETRANGE n 3 1;GETRANGE n -1 -5;SETBIT n 4294967296 1;SETBIT n -1 1;SETBIT n 0 2;GETBIT n 4294967296;BITCOUNT n 0 -1 FOO;BITPOS n 1 -100 -1;BITPOS n 0 5 3;BITFIELD n GET u64 0;BITFIELD n GET i65 0;BITFIELD n GET u8 -1;BITFIELD n OVERFLOW x;BITFIELD n;BITFIELD n SET u8 #536870912 1",
	// deadlines
	"SET k v EX 9223372036854775807;SET k v PX 9223372036854775807;SET k v EXAT 9223372036854775807;SET k v PXAT 0;SET k v EX -1;SET k v EX;SET k v PXAT 1;GET k;SET k v;EXPIRE k 9223372036854776;EXPIRE k -9223372036854775808;EXISTS k;SET k v;PEXPIRE k -1;EXISTS k;SET k v;EXPIREAT k 9223372036854775807;PEXPIREAT k x;SETEX k 0 v;SETEX k -5 v;PSETEX k 9223372036854775807 v;GETEX k EX 0;GETEX k EXAT -1;GETEX k PX x;GETEX k PERSIST EX 5;GETEX k EX 5 PX 5;EXPIRE k 10 NX XX;EXPIRE k 10 GT LT;EXPIRE k 10 FOO;EXPIRE k 10 NX GT;SET k v;EXPIRE k 100;EXPIRE k 50 LT;TTL k;EXPIRE k 60 NX;PERSIST k;EXPIRE k 10 GT;TTL k;SET k v KEEPTTL PX 5;SET k v GET NX;GETSET k w;SET k v XX NX",
	// streams
	"XADD s 5-* a 1;XADD s 5-* a 2;XADD s 5-1 a 1;XADD s 0-0 a 1;XADD s 4 a 1;XADD s 18446744073709551615-18446744073709551615 a 1;XADD s * a 1;XADD s 18446744073709551615-* a 1;XLEN s;XDEL s 5;XDEL s x;XRANGE s 5 5;XRANGE s (5-0 +;XRANGE s (- +;XRANGE s - (+;XRANGE s - + COUNT 0;XRANGE s - + COUNT -1;XREVRANGE s + - COUNT 1;XRANGE s - + FOO 1;XADD t MAXLEN 0 1-1 a 1;XLEN t;XADD t MAXLEN = 1 LIMIT 5 2-1 a 1;XADD t MAXLEN ~ 1 LIMIT -1 2-1 a 1;XADD t MAXLEN -1 2-1 a 1;XADD t MINID 3 2-1 a 1;XADD none NOMKSTREAM * a 1;XTRIM t MAXLEN 0 MINID 5;XTRIM t FOO 1;XREAD COUNT -1 STREAMS s 0;XREAD STREAMS s;XREAD STREAMS s t 0;XREAD COUNT 0 STREAMS s 0;XGROUP CREATE s g 5-0 ENTRIESREAD -2;XGROUP CREATE s g $;XGROUP CREATE s g $;XGROUP CREATE none g $;XGROUP SETID s g x;XGROUP DESTROY s none;XGROUP DESTROY none g;XREADGROUP GROUP g c STREAMS s $;XREADGROUP GROUP none c STREAMS s >;XREADGROUP GROUP g c NOACK COUNT 0 STREAMS s >;XPENDING s g;XPENDING s none;XPENDING s g - + -1;XPENDING s g IDLE x - + 1;XACK s g x;XACK none g 1;XCLAIM s g c 0 1 FORCE JUSTID;XCLAIM s g c -1 1-1;XCLAIM s g c 0 1-1 FOO;XAUTOCLAIM s g c 0 0 COUNT 0;XAUTOCLAIM s g c 0 x;XINFO STREAM none;XINFO GROUPS none;XINFO CONSUMERS s none;XSETID s 1-1;XSETID none 1-1",
	// sets and geo
	"SADD a 1 2 3;SADD b 2 3 4;SINTERSTORE c a none;EXISTS c;SET str v;SINTER none str;SINTER a none str;SUNION a str;SDIFF none str;SINTERSTORE c none str;SUNIONSTORE a a b;SMEMBERS a;SDIFFSTORE a a a;EXISTS a;GEOADD g 180 85.05112878 a;GEOADD g 180.1 0 a;GEOADD g 0 90 a;GEOADD g NX XX 0 0 a;GEOADD g 0 0;GEOSEARCH g FROMMEMBER none BYRADIUS 1 m;GEOSEARCH g FROMLONLAT 0 0 BYRADIUS -1 m;GEOSEARCH g FROMLONLAT 0 0 BYRADIUS 1 m COUNT 0;GEOSEARCH g FROMLONLAT 0 0 BYRADIUS 1 m COUNT 1 ANY ASC;GEOSEARCH g FROMLONLAT 0 0 BYRADIUS 1 m ANY;GEOSEARCH g FROMLONLAT 0 0;GEOSEARCH g BYRADIUS 1 m;GEOSEARCH none FROMMEMBER x BYRADIUS 1 m;GEORADIUS none 0 0 1 m;GEORADIUS g 0 0 1 m STORE d WITHDIST;GEORADIUSBYMEMBER g none 1 m;GEODIST g a none;GEODIST g a a parsec",
	// sort, lists, generic
	"RPUSH l 3 10 2 x;SORT l;SORT l ALPHA LIMIT 1 -1;SORT l ALPHA DESC LIMIT -5 2;SORT l LIMIT x 1;SORT none BY nosort GET #;SORT l BY w_* ALPHA;SORT l BY nosort STORE out;LRANGE out 0 -1;LTRIM l 5 1;EXISTS l;RPUSH l a b c;LTRIM l -100 100;LREM l -9223372036854775808 a;LREM l 0 none;LINSERT l AFTER c d;LSET l -1 e;LSET l 10 x;LSET l x x;LMOVE l l LEFT RIGHT;LRANGE l 0 -1;LMOVE l l UP LEFT;RPOPLPUSH l str;SET str v;RPOPLPUSH l str;LMOVE none str LEFT LEFT;LINDEX l -100;LRANGE l 9223372036854775807 -1;LRANGE l x 1;COPY l l;COPY l l2 DB 0 REPLACE;COPY l l2 DB x;MOVE l 0;MOVE l -1;MOVE l 99;RENAME l l;RENAMENX l l2;OBJECT FREQ l;OBJECT ENCODING l;OBJECT;TOUCH l none l;UNLINK l l;DEL;EXISTS l2 l2;DBSIZE x;FLUSHALL FOO;SELECT 99;SELECT x;SWAPDB 0 99;SWAPDB x 0;RESTORE a 0 x;ECHO;PING a b;LOLWUT VERSION x",
}

// TestReportedDifferences compares the answers to all of these.
func TestReportedDifferences(t *testing.T) {
	srv := redistest.Start(t)
	for _, proto := range []int{2, 3} {
		c := dial(t, srv.Addr(), proto)
		for _, scene := range reported {
			c.ask("FLUSHALL")
			e := newTestEngine(t, nil)
			for _, line := range splitScene(scene) {
				if len(line) == 0 || strings.EqualFold(string(line[0]), "lolwut") {
					continue
				}
				want, got := c.do(line), e.Do(0, proto, line).Reply
				require.Equal(t, sameReply(toStrings(line), want), sameReply(toStrings(line), got), "RESP%d %q", proto, toStrings(line))
			}
		}
	}
}

// splitScene splits lines at ";" and words at spaces outside of '…' and `…`.
func splitScene(scene string) (lines [][][]byte) {
	var line [][]byte
	var word []byte
	quote, begun := byte(0), false
	for i := 0; i <= len(scene); i++ {
		ch := byte(';')
		if i < len(scene) {
			ch = scene[i]
		}
		switch {
		case quote != 0 && ch == quote && i < len(scene):
			quote = 0
		case quote != 0 && i < len(scene):
			word = append(word, ch)
		case ch == '\'' || ch == '`':
			quote, begun = ch, true
		case ch == ' ' || ch == ';':
			if begun {
				line, word, begun = append(line, append([]byte{}, word...)), nil, false
			}
			if ch == ';' {
				lines, line = append(lines, line), nil
			}
		default:
			word, begun = append(word, ch), true
		}
	}
	return lines
}
