package main

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"holdfast/backend/redistest"
)

// waiter is a client with one blocking command under way.
type waiter struct {
	id  int64
	got chan string
}

// embeddedWithWaiters is an embedded store, and a function that makes clients block in
// it, one after the other.
func embeddedWithWaiters(t *testing.T) (p *running, c *redis.Client, block func(args ...any) *waiter) {
	p = startProxy(t, "")
	n := int64(0)
	block = func(args ...any) *waiter {
		t.Helper()
		w := &waiter{got: make(chan string, 1)}
		own := p.client(func(o *redis.Options) { o.PoolSize, o.ReadTimeout = 1, -1 })
		conn := own.Conn()
		t.Cleanup(func() { _ = conn.Close() })
		var err error
		w.id, err = conn.ClientID(context.Background()).Result()
		require.NoError(t, err)
		n = p.st.store.Blocked() + 1
		go func() {
			v, err := conn.Do(context.Background(), args...).Result()
			if err != nil {
				w.got <- err.Error()
				return
			}
			w.got <- fmt.Sprint(v)
		}()
		redistest.Eventually(t, patience, "it waits", func() bool { return p.st.store.Blocked() == n })
		return w
	}
	return p, p.client(), block
}

func (w *waiter) gets(t *testing.T, want string) {
	t.Helper()
	select {
	case got := <-w.got:
		require.Equal(t, want, got)
	case <-time.After(patience):
		t.Fatalf("nothing came, not %q", want)
	}
}

func (w *waiter) waits(t *testing.T) {
	t.Helper()
	require.Empty(t, w.got)
}

func TestWaitingClientsAreServedInTheirOrder(t *testing.T) {
	ctx := context.Background()
	p, c, block := embeddedWithWaiters(t)
	first, second, third := block("BLPOP", "l", "other", 0), block("BRPOP", "l", 0), block("BLPOP", "l", 0)
	require.NoError(t, c.RPush(ctx, "l", "a", "b").Err())
	first.gets(t, "[l a]")
	second.gets(t, "[l b]")
	third.waits(t)
	require.EqualValues(t, 1, p.st.store.Blocked())
	require.EqualValues(t, 0, c.Exists(ctx, "l").Val(), "nobody else could take it")
	require.NoError(t, c.RPush(ctx, "l", "c").Err())
	third.gets(t, "[l c]")
}

func TestNobodyIsWokenByWhatItDoesNotWaitFor(t *testing.T) {
	ctx := context.Background()
	_, c, block := embeddedWithWaiters(t)
	list, zset, stream := block("BLPOP", "k", "k2", 0), block("BZPOPMIN", "k", 0), block("XREAD", "BLOCK", 0, "STREAMS", "k", "$")
	require.NoError(t, c.Set(ctx, "k", "v", 0).Err())
	require.NoError(t, c.Del(ctx, "k").Err())
	require.NoError(t, c.HSet(ctx, "k", "f", "v").Err())
	_, err := c.TxPipelined(ctx, func(tx redis.Pipeliner) error {
		tx.Del(ctx, "k")
		tx.RPush(ctx, "k", "gone before the end")
		tx.Del(ctx, "k")
		tx.ZAdd(ctx, "k", redis.Z{Score: 2, Member: "m"})
		return nil
	})
	require.NoError(t, err)
	zset.gets(t, "[k m 2]")
	list.waits(t)
	stream.waits(t)
	require.NoError(t, c.Set(ctx, "k", "another type", 0).Err())
	require.NoError(t, c.Eval(ctx, "redis.call('RPUSH','k2','x') return redis.call('RPUSH','k2','y')", nil).Err())
	list.gets(t, "[k2 x]")
	require.NoError(t, c.Del(ctx, "k").Err())
	require.NoError(t, c.XAdd(ctx, &redis.XAddArgs{Stream: "k", ID: "7-1", Values: []string{"f", "v"}}).Err())
	stream.gets(t, "map[k:[[7-1 [f v]]]]")
}

