package main

import (
	"fmt"
	"math/rand"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	toxiproxy "github.com/Shopify/toxiproxy/v2"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/go-redis/v9"
	"github.com/rs/zerolog"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"holdfast/backend/redistest"
	"holdfast/fallback"
)

// faultLink is a link to a Redis that can be cut, frozen and made to lose replies.
type faultLink struct {
	t *testing.T
	p *toxiproxy.Proxy
}

func newFaultLink(t *testing.T, addr string) *faultLink {
	server := toxiproxy.NewServer(toxiproxy.NewMetricsContainer(prometheus.NewRegistry()), zerolog.Nop())
	p := toxiproxy.NewProxy(server, t.Name(), "127.0.0.1:0", addr)
	require.NoError(t, p.Start())
	t.Cleanup(p.Stop)
	return &faultLink{t, p}
}

func (l *faultLink) url() string { return "redis://" + l.p.Listen + "/0" }
func (l *faultLink) cut()        { l.p.Stop() }
func (l *faultLink) mend() {
	if err := l.p.Start(); err != nil {
		assert.NoError(l.t, err)
	}
}

// silent lets nothing more through upwards or downwards, without an end.
func (l *faultLink) silent(stream string) {
	_, err := l.p.Toxics.AddToxicJson(strings.NewReader(`{"name":"` + stream + `","type":"timeout","stream":"` + stream + `","attributes":{"timeout":0}}`))
	assert.NoError(l.t, err)
}

// heal ends what silent began; what was held back is lost with its connections.
func (l *faultLink) heal() {
	l.p.Stop()
	l.p.Toxics.ResetToxics(bg)
	l.mend()
}

// hotWriter writes to keys of its own, or that it shares, as fast as it can. It
// notes refusals and answers that are not exact.
type hotWriter struct {
	name   string
	write  func(c *redis.Client, n int64) (got int64, err error)
	n      int64 // writes so far that were done, as far as anybody knows
	unsure int64 // of them or beyond them, that may not have been
	acked  int64
	early  int64 // refused before the first acknowledged write
	errs   map[string]int
	wrong  []string
}

func (h *hotWriter) run(c *redis.Client, stop *atomic.Bool) {
	h.errs = map[string]int{}
	for !stop.Load() {
		got, err := h.write(c, h.n+1)
		switch {
		case err != nil && strings.Contains(err.Error(), "may or may not"):
			h.unsure++
			h.errs[err.Error()]++
		case err != nil && h.acked == 0 && strings.Contains(err.Error(), "not held"):
			h.early++ // the link failed before Redis ever answered this writer
		case err != nil:
			h.errs[err.Error()]++
		case got < h.n+1 || got > h.n+1+h.unsure:
			h.wrong = append(h.wrong, fmt.Sprintf("%d after %d", got, h.n))
			fallthrough
		default:
			h.unsure -= got - h.n - 1
			h.n = got
			h.acked++
		}
	}
}

var hotScript = redis.NewScript(`local n = redis.call('HINCRBY', KEYS[1], 'n', 1) redis.call('SET', KEYS[2], n) return n`)

// hotWriters are one of each kind: what they answer rises by one with each write.
func hotWriters(id int) []*hotWriter {
	key := func(kind string) string { return fmt.Sprintf("aiclient:hot:%s:%d", kind, id) }
	return []*hotWriter{
		{name: "INCR", write: func(c *redis.Client, _ int64) (int64, error) { return c.Incr(bg, key("string")).Result() }},
		{name: "HINCRBY", write: func(c *redis.Client, _ int64) (int64, error) { return c.HIncrBy(bg, key("hash"), "n", 1).Result() }},
		{name: "RPUSH", write: func(c *redis.Client, n int64) (int64, error) { return c.RPush(bg, key("list"), n).Result() }},
		{name: "ZINCRBY", write: func(c *redis.Client, _ int64) (int64, error) {
			f, err := c.ZIncrBy(bg, key("zset"), 1, "m").Result()
			return int64(f), err
		}},
		{name: "EVALSHA", write: func(c *redis.Client, _ int64) (int64, error) {
			return hotScript.Run(bg, c, []string{key("script"), key("scripted")}).Int64()
		}},
		{name: "MULTI", write: func(c *redis.Client, _ int64) (int64, error) {
			var a *redis.IntCmd
			_, err := c.TxPipelined(bg, func(tx redis.Pipeliner) error {
				a = tx.Incr(bg, key("unit"))
				tx.HSet(bg, key("unit:h"), "n", "x")
				return nil
			})
			if err != nil {
				return 0, err
			}
			return a.Result()
		}},
	}
}

