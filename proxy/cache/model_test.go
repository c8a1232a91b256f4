package cache

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// model is a server with versioned keys and one cache before it, driven step by
// step. floor is the version that readers may demand: that of the newest
// delivered invalidation or ended local write.
type model struct {
	c        *Cache
	clk      *clock
	version  map[string]int   // what the server holds
	expiry   map[string]int64 // when the server drops it; 0: never
	floor    map[string]int
	pushes   []push
	writers  map[string]int
	reads    []*modelRead
	followed []follower
}

type push struct {
	key     string
	version int
}

type modelRead struct {
	f       Fill
	key     string
	began   int64
	sent    bool
	version int
	ttl     time.Duration
}

type follower struct {
	f     Fill
	key   string
	floor int
}

const modelFillTimeout = 4 * time.Second

var modelKeys = []string{"a", "b", "lock:x"}

func TestModel(t *testing.T) {
	// Stale reads need half a dozen steps in the right order; rapid's defaults miss them.
	for name, value := range map[string]string{"rapid.checks": "1000", "rapid.steps": "100"} {
		if f := flag.Lookup(name); f.Value.String() == f.DefValue {
			require.NoError(t, flag.Set(name, value))
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		clk := &clock{}
		m := &model{
			clk: clk, version: map[string]int{}, expiry: map[string]int64{}, floor: map[string]int{}, writers: map[string]int{},
			c: New(Config{MaxBytes: 16 << 10, Shards: 1, MaxAge: 10 * time.Second, FillTimeout: modelFillTimeout, NoCache: [][]byte{[]byte("lock:")}, Now: clk.now}),
		}
		key := rapid.SampledFrom(modelKeys)
		t.Repeat(map[string]func(*rapid.T){
			"get":        func(t *rapid.T) { m.get(t, key.Draw(t, "key")) },
			"begin":      func(t *rapid.T) { m.begin(t, key.Draw(t, "key")) },
			"send":       func(t *rapid.T) { m.send(t) },
			"done":       func(t *rapid.T) { m.done(t) },
			"wait":       func(t *rapid.T) { m.wait(t) },
			"foreign":    func(t *rapid.T) { m.foreignWrite(t, key.Draw(t, "key")) },
			"push":       func(t *rapid.T) { m.deliver() },
			"writeBegin": func(t *rapid.T) { m.writeBegin(key.Draw(t, "key")) },
			"writeEnd":   func(t *rapid.T) { m.writeEnd(key.Draw(t, "key")) },
			"generation": func(t *rapid.T) { m.dropped(); m.c.NextGeneration() },
			"null push":  func(t *rapid.T) { m.dropped(); m.c.Invalidate(nil) },
			"time": func(t *rapid.T) {
				clk.advance(time.Duration(rapid.IntRange(1, 6000).Draw(t, "ms")) * time.Millisecond)
			},
			"": func(t *rapid.T) { checkArenas(t, m.c); m.checkProgress(t) },
		})
	})
}

func (m *model) get(t *rapid.T, key string) {
	b, ok, _ := m.c.Get(nil, 0, []byte(key), 2, command("GET", key))
	if !ok {
		return
	}
	v := version(b)
	switch {
	case m.writers[key] > 0:
		t.Fatalf("hit on %s while a local write is on the way", key)
	case v < m.floor[key]:
		t.Fatalf("%s: got version %d, older than %d", key, v, m.floor[key])
	case strings.HasPrefix(key, "lock:"):
		t.Fatalf("%s was cached", key)
	case v == m.version[key] && m.expiry[key] > 0 && m.clk.ns >= m.expiry[key]:
		t.Fatalf("%s: served after it expired", key)
	}
}

func (m *model) begin(t *rapid.T, key string) {
	f, leader := m.c.Begin(0, []byte(key), 2, command("GET", key), false)
	if leader {
		m.leads(t, f, key)
		return
	}
	m.followed = append(m.followed, follower{f, key, m.floor[key]})
}

// leads notes a read that is to be sent: never a second one of a key, but for
// locks and where the first was given up.
func (m *model) leads(t *rapid.T, f Fill, key string) {
	for _, r := range m.reads {
		if r.key == key && m.clk.ns-r.began < int64(modelFillTimeout) && !strings.HasPrefix(key, "lock:") {
			t.Fatalf("%s: two reads on the way", key)
		}
	}
	m.reads = append(m.reads, &modelRead{f: f, key: key, began: m.clk.ns})
}

// checkProgress: whoever waits, waits for a read on the way, or has the turn.
func (m *model) checkProgress(t *rapid.T) {
	for _, fo := range m.followed {
		moving := len(fo.f.f.turn) > 0
		for _, r := range m.reads {
			moving = moving || r.key == fo.key
		}
		select {
		case <-fo.f.f.done:
		default:
			if !moving {
				t.Fatalf("%s: a reader waits for nothing", fo.key)
			}
		}
	}
}

// send is the moment at which the server executes a read.
func (m *model) send(t *rapid.T) {
	if r := m.pick(t); r != nil && !r.sent {
		r.sent, r.version, r.ttl = true, m.version[r.key], -1
		if e := m.expiry[r.key]; e > 0 {
			r.ttl = time.Duration(max(e-m.clk.ns, 0))
		}
	}
}

func (m *model) done(t *rapid.T) {
	r := m.pick(t)
	if r == nil {
		return
	}
	if r.sent {
		r.f.Done(bulk(fmt.Sprint(r.version)+strings.Repeat(" ", 1500)), r.ttl, true)
	} else {
		r.f.Fail(nil)
	}
	for i, x := range m.reads {
		if x == r {
			m.reads = append(m.reads[:i], m.reads[i+1:]...)
			break
		}
	}
}

