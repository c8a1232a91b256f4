package main

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redis/rueidis"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"holdfast/backend/redistest"
	"holdfast/backend/resp"
	"holdfast/fallback"
)

// offline is a proxy whose Redis was there and is gone.
func offline(t *testing.T) (*redistest.Server, *running) {
	srv, p := online(t)
	require.NoError(t, p.client().Set(bg, "aiclient:x", "1", 0).Err())
	p.awaitMirror()
	srv.Kill()
	p.awaitMode(fallback.Offline)
	return srv, p
}

// What CLIENT TRACKING and its relatives answer is what Redis answers, word for word,
// and so are the pushes.
func TestTrackingOnTheLocalStateIsRediss(t *testing.T) {
	const steps = `CLIENT TRACKINGINFO|CLIENT GETREDIR|CLIENT CACHING YES|CLIENT CACHING NO|CLIENT TRACKING maybe|CLIENT TRACKING ON nonsense
CLIENT TRACKING ON REDIRECT 99999|CLIENT TRACKING ON REDIRECT x|CLIENT TRACKING ON PREFIX a|CLIENT TRACKING ON BCAST OPTIN|CLIENT TRACKING ON OPTIN OPTOUT
CLIENT TRACKING ON BCAST PREFIX a PREFIX ab|CLIENT TRACKING ON|CLIENT TRACKINGINFO|CLIENT GETREDIR|CLIENT TRACKING ON BCAST|CLIENT CACHING YES
GET aiclient:a|!SET aiclient:a 1|GET aiclient:a|GET aiclient:a|!SET aiclient:a 2|!SET aiclient:a 3|!SET aiclient:never 1|SET aiclient:a 4|GET aiclient:a|SET aiclient:a 5
MGET aiclient:a aiclient:b|!MSET aiclient:b 1 aiclient:c 1|!DEL aiclient:a|CLIENT TRACKING OFF|GET aiclient:b|!SET aiclient:b 2
CLIENT TRACKING ON NOLOOP|GET aiclient:a|SET aiclient:a 1|GET aiclient:a|!SET aiclient:a 2|CLIENT TRACKINGINFO|CLIENT TRACKING OFF
CLIENT TRACKING ON OPTIN|GET aiclient:a|!SET aiclient:a 3|CLIENT CACHING YES;CLIENT TRACKINGINFO|GET aiclient:a|!SET aiclient:a 4|CLIENT CACHING YES;GET aiclient:a|!SET aiclient:a 4|CLIENT CACHING NO|CLIENT CACHING maybe
CLIENT CACHING YES;MULTI;GET aiclient:a;EXEC|!SET aiclient:a 5|CLIENT TRACKING ON OPTOUT|CLIENT TRACKING OFF
CLIENT TRACKING ON OPTOUT|GET aiclient:a|!SET aiclient:a 6|CLIENT CACHING NO;GET aiclient:a|!SET aiclient:a 7|CLIENT CACHING YES|CLIENT TRACKING OFF
CLIENT TRACKING ON BCAST PREFIX aiclient:a PREFIX aiclient:z|!SET aiclient:a 8|!SET aiclient:b 8|CLIENT TRACKING ON BCAST PREFIX aiclient:|CLIENT TRACKINGINFO|CLIENT TRACKING OFF|CLIENT TRACKINGINFO
CLIENT TRACKING ON|GET aiclient:a|!PEXPIRE aiclient:a 30|GET aiclient:a|~|CLIENT TRACKING OFF
CLUSTER SLOTS|CLUSTER INFO|CLUSTER NODES|CLUSTER SHARDS|CLUSTER MYID|CLUSTER KEYSLOT x|CLUSTER nonsense|READONLY|ASKING`
	// Redis pushes before it answers the ECHO. Elsewhere as many frames are awaited as
	// came there; one too many shows at the next step.
	run := func(addr string, counts []int) (got []string, seen []int) {
		c := newTwoClients(t, addr, "3")
		for i, step := range strings.FieldsFunc(steps, func(r rune) bool { return r == '|' || r == '\n' }) {
			least, ended := 0, false
			if counts != nil {
				least = counts[i]
			}
			switch line, others := strings.CutPrefix(step, "!"); {
			case step == "~": // the key's time is over: nothing is asked, and yet it is told
				least, ended = 1, true
			case others:
				c.send(c.second, strings.Fields(line)...)
				c.answer()
			default:
				for _, cmd := range strings.Split(line, ";") {
					c.send(c.first, strings.Fields(cmd)...)
				}
			}
			if !ended {
				c.send(c.first, "ECHO", "end")
			}
			var frames []string
			for !ended || len(frames) < least {
				require.NoError(t, c.first.SetReadDeadline(time.Now().Add(patience)))
				v, err := c.rd.Next()
				require.NoError(t, err, "%s: %v", step, frames)
				if text := show(v); text == "end" {
					ended = true
				} else {
					frames = append(frames, text)
				}
			}
			slices.Sort(frames)
			got = append(got, fmt.Sprintf("%d %s: %s", i, step, strings.Join(frames, ", ")))
			seen = append(seen, len(frames))
		}
		return got, seen
	}
	want, counts := run(redistest.Start(t).Addr(), nil)
	got, _ := run(startProxy(t, "").addr(), counts)
	assert.Equal(t, want, got, "embedded")
	_, p := offline(t)
	got, _ = run(p.addr(), counts)
	assert.Equal(t, want, got, "offline")
}

