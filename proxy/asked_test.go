package proxy

import (
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/tidwall/redcon"

	"holdfast/backend"
)

func TestAsked(t *testing.T) {
	var a asked
	for range 2 { // a batch uses it again
		for _, n := range []int{1, maxAskedList, maxAskedList + 1, 3 * maxAskedList} {
			a.reset()
			for i := range n {
				key := []byte(fmt.Sprint(i % 40))
				a.add(askedKey{key: key, raw: []byte("GET"), follows: i == 0})
			}
			require.Equal(t, askedAtAll|askedFollows, a.about([]byte("0"), []byte("GET")), n)
			require.Equal(t, askedAtAll|askedFollows|askedOther|askedOtherFollow, a.about([]byte("0"), []byte("STRLEN")), n)
			require.Zero(t, a.about([]byte("absent"), []byte("GET")), n)
			if n > 1 {
				require.Equal(t, askedAtAll|askedOther, a.about([]byte("1"), nil), n)
			}
		}
	}
}

// beatsUp is an upstream whose calls the test answers, and whose beats it gives.
type beatsUp struct {
	scripted
	beats atomic.Uint64
}

func (u *beatsUp) NextBeat() uint64   { return u.beats.Load() + 1 }
func (u *beatsUp) PassedBeat() uint64 { return u.beats.Load() }
func (u *beatsUp) AwaitBeat(uint64, time.Duration) bool {
	u.beats.Add(1)
	return true
}

// counting counts the replies that are asked for.
type counting struct {
	instant
	replies int
}

func (u *counting) Do(proto, db int, c *backend.Call) error {
	u.replies += c.N
	return u.instant.Do(proto, db, c)
}

// TestMissesOfALongPipeline: what is cached is not asked for because of many
// misses before it.
func TestMissesOfALongPipeline(t *testing.T) {
	up := &counting{instant: instant{value: []byte("$1\r\nv\r\n"), info: backend.Info{Flavor: "redis", Version: "7.0.15"}}}
	s := directServer(t, up)
	c := directClient(t, s)
	var cmds []redcon.Command
	for i := range 1000 {
		cmds = append(cmds, request("GET", fmt.Sprintf("k:%d", i)))
	}
	c.serve(cmds)
	up.replies = 0
	c.serve(cmds)
	require.Zero(t, up.replies, "all are cached")
	const missing = 2 * maxAskedList
	for i := range missing {
		s.Invalidate([][]byte{[]byte(fmt.Sprintf("k:%d", i))})
	}
	c.serve(cmds)
	require.Equal(t, 2*missing, up.replies, "each with its PTTL")
}

// TestEqualReadsOfAPipeline: the first of two waits for a read that begins later,
// and an older one is cached meanwhile; the second must not get that.
func TestEqualReadsOfAPipeline(t *testing.T) {
	up := &beatsUp{scripted: scripted{calls: make(chan *scriptedCall)}}
	s := directServer(t, up)
	other, third, c := directClient(t, s), directClient(t, s), directClient(t, s)
	get := requests("GET", "k")
	done := make(chan struct{}, 3)
	serve := func(c *client, cmds []redcon.Command) {
		c.serve(cmds)
		done <- struct{}{}
	}
	go serve(other, get)
	first := <-up.calls // on the way
	go serve(third, requests("MGET", "k", "j"))
	(<-up.calls).answer("*2\r\n$1\r\n1\r\n$1\r\n1\r\n")
	<-done // told of k, while the first is on the way
	c.batch.reset()
	c.handle(get[0])
	require.Equal(t, 1, c.batch.followers, "it joins the next read")
	up.beats.Add(1)
	first.answer(":-1\r\n", "$1\r\n1\r\n")
	<-done // cached
	c.handle(get[0])
	go func() {
		c.flush()
		done <- struct{}{}
	}()
	(<-up.calls).answer(":-1\r\n", "$1\r\n2\r\n") // somebody has changed it
	<-done
	require.Equal(t, "$1\r\n2\r\n$1\r\n2\r\n", string(c.batch.out))
}
