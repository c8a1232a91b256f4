package backend

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"holdfast/backend/redistest"
	"holdfast/backend/resp"
)

func TestPipelinesOfManyClientsNeverMix(t *testing.T) {
	srv := redistest.Start(t)
	u := runUp(t, Config{URL: srv.URL()}, &recorder{})
	big := bytes.Repeat([]byte("0123456789abcdef"), 20<<20/16)
	var wg sync.WaitGroup
	for id := range 50 {
		wg.Go(func() {
			seed := uint64(id)
			rnd := rand.New(rand.NewPCG(seed, 7))
			var c Call
			for round := range 12 {
				c.Payload, c.N = c.Payload[:0], 0
				var want []byte
				for i := range 1 + rnd.IntN(8) {
					v := []byte(fmt.Sprintf("%d-%d-%d-%s", id, round, i, strings.Repeat("x", rnd.IntN(1<<rnd.IntN(17)))))
					if id == 0 && round == 5 && i == 0 {
						v = big
					}
					if rnd.IntN(2) == 0 {
						c.Payload = resp.AppendCommand(c.Payload, []byte("ECHO"), v)
						want = resp.AppendBulk(want, v)
						c.N++
						continue
					}
					key := []byte(fmt.Sprintf("k%d", id))
					c.Payload = resp.AppendCommand(c.Payload, []byte("SET"), key, v)
					c.Payload = resp.AppendCommand(c.Payload, []byte("GET"), key)
					want = resp.AppendBulk(resp.AppendSimple(want, "OK"), v)
					c.N += 2
				}
				err := u.Do(2+id%2, id%3, &c)
				if err != nil || !bytes.Equal(want, c.Replies) || len(c.Ends) != c.N {
					t.Errorf("client %d round %d: %v, %d replies of %d, equal %v", id, round, err, len(c.Ends), c.N, bytes.Equal(want, c.Replies))
					return
				}
			}
		})
	}
	wg.Wait()
}

func TestBigReplyHasOneBufferOfItsSize(t *testing.T) {
	srv := redistest.Start(t)
	u := runUp(t, Config{URL: srv.URL()}, &recorder{})
	size := 8 << 20
	require.Equal(t, "+OK\r\n", do(t, u, "SET", "big", strings.Repeat("v", size)))
	c := call("GET", "big")
	require.NoError(t, u.Do(3, 0, c))
	require.Len(t, c.Replies, len("$8388608\r\n")+size+2)
	require.Less(t, cap(c.Replies), size+size/8)
	require.Equal(t, "$-1\r\n", do(t, u, "GET", "none"))
}

func TestBadCallsAreNotSent(t *testing.T) {
	srv := redistest.Start(t)
	u := runUp(t, Config{URL: srv.URL()}, &recorder{})
	for _, try := range []func() error{
		func() error { return u.Do(2, 0, &Call{N: 1}) },
		func() error { return u.Do(2, 0, &Call{Payload: []byte("x")}) },
		func() error { return u.Do(4, 0, call("PING")) },
		func() error { return u.Do(2, -1, call("PING")) },
		func() error { return u.Do(2, 9999, call("PING")) },
	} {
		var o *OutcomeError
		require.ErrorAs(t, try(), &o)
		require.False(t, o.Sent)
	}
	var re resp.ReplyError
	require.ErrorAs(t, u.Do(2, 9999, call("PING")), &re)
	require.Contains(t, re.Error(), "out of range")
	require.Equal(t, "+PONG\r\n", do(t, u, "PING"))
}

func TestIdleTrunkClosedByServerIsNoOutage(t *testing.T) {
	srv := redistest.Start(t)
	ev := &recorder{}
	u := runUp(t, Config{URL: srv.URL()}, ev)
	id := do(t, u, "CLIENT", "ID")
	direct(t, srv.Addr(), []string{"CLIENT", "KILL", "ID", strings.Trim(id, ":\r\n")})
	redistest.Eventually(t, bound, "the trunk is dropped", func() bool {
		g := u.live.Load()
		return g != nil && len(*g.trunks.Load()) == 0
	})
	require.NotEqual(t, id, do(t, u, "CLIENT", "ID"))
	require.Zero(t, ev.losts.Load())
}

