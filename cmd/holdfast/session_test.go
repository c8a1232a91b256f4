package main

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"holdfast/backend/redistest"
	"holdfast/fallback"
)

func online(t *testing.T, change ...func(*proxySettings)) (*redistest.Server, *running) {
	srv := redistest.Start(t, durable...)
	p := startProxy(t, srv.URL(), change...)
	p.awaitMode(fallback.Online)
	return srv, p
}

// RESP2 clients track by redirecting to a second connection of theirs, named by
// the id that the proxy gave it.
func TestTrackingRedirectsToAnotherClient(t *testing.T) {
	srv, p := online(t)
	d := directClient(t, srv)
	listener, tracker := dialRaw(t, p.addr()), dialRaw(t, p.addr())
	id := strings.Trim(listener.do("CLIENT", "ID"), ":\r\n")
	listener.do("SUBSCRIBE", "__redis__:invalidate")
	require.Equal(t, "+OK\r\n", tracker.do("CLIENT", "TRACKING", "ON", "BCAST", "REDIRECT", id))
	require.NoError(t, d.Set(context.Background(), "tracked", "1", 0).Err())
	assert.Contains(t, string(listener.next()), "tracked")
	assert.Contains(t, tracker.do("CLIENT", "TRACKING", "ON", "BCAST", "REDIRECT", "99999"), "does not exist")
	srv.Kill()
	p.awaitMode(fallback.Offline)
	srv.Start()
	p.awaitMode(fallback.Online)
	d = directClient(t, srv)
	redistest.Eventually(t, patience, "both are restored", func() bool {
		return strings.Contains(d.Do(context.Background(), "CLIENT", "LIST").String(), "redir="+restored(d))
	})
}

// restored is the id at Redis of the connection that has one subscription.
func restored(d *redis.Client) string {
	for _, line := range strings.Split(fmt.Sprint(d.Do(context.Background(), "CLIENT", "LIST").Val()), "\n") {
		if strings.Contains(line, " sub=1 ") {
			return strings.TrimPrefix(strings.Fields(line)[0], "id=") + " "
		}
	}
	return "none"
}

func TestSubscriberLivesThroughAnOutage(t *testing.T) {
	for _, proto := range []string{"2", "3"} {
		t.Run("resp"+proto, func(t *testing.T) {
			srv, p := online(t)
			c := dialRaw(t, p.addr())
			c.do("HELLO", proto)
			c.do("SUBSCRIBE", "news")
			c.do("PSUBSCRIBE", "n*")
			srv.Kill()
			p.awaitMode(fallback.Offline)
			if proto == "2" {
				assert.Equal(t, "*2\r\n$4\r\npong\r\n$0\r\n\r\n", c.do("PING"))
			} else {
				assert.Equal(t, "+PONG\r\n", c.do("PING"))
			}
			assert.Contains(t, c.do("SUBSCRIBE", "later"), "later")
			srv.Start()
			p.awaitMode(fallback.Online)
			d := directClient(t, srv)
			redistest.Eventually(t, patience, "subscriptions are back", func() bool {
				return d.PubSubNumSub(context.Background(), "news", "later").Val()["later"] == 1 && d.PubSubNumPat(context.Background()).Val() == 1
			})
			require.EqualValues(t, 2, d.Publish(context.Background(), "news", "hello").Val())
			assert.Contains(t, string(c.next()), "$7\r\nmessage\r\n$4\r\nnews\r\n$5\r\nhello", "no confirmation came twice")
			assert.Contains(t, string(c.next()), "pmessage")
			require.EqualValues(t, 1, d.Publish(context.Background(), "later", "x").Val())
			assert.Contains(t, string(c.next()), "later")
		})
	}
}

func TestBlockedClientGetsOneErrorAndStays(t *testing.T) {
	srv, p := online(t)
	c := dialRaw(t, p.addr())
	c.send("BLPOP", "aiclient:q", "0")
	awaitBlocked(t, srv, 1)
	srv.Kill()
	assert.Contains(t, string(c.next()), "-UPSTREAMDOWN")
	assert.Equal(t, "+PONG\r\n", c.do("PING"))
	srv.Start()
	p.awaitMode(fallback.Online)
	c.send("BLPOP", "aiclient:q", "0")
	awaitBlocked(t, srv, 1)
	require.NoError(t, directClient(t, srv).RPush(context.Background(), "aiclient:q", "v").Err())
	assert.Equal(t, "*2\r\n$10\r\naiclient:q\r\n$1\r\nv\r\n", string(c.next()))
	assert.Equal(t, "+OK\r\n", c.do("SELECT", "3"))
	assert.Equal(t, "+OK\r\n", c.do("SET", "x", "in3"))
}

