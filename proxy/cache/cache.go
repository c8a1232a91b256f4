// Package cache is the proxy's coherent reply cache: raw reply bytes of reads,
// by database, key, protocol and exact command, bounded by bytes. Its promise:
// a hit is never older than the newest invalidation the cache was told of, nor
// than the newest local write to the key that has ended. DESIGN.md says why.
package cache

import (
	"bytes"
	"hash/maphash"
	"math"
	"sync/atomic"
	"time"
)

const (
	defaultShards      = 20 // the maps of equal shards double at the same count: at a million keys 20 are 3/4 full, 16 would have just doubled
	minShardBytes      = 1 << 20
	defaultNeverKeys   = 65536
	defaultFillTimeout = 5 * time.Second

	tickShift = 26 // a tick is 2^26 ns, about 67 ms; ticks last nine years
	noExpiry  = math.MaxUint32
)

// Config bounds the cache. Only MaxBytes has to be set.
type Config struct {
	MaxBytes int64         // memory of all entries, overhead included; 0: nothing is stored
	MaxAge   time.Duration // entries die at this age at the latest; 0: no limit
	// Shards is the number of independently locked parts; each holds replies of
	// up to a quarter of its share of MaxBytes. 0: one for each MiB, up to 20.
	Shards  int
	NoCache [][]byte // key prefixes that are never stored
	// NeverKeys is how many keys NeverCache remembers; 0: 65536.
	NeverKeys int
	// FillTimeout is the age at which nobody joins a read any more, as its
	// leader must have been lost; 0: 5 s.
	FillTimeout time.Duration
	Now         func() int64 // monotonic nanoseconds; nil: the process clock
	Order       Order        // nil: none is kept between different commands on one key
}

// Stats is a snapshot; counters never go back.
type Stats struct {
	Entries       int64  // replies held
	Bytes         int64  // memory they take, overhead included
	Flat          int64  // of these, memory that the garbage collector does not look into
	Hits          uint64 // Gets answered
	Misses        uint64 // Gets not answered
	Fills         uint64 // replies stored
	Rejected      uint64 // cacheable replies not stored: overtaken by an invalidation or write, or too large
	Invalidations uint64 // key names invalidated from outside, and drops of everything
	Evictions     uint64 // replies dropped for room
}

// Cache is safe for concurrent use.
type Cache struct {
	cfg    Config
	seed   maphash.Seed
	start  int64
	shards []*shard
	gen    atomic.Uint64
}

// New makes an empty cache.
func New(cfg Config) *Cache {
	if cfg.Shards <= 0 {
		cfg.Shards = int(min(max(cfg.MaxBytes/minShardBytes, 1), defaultShards))
	}
	if cfg.NeverKeys <= 0 {
		cfg.NeverKeys = defaultNeverKeys
	}
	if cfg.FillTimeout <= 0 {
		cfg.FillTimeout = defaultFillTimeout
	}
	if cfg.Now == nil {
		base := time.Now()
		cfg.Now = func() int64 { return int64(time.Since(base)) }
	}
	c := &Cache{cfg: cfg, seed: maphash.MakeSeed(), start: cfg.Now()}
	for range cfg.Shards {
		c.shards = append(c.shards, newShard(c, cfg.MaxBytes/int64(cfg.Shards), cfg.NeverKeys/cfg.Shards))
	}
	return c
}

// tick is the time in the unit of record expiry.
func (c *Cache) tick() uint32 { return c.tickAt(c.cfg.Now()) }

func (c *Cache) tickAt(ns int64) uint32 {
	return uint32(min(max(ns-c.start, 0)>>tickShift, noExpiry-1))
}

func (c *Cache) hash(key []byte) uint64 { return maphash.Bytes(c.seed, key) }

// shardOf uses the half of the hash that the shard's own index does not.
func (c *Cache) shardOf(hash uint64) *shard { return c.shards[(hash>>32)%uint64(len(c.shards))] }