// show writes a reply as a text.
func show(v resp.Value) string {
	switch {
	case v.Null:
		return "nil"
	case v.Err() != nil:
		return v.Err().Error()
	case len(v.Elems) > 0 || v.Kind == '*' || v.Kind == '~' || v.Kind == '%' || v.Kind == '>':
		var parts []string
		for _, e := range v.Elems {
			parts = append(parts, show(e))
		}
		return string(v.Kind) + "[" + strings.Join(parts, " ") + "]"
	case v.Kind == ':':
		return fmt.Sprint(v.Int)
	}
	return string(v.Str)
}

// A client that makes its connection to an embedded store, or in an outage, has its cache.
func TestClientsOwnCachesOnTheLocalState(t *testing.T) {
	_, away := offline(t)
	for name, p := range map[string]*running{"embedded": startProxy(t, ""), "offline": away} {
		w := p.client()
		caches := map[string]func() string{}
		for i, opt := range []rueidis.ClientOption{{}, {ForceSingleClient: true}, {ForceSingleClient: true, ClientTrackingOptions: []string{"PREFIX", "aiclient:", "BCAST"}}} {
			opt.InitAddress = []string{p.addr()}
			c, err := rueidis.NewClient(opt)
			require.NoError(t, err, name)
			defer c.Close()
			caches[fmt.Sprint("rueidis ", i)] = func() string {
				s, err := c.DoCache(bg, c.B().Get().Key("aiclient:cached").Cache(), time.Minute).ToString()
				if rueidis.IsRedisNil(err) {
					return "gone"
				}
				require.NoError(t, err)
				return s
			}
		}
		for i := range 10 {
			want := fmt.Sprint(i)
			require.NoError(t, w.Set(bg, "aiclient:cached", want, 0).Err())
			for client, get := range caches {
				require.Eventually(t, func() bool { return get() == want }, patience, time.Millisecond, name+" "+client)
			}
		}
		require.NoError(t, w.PExpire(bg, "aiclient:cached", 50*time.Millisecond).Err())
		for client, get := range caches {
			require.Eventually(t, func() bool { return get() == "gone" }, patience, 5*time.Millisecond, name+" "+client)
		}
	}
}

// A client that begins to track in an outage tracks at Redis when that is back.
func TestTrackingThatBeganInAnOutageGoesOn(t *testing.T) {
	srv, p := offline(t)
	c, err := rueidis.NewClient(rueidis.ClientOption{InitAddress: []string{p.addr()}, ForceSingleClient: true, DisableRetry: true})
	require.NoError(t, err)
	defer c.Close()
	get := func() string {
		s, err := c.DoCache(bg, c.B().Get().Key("aiclient:x").Cache(), time.Minute).ToString()
		if err != nil {
			return err.Error()
		}
		return s
	}
	require.Equal(t, "1", get())
	srv.Start()
	p.awaitMode(fallback.Online)
	require.NoError(t, directClient(t, srv).Set(bg, "aiclient:x", "2", 0).Err())
	require.Eventually(t, func() bool { return get() == "2" }, patience, 5*time.Millisecond)
	require.NoError(t, directClient(t, srv).Set(bg, "aiclient:x", "3", 0).Err())
	require.Eventually(t, func() bool { return get() == "3" }, patience, 5*time.Millisecond)
}

// Invalidations that a RESP2 client has redirected arrive at the other connection.
func TestTrackingIsRedirectedLocally(t *testing.T) {
	p := startProxy(t, "")
	sub := dialRaw(t, p.addr())
	id := strings.Trim(sub.do("CLIENT", "ID"), ":\r\n")
	sub.do("SUBSCRIBE", "__redis__:invalidate")
	c := dialRaw(t, p.addr())
	require.Equal(t, "+OK\r\n", c.do("CLIENT", "TRACKING", "ON", "REDIRECT", id))
	require.Equal(t, ":"+id+"\r\n", c.do("CLIENT", "GETREDIR"))
	c.do("GET", "k")
	require.NoError(t, p.client().Set(bg, "k", "v", 0).Err())
	require.Equal(t, "*3\r\n$7\r\nmessage\r\n$20\r\n__redis__:invalidate\r\n*1\r\n$1\r\nk\r\n", string(sub.next()))
	require.NoError(t, p.client().FlushAll(bg).Err())
	require.Equal(t, "*3\r\n$7\r\nmessage\r\n$20\r\n__redis__:invalidate\r\n*-1\r\n", string(sub.next()))
}