func (m *model) pick(t *rapid.T) *modelRead {
	if len(m.reads) == 0 {
		return nil
	}
	return m.reads[rapid.IntRange(0, len(m.reads)-1).Draw(t, "read")]
}

// wait lets every follower look whether it is answered, or is to lead. The test
// draws who is first.
func (m *model) wait(t *rapid.T) {
	if len(m.followed) == 0 {
		return
	}
	first := rapid.IntRange(0, len(m.followed)-1).Draw(t, "first")
	rest := m.followed[:0:0]
	for _, fo := range append(m.followed[first:], m.followed[:first]...) {
		if fo.f.TryLead() {
			m.leads(t, fo.f, fo.key)
			continue
		}
		select {
		case <-fo.f.f.done:
		default:
			if rapid.IntRange(0, 9).Draw(t, "patience") == 0 {
				_, _ = fo.f.Wait(time.Now())
				continue
			}
			rest = append(rest, fo)
			continue
		}
		if b, how := fo.f.Wait(time.Now().Add(time.Minute)); how == Answered && version(b) < fo.floor {
			t.Fatalf("%s: follower got version %d, older than %d when it came", fo.key, version(b), fo.floor)
		}
	}
	m.followed = rest
}

func (m *model) write(key string) {
	m.version[key]++
	m.expiry[key] = 0
	m.pushes = append(m.pushes, push{key, m.version[key]})
}

func (m *model) foreignWrite(t *rapid.T, key string) {
	m.write(key)
	if ttl := rapid.IntRange(0, 8000).Draw(t, "ttl"); ttl > 4000 {
		m.expiry[key] = m.clk.ns + int64(ttl)*int64(time.Millisecond)
	}
}

func (m *model) deliver() {
	if len(m.pushes) == 0 {
		return
	}
	p := m.pushes[0]
	m.pushes = m.pushes[1:]
	m.c.Invalidate([][]byte{[]byte(p.key)})
	m.floor[p.key] = max(m.floor[p.key], p.version)
}

func (m *model) writeBegin(key string) {
	m.c.WriteBegin(0, []byte(key))
	m.writers[key]++
}

func (m *model) writeEnd(key string) {
	if m.writers[key] == 0 {
		return
	}
	m.write(key)
	m.writers[key]--
	m.c.WriteEnd(0, []byte(key))
	m.floor[key] = m.version[key]
}

func (m *model) dropped() {
	for _, key := range modelKeys {
		m.floor[key] = m.version[key]
	}
}

func version(reply []byte) int {
	v, err := strconv.Atoi(strings.TrimSpace(strings.SplitN(string(reply), "\r\n", 3)[1]))
	if err != nil {
		return -1
	}
	return v
}

// TestConcurrentReadersSeeNothingOld runs readers, a foreign writer with late
// pushes, and local writers against one atomic register for each key.
func TestConcurrentReadersSeeNothingOld(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	const keys, rounds = 4, 4000
	c := New(Config{MaxBytes: 1 << 20, Shards: 2})
	var value, floor [keys]atomic.Int64
	var local [keys]sync.Mutex // one writer of a key at a time, so that floor only rises
	var wg sync.WaitGroup
	run := func(n uint64, step func(rng *rand.Rand, k int, key, cmd []byte)) {
		wg.Go(func() {
			rng := rand.New(rand.NewPCG(seed, n))
			for range rounds {
				k := rng.IntN(keys)
				name := fmt.Sprintf("key%d", k)
				step(rng, k, []byte(name), command("GET", name))
			}
		})
	}
	var flying [keys]atomic.Int64
	read := func(rng *rand.Rand, k int, key, cmd []byte) {
		low := floor[k].Load()
		b, ok, _ := c.Get(nil, 0, key, 2, cmd)
		if !ok {
			f, leader := c.Begin(0, key, 2, cmd, false)
			if !leader {
				var how Outcome
				b, how = f.Wait(time.Now().Add(time.Minute))
				leader, ok = how == Leads, how == Answered
			}
			if leader {
				if n := flying[k].Add(1); n > 1 {
					t.Errorf("key %d: %d reads on the way", k, n)
				}
				b, ok = bulk(fmt.Sprint(value[k].Load())), true
				if rng.IntN(4) == 0 {
					runtime.Gosched()
				}
				flying[k].Add(-1)
				f.Done(b, -1, true)
			}
		}
		if v := int64(version(b)); ok && v < low {
			t.Errorf("key %d: got %d, older than %d", k, v, low)
		}
	}
	for n := range uint64(4) {
		run(n, read)
	}
	run(10, func(_ *rand.Rand, k int, key, _ []byte) { // local
		local[k].Lock()
		defer local[k].Unlock()
		c.WriteBegin(0, key)
		v := value[k].Add(1)
		c.WriteEnd(0, key)
		floor[k].Store(v)
	})
	run(11, func(rng *rand.Rand, k int, key, _ []byte) { // foreign
		local[k].Lock()
		defer local[k].Unlock()
		v := value[k].Add(1)
		if rng.IntN(100) == 0 {
			c.NextGeneration()
		} else {
			c.Invalidate([][]byte{key})
		}
		floor[k].Store(v)
	})
	run(12, func(rng *rand.Rand, _ int, key, _ []byte) {
		switch rng.IntN(200) {
		case 0:
			c.Purge([]byte("key"))
		case 1:
			c.Invalidate(nil)
		case 2:
			_ = c.Stats()
		}
	})
	wg.Wait()
	checkArenas(t, c)
	for _, s := range c.shards {
		require.Empty(t, s.inflight)
	}
}