func awaitBlocked(t *testing.T, srv *redistest.Server, n int) {
	d := directClient(t, srv)
	redistest.Eventually(t, patience, fmt.Sprintf("%d blocked clients", n), func() bool {
		return strings.Contains(d.Info(context.Background(), "clients").Val(), fmt.Sprintf("blocked_clients:%d\r", n))
	})
}

func TestClientThatLeavesWhileItBlocksLeavesNothing(t *testing.T) {
	srv, p := online(t)
	for _, more := range []bool{false, true} {
		c := dialRaw(t, p.addr())
		c.send("BLPOP", "q", "0")
		if more {
			c.send("PING")
		}
		awaitBlocked(t, srv, 1)
		require.NoError(t, c.conn.Close())
		awaitBlocked(t, srv, 0)
	}
	redistest.Eventually(t, patience, "client forgotten", func() bool { return p.st.server.Clients() == 0 })
}

func TestCommandsBehindABlockingOneWait(t *testing.T) {
	srv, p := online(t)
	c := dialRaw(t, p.addr())
	c.send("BLPOP", "q", "0")
	c.send("CLIENT", "GETNAME")
	c.send("GET", "k")
	awaitBlocked(t, srv, 1)
	d := p.client()
	require.NoError(t, d.Set(context.Background(), "k", "v", 0).Err())
	require.NoError(t, d.LPush(context.Background(), "q", "1").Err())
	assert.Contains(t, string(c.next()), "*2")
	assert.Equal(t, "$-1\r\n", string(c.next()))
	assert.Equal(t, "$1\r\nv\r\n", string(c.next()))
}

func TestUnblockAndKillNameTheProxysClients(t *testing.T) {
	srv, p := online(t)
	c, other := dialRaw(t, p.addr()), dialRaw(t, p.addr())
	id := strings.Trim(c.do("CLIENT", "ID"), ":\r\n")
	c.do("CLIENT", "SETNAME", "blocked-one")
	c.send("BLPOP", "q", "0")
	awaitBlocked(t, srv, 1)
	assert.Contains(t, directClient(t, srv).ClientList(context.Background()).Val(), "name=blocked-one", "Redis sees the name")
	assert.Equal(t, ":1\r\n", other.do("CLIENT", "UNBLOCK", id, "ERROR"))
	assert.Contains(t, string(c.next()), "-UNBLOCKED")
	assert.Contains(t, other.do("CLIENT", "LIST"), "name=blocked-one")
	assert.Equal(t, ":1\r\n", other.do("CLIENT", "KILL", "ID", id))
	redistest.Eventually(t, patience, "killed", func() bool { return p.st.server.Clients() == 1 })
}

func TestWatchFindsConflicts(t *testing.T) {
	ctx := context.Background()
	_, p := online(t)
	const workers, each = 8, 20
	var wg sync.WaitGroup
	for range workers {
		c := p.client()
		wg.Go(func() {
			for n := 0; n < each; {
				err := c.Watch(ctx, func(tx *redis.Tx) error {
					v, err := tx.Get(ctx, "count").Int()
					if err != nil && err != redis.Nil {
						return err
					}
					_, err = tx.TxPipelined(ctx, func(pipe redis.Pipeliner) error {
						pipe.Set(ctx, "count", v+1, 0)
						return nil
					})
					return err
				}, "count")
				if err == nil {
					n++
				} else if err != redis.TxFailedErr {
					t.Errorf("watch: %v", err)
					return
				}
			}
		})
	}
	wg.Wait()
	assert.Equal(t, fmt.Sprint(workers*each), p.client().Get(ctx, "count").Val())
}

