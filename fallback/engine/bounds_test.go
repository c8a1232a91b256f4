package engine

import (
	"testing"

	"github.com/stretchr/testify/require"

	"holdfast/backend/redistest"
)

// TestRefusedByRedisIsRefusedHere: what is acknowledged here and refused at the replay
// is a dead letter; what allocates without bound ends the process.
func TestRefusedByRedisIsRefusedHere(t *testing.T) {
	c := dial(t, redistest.Start(t).Addr(), 2)
	e := newTestEngine(t, nil)
	for _, line := range []string{
		"SETBIT bits 4294967296 1", "SETBIT bits 70368744177664 1", "SETBIT bits -1 1", "SETBIT bits x 1", "SETBIT bits 1 2", "SETBIT bits 9 1", "STRLEN bits",
		"EVAL 'return #string.rep([[x]],3)' 0",
		"SET s x", "ZADD z inf a -inf b 1 c", "ZINCRBY z nan c", "ZINCRBY z NaN c", "ZINCRBY z x c", "ZINCRBY z -inf a", "ZADD z INCR -inf a", "ZADD z INCR inf b", "ZADD z INCR inf new",
		"ZINCRBY z inf c", "ZUNIONSTORE d 2 z z WEIGHTS 1 nan", "ZUNIONSTORE nan 1 z", "EXISTS d nan",
		"ZREMRANGEBYSCORE z 1 nan", "ZREMRANGEBYSCORE z (nan inf", "ZCOUNT z 1 nan", "ZRANGEBYSCORE z nan 1", "ZREVRANGEBYSCORE z 1 nan", "ZRANGEBYSCORE z (1 (inf", "ZRANGE z 0 -1 WITHSCORES",
		"ZADD i 1 m", "ZADD i GT INCR -5 m", "ZADD i LT INCR 5 m", "ZADD i GT INCR 0 m", "ZADD i GT INCR 2 m", "ZADD i LT INCR -1 m", "ZADD i XX GT INCR 1 none", "ZADD i GT INCR -3 new", "ZADD s GT INCR 1 m", "ZRANGE i 0 -1 WITHSCORES",
		"GEOADD g nan 1 a", "GEOADD g 1 nan a", "GEOADD g NaN NaN a", "GEOADD g 13 38 nan", "ZCARD g",
		"GEORADIUS s 15 37 200 km STORE d", "GEORADIUS s 15 37 200 km", "SET d x", "GEORADIUSBYMEMBER none a 200 km STORE d", "EXISTS d", "GEORADIUSBYMEMBER none a 200 km",
	} {
		res := e.Do(0, 2, cmd(line))
		require.Equal(t, string(c.do(cmd(line))), string(res.Reply), line)
	}
	reply := string(e.Do(0, 2, cmd("EVAL 'return string.rep([[x]],2^30)' 0")).Reply)
	require.Contains(t, reply, "resulting string too large")
	require.Equal(t, c.state(), state(t, e))
}

// TestSortedSetsAreLikeRedis: what was answered, or popped, otherwise once.
func TestSortedSetsAreLikeRedis(t *testing.T) {
	srv := redistest.Start(t)
	for _, proto := range []int{2, 3} {
		c := dial(t, srv.Addr(), proto)
		c.ask("FLUSHALL")
		e := newTestEngine(t, nil)
		for _, line := range []string{
			"ZADD z 5 a -1 b 3 c", "ZPOPMIN z 0", "ZPOPMAX z 0", "ZPOPMIN z -1", "ZPOPMIN none 0", "SET s x", "ZPOPMIN s 0", "ZCARD z", "ZADD WITHSCORES 1 a 2 b",
			"ZINTER 1 z", "ZINTER 1 z WITHSCORES", "ZINTER 2 z z WEIGHTS -1 0.5 WITHSCORES", "ZINTER 2 z z AGGREGATE MAX", "ZINTER 2 z none", "ZINTER 1 s", "ZINTER 0 z", "ZINTER 1 z FOO", "ZINTER 2 z WITHSCORES",
			"ZPOPMAX z 2",
		} {
			res := e.Do(0, proto, cmd(line))
			require.Equal(t, string(c.do(cmd(line))), string(res.Reply), line)
		}
	}
}