func TestWhatOneWaiterDoesServesTheNext(t *testing.T) {
	ctx := context.Background()
	_, c, block := embeddedWithWaiters(t)
	last := block("BLMPOP", 0, 2, "nokey", "c", "LEFT", "COUNT", 5)
	middle := block("BRPOPLPUSH", "b", "c", 0)
	first := block("BLMOVE", "a", "b", "LEFT", "RIGHT", 0)
	bad := block("BLMOVE", "d", "string", "LEFT", "RIGHT", 0)
	require.NoError(t, c.RPush(ctx, "a", "x").Err())
	first.gets(t, "x")
	middle.gets(t, "x")
	last.gets(t, "[c [x]]")
	require.NoError(t, c.Set(ctx, "string", "v", 0).Err())
	require.NoError(t, c.RPush(ctx, "d", "y").Err())
	bad.gets(t, "WRONGTYPE Operation against a key holding the wrong kind of value")
	require.Equal(t, []string{"y"}, c.LRange(ctx, "d", 0, -1).Val(), "it was not taken")
	renamed := block("BZMPOP", 0, 1, "z", "MAX")
	require.NoError(t, c.ZAdd(ctx, "elsewhere", redis.Z{Score: 1, Member: "m"}).Err())
	require.NoError(t, c.Rename(ctx, "elsewhere", "z").Err())
	renamed.gets(t, "[z [[m 1]]]")
}

func TestGroupsOfWaitingConsumers(t *testing.T) {
	ctx := context.Background()
	_, c, block := embeddedWithWaiters(t)
	read := func(consumer string) *waiter {
		return block("XREADGROUP", "GROUP", "g", consumer, "COUNT", 1, "BLOCK", 0, "STREAMS", "x", ">")
	}
	require.NoError(t, c.XGroupCreateMkStream(ctx, "x", "g", "$").Err())
	one, two := read("one"), read("two")
	require.NoError(t, c.XAdd(ctx, &redis.XAddArgs{Stream: "x", ID: "1-1", Values: []string{"f", "v"}}).Err())
	one.gets(t, "map[x:[[1-1 [f v]]]]")
	two.waits(t)
	require.EqualValues(t, 1, c.XPending(ctx, "x", "g").Val().Count)
	require.NoError(t, c.XGroupDestroy(ctx, "x", "g").Err())
	two.gets(t, "NOGROUP the consumer group this client was blocked on no longer exists")
	for _, gone := range []func() error{
		func() error { return c.Del(ctx, "x").Err() },
		func() error { return c.Set(ctx, "x", "v", 0).Err() },
		func() error { return c.FlushAll(ctx).Err() },
	} {
		require.NoError(t, c.Del(ctx, "x").Err())
		require.NoError(t, c.XGroupCreateMkStream(ctx, "x", "g", "$").Err())
		three := read("three")
		require.NoError(t, gone())
		three.gets(t, "UNBLOCKED the stream key no longer exists")
	}
}

func TestWaitingEndsByTimeByUnblockAndByHangingUp(t *testing.T) {
	ctx := context.Background()
	p, c, block := embeddedWithWaiters(t)
	for _, args := range [][]any{{"BLPOP", "l", 0.01}, {"BLMOVE", "l", "m", "LEFT", "LEFT", "0.01"}, {"BZMPOP", 0.01, 1, "z", "MIN"}, {"XREAD", "BLOCK", 10, "STREAMS", "x", "$"}} {
		require.Equal(t, redis.Nil, c.Do(ctx, args...).Err(), args)
	}
	for args, want := range map[[3]any]string{
		{"BLPOP", "l", "x"}: "ERR timeout is not a float or out of range", {"BLPOP", "l", -1}: "ERR timeout is negative",
	} {
		require.EqualError(t, c.Do(ctx, args[:]...).Err(), want)
	}
	long, asked, failed := block("BLPOP", "l", 1e12), block("BLPOP", "l", 0), block("XREAD", "BLOCK", 0, "STREAMS", "x", "0")
	require.EqualValues(t, 1, c.ClientUnblock(ctx, asked.id).Val())
	asked.gets(t, redis.Nil.Error())
	require.EqualValues(t, 1, c.ClientUnblockWithError(ctx, failed.id).Val())
	failed.gets(t, "UNBLOCKED client unblocked via CLIENT UNBLOCK")
	require.EqualValues(t, 0, c.ClientUnblock(ctx, asked.id).Val(), "it waits no longer")
	long.waits(t)

	gone := p.client(func(o *redis.Options) { o.ReadTimeout = 50 * time.Millisecond })
	require.Error(t, gone.Do(ctx, "BLPOP", "only", 0).Err(), "the client gives up and hangs up")
	redistest.Eventually(t, patience, "it stands in no line", func() bool { return p.st.store.Blocked() == 1 })
	require.NoError(t, c.RPush(ctx, "only", "kept").Err())
	require.Equal(t, "kept", c.LPop(ctx, "only").Val())
	require.NoError(t, c.RPush(ctx, "l", "a").Err())
	long.gets(t, "[l a]")
}