func TestWatchOverAnOutageIsRefusedNotGuessed(t *testing.T) {
	srv, p := online(t)
	c := dialRaw(t, p.addr())
	c.do("SET", "aiclient:w", "1")
	p.awaitMirror()
	assert.Equal(t, "+OK\r\n", c.do("WATCH", "aiclient:w"))
	inUnit := dialRaw(t, p.addr())
	inUnit.do("WATCH", "aiclient:w")
	inUnit.do("MULTI")
	inUnit.do("SET", "aiclient:w", "3")
	srv.Kill()
	p.awaitMode(fallback.Offline)
	srv.Start()
	p.awaitMode(fallback.Online)
	for _, r := range []*rawConn{c, inUnit} {
		if r == c {
			assert.Equal(t, "+OK\r\n", r.do("MULTI"))
			assert.Equal(t, "+QUEUED\r\n", r.do("SET", "aiclient:w", "2"))
		}
		assert.Contains(t, r.do("EXEC"), "-EXECABORT")
		assert.Equal(t, "$1\r\n1\r\n", r.do("GET", "aiclient:w"))
		assert.Equal(t, "+OK\r\n", r.do("WATCH", "aiclient:w"), "the next try works")
		r.do("MULTI")
		r.do("GET", "aiclient:w")
		assert.Equal(t, "*1\r\n$1\r\n1\r\n", r.do("EXEC"))
	}
}

// A Redis that comes back and cannot take over yet changes nothing for a unit that
// watches keys here.
func TestWatchOverARefusedTakeoverIsJudgedHere(t *testing.T) {
	ctx := context.Background()
	srv, p := online(t)
	d := directClient(t, srv)
	require.NoError(t, p.client().Set(ctx, "aiclient:w", 1, 0).Err())
	p.awaitMirror()
	require.NoError(t, d.Do(ctx, "REPLICAOF", "127.0.0.1", "1").Err())
	require.NoError(t, p.client().Incr(ctx, "aiclient:queued").Err(), "refused there, queued here")
	p.awaitMode(fallback.Offline)
	c := dialRaw(t, p.addr())
	assert.Equal(t, "+OK\r\n", c.do("WATCH", "aiclient:w"))
	require.NoError(t, d.ConfigSet(ctx, "maxmemory", "1").Err())
	require.NoError(t, d.Do(ctx, "REPLICAOF", "NO", "ONE").Err())
	redistest.Eventually(t, patience, "the replay was refused", func() bool {
		return strings.Contains(p.st.upstream.Status().LastError, "OOM")
	})
	c.do("MULTI")
	c.do("SET", "aiclient:w", "2")
	assert.Equal(t, "*1\r\n+OK\r\n", c.do("EXEC"))
	require.NoError(t, d.ConfigSet(ctx, "maxmemory", "0").Err())
	p.awaitMode(fallback.Online)
	assert.Equal(t, "2", d.Get(ctx, "aiclient:w").Val())
}

// An EXEC that was under way when the connection was given up ends the unit,
// though nobody knows its outcome; a unit without its EXEC goes on and is refused.
func TestUnitUnderWayOverAnOutageIsOver(t *testing.T) {
	srv := redistest.Start(t)
	d := directClient(t, srv)
	l := newPushLink(t, srv.Addr())
	p := startProxy(t, l.url(), func(s *proxySettings) { s.commandTimeout = patience }) // silence is not what ends it
	p.awaitMode(fallback.Online)
	c, open := dialRaw(t, p.addr()), dialRaw(t, p.addr())
	for r, key := range map[*rawConn]string{c: "aiclient:w", open: "aiclient:o"} {
		assert.Equal(t, "+OK\r\n", r.do("WATCH", key))
		assert.Equal(t, "+OK\r\n", r.do("MULTI"))
	}
	l.mute.Store(true)
	c.send("SET", "aiclient:w", "1")
	c.send("EXEC")
	open.send("SET", "aiclient:o", "2")
	redistest.Eventually(t, patience, "Redis has what was sent", func() bool {
		return d.Get(bg, "aiclient:w").Val() == "1" && strings.Contains(fmt.Sprint(d.Do(bg, "CLIENT", "LIST").Val()), " multi=1 ")
	})
	srv.Kill()
	for range 2 {
		assert.Contains(t, string(c.next()), "may or may not")
	}
	assert.Contains(t, string(open.next()), "UPSTREAMDOWN")
	p.awaitMode(fallback.Offline)
	assert.Equal(t, "+OK\r\n", c.do("SET", "aiclient:other", "1"), "no unit is left")
	assert.Equal(t, "+QUEUED\r\n", open.do("SET", "aiclient:other", "2"))
	assert.Contains(t, open.do("EXEC"), "-EXECABORT")
	assert.Equal(t, "$1\r\n1\r\n", open.do("GET", "aiclient:other"))
}