func TestPushesOnATrunkGoNowhere(t *testing.T) {
	srv := redistest.Start(t)
	u := runUp(t, Config{URL: srv.URL()}, &recorder{})
	c := call("CLIENT", "TRACKING", "ON", "BCAST")
	require.NoError(t, u.Do(3, 0, c))
	for i := range 50 {
		direct(t, srv.Addr(), []string{"SET", "k", fmt.Sprint(i)})
		get := call("GET", "k")
		require.NoError(t, u.Do(3, 0, get))
		require.Equal(t, string(resp.AppendBulkString(nil, fmt.Sprint(i))), string(get.Replies))
	}
}

func TestRefusals(t *testing.T) {
	for reply, want := range map[string]bool{
		"-LOADING Redis is loading\r\n": true, "-READONLY You\r\n": true, "-MASTERDOWN Link\r\n": true, "-CLUSTERDOWN x\r\n": true,
		"-ERR x\r\n": false, "-LOADINGX y\r\n": false, "-NOSCRIPT No\r\n": false, "+LOADING \r\n": false, "-\r\n": false,
	} {
		require.Equal(t, want, IsRefusal([]byte(reply)), reply)
	}
}

func TestReadonlyReplyIsARefusalAndADemotedMasterIsLost(t *testing.T) {
	srv, other := redistest.Start(t), redistest.Start(t)
	ev := &recorder{}
	u := runUp(t, Config{URL: srv.URL(), PingInterval: bound, CheckInterval: bound}, ev)
	require.Equal(t, "+OK\r\n", do(t, u, "SET", "a", "1"))
	host, port, _ := strings.Cut(other.Addr(), ":")
	direct(t, srv.Addr(), []string{"CONFIG", "SET", "replica-serve-stale-data", "yes"}, []string{"REPLICAOF", host, port})
	c := &Call{N: 3}
	c.Payload = resp.AppendCommandStrings(c.Payload, "PING")
	c.Payload = resp.AppendCommandStrings(c.Payload, "SET", "a", "2")
	c.Payload = resp.AppendCommandStrings(c.Payload, "PING")
	err := u.Do(2, 0, c)
	var o *OutcomeError
	require.ErrorAs(t, err, &o)
	require.True(t, o.Sent && o.Refused)
	require.Equal(t, []int{3, 1}, []int{o.Answered, o.First})
	require.ErrorIs(t, err, ErrRefused)
	require.True(t, IsRefusal(c.Reply(1)))
	require.Equal(t, "+PONG\r\n", string(c.Reply(2)))
	redistest.Eventually(t, bound, "the demoted master is lost", func() bool { return ev.losts.Load() == 1 })
	redistest.Eventually(t, bound, "the text says why", func() bool { return strings.Contains(u.Status().LastError, "replica") })
	direct(t, srv.Addr(), []string{"REPLICAOF", "NO", "ONE"})
	waitUp(t, u)
}

// BenchmarkDo measures calls of one GET from many goroutines; it must not allocate.
func BenchmarkDo(b *testing.B) {
	srv := redistest.Start(b)
	u := runUp(b, Config{URL: srv.URL()}, &recorder{})
	do(b, u, "SET", "k", strings.Repeat("v", 64))
	for _, clients := range []int{1, 50} {
		for _, depth := range []int{1, 16} {
			b.Run(fmt.Sprintf("clients=%d/P=%d", clients, depth), func(b *testing.B) {
				b.ReportAllocs()
				var wg sync.WaitGroup
				for range clients {
					wg.Go(func() {
						c := &Call{N: depth}
						for range depth {
							c.Payload = resp.AppendCommandStrings(c.Payload, "GET", "k")
						}
						for range b.N / clients / depth {
							if err := u.Do(2, 0, c); err != nil {
								b.Error(err)
								return
							}
						}
					})
				}
				wg.Wait()
			})
		}
	}
}