// hotClient speaks RESP2 or RESP3 to the proxy.
func (r *running) hotClient(proto int) *redis.Client {
	return r.client(func(o *redis.Options) { o.Protocol, o.PoolSize = proto, 1 })
}

// A key that is written all the time from the start is held when Redis goes away.
func TestKeysWrittenAllTheTimeAreHeld(t *testing.T) {
	for _, after := range []time.Duration{100 * time.Millisecond, 300 * time.Millisecond, time.Second} {
		t.Run(after.String(), func(t *testing.T) {
			srv := redistest.Start(t)
			direct := directClient(t, srv)
			require.NoError(t, direct.Set(bg, "aiclient:hot:string:0", 0, 0).Err())
			l := newFaultLink(t, srv.Addr())
			p := startProxy(t, l.url())
			p.awaitMode(fallback.Online)
			h := hotWriters(0)[0]
			var stop atomic.Bool
			done := make(chan struct{})
			c := p.hotClient(2)
			go func() { defer close(done); h.run(c, &stop) }()
			time.Sleep(after)
			l.cut()
			p.awaitMode(fallback.Offline)
			time.Sleep(300 * time.Millisecond)
			l.mend()
			p.awaitMode(fallback.Online)
			stop.Store(true)
			<-done
			assert.Empty(t, h.errs)
			assert.Empty(t, h.wrong)
			assert.Equal(t, fmt.Sprint(h.n), direct.Get(bg, "aiclient:hot:string:0").Val())
		})
	}
}

// The same on a link that flaps from the start, with every kind of write, by clients
// of both protocols.
func TestKeysWrittenAllTheTimeAreHeldOnALinkThatFlaps(t *testing.T) {
	srv := redistest.Start(t)
	direct := directClient(t, srv)
	l := newFaultLink(t, srv.Addr())
	p := startProxy(t, l.url())
	p.awaitMode(fallback.Online)
	var writers []*hotWriter
	for id := range 2 {
		writers = append(writers, hotWriters(id)...)
	}
	var stop atomic.Bool
	var busy sync.WaitGroup
	for i, h := range writers {
		c := p.hotClient(2 + i%2)
		busy.Go(func() { h.run(c, &stop) })
	}
	seed := time.Now().UnixNano()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewSource(seed))
	nap := func() { time.Sleep(50*time.Millisecond + time.Duration(r.Intn(750))*time.Millisecond) }
	time.Sleep(100 * time.Millisecond)
	for end := time.Now().Add(8 * time.Second); time.Now().Before(end); {
		switch r.Intn(3) {
		case 0:
			l.cut()
		case 1:
			l.silent("upstream")
		case 2:
			l.silent("downstream") // what arrives is executed, and the replies are lost
		}
		nap()
		l.heal()
		nap()
	}
	p.awaitMode(fallback.Online)
	stop.Store(true)
	busy.Wait()
	redistest.Eventually(t, patience, "everything replayed", func() bool {
		st := p.st.store.Status()
		return st.Mode == "online" && st.QueuedWrites == 0
	})
	for i, h := range writers {
		assert.Empty(t, h.errs, "%s of %d", h.name, i)
		assert.Empty(t, h.wrong, "%s of %d", h.name, i)
		t.Logf("%s of %d: %d acknowledged, %d refused before the first", h.name, i, h.acked, h.early)
	}
	for id := range 2 {
		w := writers[id*len(writers)/2:]
		key := func(kind string) string { return fmt.Sprintf("aiclient:hot:%s:%d", kind, id) }
		at := func(n int64) string { return fmt.Sprint(n) }
		assert.Equal(t, at(w[0].n), direct.Get(bg, key("string")).Val())
		assert.Equal(t, at(w[1].n), direct.HGet(bg, key("hash"), "n").Val())
		assert.Equal(t, w[2].n, direct.LLen(bg, key("list")).Val())
		assert.EqualValues(t, w[3].n, direct.ZScore(bg, key("zset"), "m").Val())
		assert.Equal(t, at(w[4].n), direct.Get(bg, key("scripted")).Val())
		assert.Equal(t, at(w[5].n), direct.Get(bg, key("unit")).Val())
	}
}