func TestTrackingPushesReachTheClient(t *testing.T) {
	srv, p := online(t)
	c := dialRaw(t, p.addr())
	c.do("HELLO", "3")
	assert.Equal(t, "+OK\r\n", c.do("CLIENT", "TRACKING", "ON"))
	c.do("GET", "tracked")
	require.NoError(t, directClient(t, srv).Set(context.Background(), "tracked", 1, 0).Err())
	assert.Equal(t, ">2\r\n$10\r\ninvalidate\r\n*1\r\n$7\r\ntracked\r\n", string(c.next()))
	srv.Kill()
	p.awaitMode(fallback.Offline)
	srv.Start()
	p.awaitMode(fallback.Online)
	assert.Equal(t, ">2\r\n$10\r\ninvalidate\r\n_\r\n", string(c.next()), "what changed meanwhile is unknown")
	d := directClient(t, srv)
	redistest.Eventually(t, patience, "tracking is on again", func() bool {
		return strings.Contains(c.do("CLIENT", "TRACKINGINFO"), "\r\non\r\n")
	})
	c.do("GET", "tracked")
	require.NoError(t, d.Set(context.Background(), "tracked", 2, 0).Err())
	assert.Contains(t, string(c.next()), "tracked")
}

func TestReplyOffAndSkip(t *testing.T) {
	_, p := online(t)
	c := dialRaw(t, p.addr())
	c.send("CLIENT", "REPLY", "SKIP")
	c.send("SET", "a", "1")
	assert.Equal(t, "$1\r\n1\r\n", c.do("GET", "a"))
	c.send("CLIENT", "REPLY", "OFF")
	for range 10 {
		c.send("INCR", "a")
	}
	c.send("BLPOP", "none", "0.01")
	c.send("NOSUCH")
	assert.Equal(t, "+OK\r\n", c.do("CLIENT", "REPLY", "ON"))
	assert.Equal(t, "$2\r\n11\r\n", c.do("GET", "a"))
	c.send("CLIENT", "REPLY", "OFF")
	c.send("RESET", "all")
	c.send("CLIENT", "REPLY", "SKIP")
	c.send("PING")
	c.send("PING")
	assert.Equal(t, "+RESET\r\n", c.do("RESET"))
	assert.Equal(t, "$2\r\n11\r\n", c.do("GET", "a"))
}

// A subscriber in RESP2 may not begin a unit: what it sends behind MULTI is not part
// of one.
func TestSubscriberCannotBeginAUnit(t *testing.T) {
	srv, p := online(t, func(s *proxySettings) { s.commandTimeout = 5 * time.Second })
	c, other := dialRaw(t, p.addr()), dialRaw(t, p.addr())
	c.do("SUBSCRIBE", "s")
	srv.Hang() // so that no answer comes in between
	for _, cmd := range []string{"MULTI", "UNSUBSCRIBE", "HELLO 3", "CLIENT REPLY OFF", "PING", "CLIENT REPLY ON", "LASTSAVE"} {
		c.send(strings.Fields(cmd)...)
	}
	redistest.Eventually(t, patience, "sent", func() bool {
		list := other.do("CLIENT", "LIST")
		return strings.Contains(list, " cmd=unsubscribe ") || strings.Contains(list, " cmd=lastsave ")
	})
	srv.Resume()
	assert.Contains(t, string(c.next()), "Can't execute 'multi'")
	assert.Contains(t, string(c.next()), "unsubscribe")
	assert.Contains(t, string(c.next()), "proto\r\n:3")
	assert.Equal(t, "+OK\r\n", string(c.next()))
	assert.Contains(t, string(c.next()), ":")
	assert.Equal(t, "+OK\r\n", c.do("QUIT"))
}