// Get appends the cached reply to dst. cmd identifies the exact command, in any
// unambiguous form: its RESP bytes with the name in one case, for instance. It
// does not allocate when dst has room and cmd is short. after > 0 with a hit: some
// client was told of the key by another reply, which may be newer. Ask again once
// a look that began after this call has passed: a hit is good then, whatever after is.
func (c *Cache) Get(dst []byte, db int, key []byte, proto int, cmd []byte) (_ []byte, hit bool, after uint64) {
	var buf [192]byte
	id := appendIdentity(buf[:0], db, key, proto, cmd)
	hash := c.hash(key)
	s := c.shardOf(hash)
	s.mu.Lock()
	dst, hit = s.get(dst, hash, id)
	if hit {
		after = s.behind(hash)
	}
	s.mu.Unlock()
	return dst, hit, after
}

// Invalidate drops the replies of the keys in all databases, as tracking pushes
// carry no database; nil drops everything.
func (c *Cache) Invalidate(keys [][]byte) {
	if keys == nil {
		c.dropAll(func(s *shard) { s.invalidations++ })
		return
	}
	for _, key := range keys {
		c.locked(key, func(s *shard, hash uint64) {
			s.invalidations++
			s.dropKey(hash, key)
		})
	}
}

// NextGeneration drops everything, as nothing is known to be coherent any more;
// replies to reads begun before it are not stored.
func (c *Cache) NextGeneration() {
	c.gen.Add(1)
	c.dropAll(func(*shard) {})
}

func (c *Cache) dropAll(also func(*shard)) {
	for _, s := range c.shards {
		s.mu.Lock()
		s.dropAll()
		also(s)
		s.mu.Unlock()
	}
}

// WriteBegin is called before a local write to key is sent. Until the matching
// WriteEnd the key has no hits, and no read begun then is stored. By key name:
// db does not narrow it. Several writes may be on the way at a time.
func (c *Cache) WriteBegin(_ int, key []byte) {
	if !c.Cacheable(key) {
		return // nothing is ever stored of it, and it may be written all the time
	}
	c.locked(key, func(s *shard, hash uint64) {
		s.dropKey(hash, key)
		s.state(hash).writers++
	})
}

// WriteEnd is called once the write has its outcome, before the client gets it.
func (c *Cache) WriteEnd(_ int, key []byte) {
	if !c.Cacheable(key) {
		return
	}
	c.locked(key, func(s *shard, hash uint64) {
		if st := s.inflight[hash]; st != nil && st.writers > 0 {
			st.writers--
		}
		s.dropKey(hash, key)
	})
}

// FlushBegin is WriteBegin for a write to all keys (FLUSHALL, SWAPDB, or one
// whose keys are not known).
func (c *Cache) FlushBegin() { c.dropAll(func(s *shard) { s.flushing++ }) }

// FlushEnd ends FlushBegin.
func (c *Cache) FlushEnd() { c.dropAll(func(s *shard) { s.flushing = max(s.flushing-1, 0) }) }

// NeverCache keeps a key (a lock) out of the cache, until NeverKeys others were
// named or read since. By key name: db does not narrow it.
func (c *Cache) NeverCache(_ int, key []byte) {
	c.locked(key, func(s *shard, hash uint64) {
		s.never.Add(hash, struct{}{})
		s.dropKey(hash, key)
	})
}

func (c *Cache) locked(key []byte, fn func(s *shard, hash uint64)) {
	hash := c.hash(key)
	s := c.shardOf(hash)
	s.mu.Lock()
	defer s.mu.Unlock()
	fn(s, hash)
}

// Purge drops the replies of all keys with the prefix (empty: of all) and
// returns how many there were. It looks at every entry.
func (c *Cache) Purge(prefix []byte) int {
	n := 0
	for _, s := range c.shards {
		s.mu.Lock()
		for _, g := range s.lru.Keys() {
			slot, _ := s.lru.Peek(g)
			n += s.filter(g, slot, func(rec []byte) bool { return !bytes.HasPrefix(keyOf(identityOf(rec)), prefix) })
		}
		for _, st := range s.inflight {
			st.kill(prefix)
		}
		s.mu.Unlock()
	}
	return n
}

// Stats adds up the shards, one after the other.
func (c *Cache) Stats() Stats {
	var t Stats
	for _, s := range c.shards {
		s.mu.Lock()
		t.Entries += s.entries
		t.Bytes += s.bytes()
		t.Flat += s.arena.size
		t.Hits += s.hits
		t.Misses += s.misses
		t.Fills += s.fills
		t.Rejected += s.rejected
		t.Invalidations += s.invalidations
		t.Evictions += s.evictions
		s.mu.Unlock()
	}
	return t
}