// CLIENT LIST shows others as they are, not as they were when they last asked.
func TestClientListShowsOthers(t *testing.T) {
	_, p := online(t)
	a, b := dialRaw(t, p.addr()), dialRaw(t, p.addr())
	a.do("HELLO", "3")
	a.do("SELECT", "3")
	a.do("GET", "k")
	for line := range strings.Lines(b.do("CLIENT", "LIST")) {
		if strings.Contains(line, " cmd=get ") {
			assert.Regexp(t, ` idle=\d{1,3} `, line, "not since 1970")
			assert.Contains(t, line, " db=3 ")
			assert.Contains(t, line, " resp=3 ")
			return
		}
	}
	t.Error("not listed")
}

func TestMonitorSeesCommands(t *testing.T) {
	srv, p := online(t)
	c := dialRaw(t, p.addr())
	assert.Equal(t, "+OK\r\n", c.do("MONITOR"))
	require.NoError(t, directClient(t, srv).Set(context.Background(), "seen", 1, 0).Err())
	deadline := time.Now().Add(patience)
	for !strings.Contains(string(c.next()), "seen") {
		require.True(t, time.Now().Before(deadline))
	}
}

func TestLargeReplyOverTheRelay(t *testing.T) {
	_, p := online(t)
	c := dialRaw(t, p.addr())
	big := strings.Repeat("x", 20<<20)
	assert.Equal(t, ":1\r\n", c.do("RPUSH", "big", big))
	got := c.do("BLPOP", "big", "1")
	assert.Equal(t, len(big)+len("*2\r\n$3\r\nbig\r\n$20971520\r\n\r\n"), len(got))
}

// A Redis that hangs keeps nobody waiting, over a connection of its own either. That
// the heartbeat is not waited for: see proxy.TestSlowAnswerIsAskedAbout.
func TestHungRedisIsLeftByWhoWatches(t *testing.T) {
	srv, p := online(t)
	watching, opening := dialRaw(t, p.addr()), dialRaw(t, p.addr())
	require.Equal(t, "+OK\r\n", watching.do("WATCH", "aiclient:a"))
	srv.Hang()
	var wg sync.WaitGroup
	for c, cmd := range map[*rawConn]string{watching: "GET", opening: "WATCH"} {
		wg.Go(func() {
			assert.Contains(t, c.do(cmd, "aiclient:a"), "-UPSTREAMDOWN")
		})
	}
	wg.Wait()
	srv.Resume()
	p.awaitMode(fallback.Online)
	assert.Equal(t, "$-1\r\n", watching.do("GET", "aiclient:a"))
}

// An answer of the proxy's own does not get into the middle of a long message, and
// nothing comes behind the answer to RESET.
func TestAnswersBetweenLongMessages(t *testing.T) {
	srv, p := online(t)
	c := dialRaw(t, p.addr())
	c.do("HELLO", "3")
	c.do("CLIENT", "SETNAME", "me")
	c.do("SUBSCRIBE", "news")
	d := directClient(t, srv)
	text := strings.Repeat("x", 300_000)
	stop, unread := make(chan struct{}), make(chan struct{}, 16) // or Redis gives up a slow subscriber
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			select {
			case <-stop:
				return
			case unread <- struct{}{}:
				if d.Publish(bg, "news", text).Val() == 0 {
					<-unread
				}
			}
		}
	})
	defer wg.Wait()
	defer close(stop)
	message := fmt.Sprintf(">3\r\n$7\r\nmessage\r\n$4\r\nnews\r\n$%d\r\n%s\r\n", len(text), text)
	until := func(want string) {
		for {
			switch got := string(c.next()); got {
			case want:
				return
			case message:
				<-unread
			default:
				require.Fail(t, "neither a message nor the answer", "%.80q", got)
			}
		}
	}
	for range 30 {
		require.True(t, message == string(c.next())) // more of them are on the way now
		<-unread
		c.send("CLIENT", "GETNAME")
		until("$2\r\nme\r\n")
	}
	c.send("RESET")
	until("+RESET\r\n")
	for range 100 {
		assert.Equal(t, "+PONG\r\n", c.do("PING"))
	}
}
