package fallback

import (
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"holdfast/fallback/clock"
	"holdfast/fallback/deadletter"
	"holdfast/fallback/journal"
)

// Mode is what the store does at the moment. It serves commands in every mode
// but Online.
type Mode int32

// The modes, as status shows them.
const (
	Offline   Mode = iota // Redis is away: the mirror answers, writes are journaled
	Replaying             // Redis is back and is being brought up to date; commands are still answered locally
	Online                // Redis answers; the store only follows
	Embedded              // there is no Redis: the store is the database
)

func (m Mode) String() string {
	return [...]string{"offline", "replaying", "online", "embedded"}[m]
}

// Policy says what happens to commands on mirrored keys while Redis is away.
type Policy string

// The offline policies.
const (
	Speculative Policy = "speculative" // execute on the last known state, answer, journal
	Strict      Policy = "strict"      // refuse writes whose answer depends on state not held for certain
	ReadOnly    Policy = "readonly"    // answer reads, refuse writes
	Refuse      Policy = "refuse"      // refuse everything
)

// ParsePolicy checks an offline policy's name.
func ParsePolicy(name string) (Policy, error) {
	switch p := Policy(name); p {
	case Speculative, Strict, ReadOnly, Refuse:
		return p, nil
	}
	return "", fmt.Errorf("offline policy %q: use speculative, strict, readonly or refuse", name)
}

// Config sets up a Store. Dir is required; the zero value of the rest means the
// default that its comment names.
type Config struct {
	Dir            string              // data directory: journal, snapshot, dead letters; made when missing, 0700
	Embedded       bool                // there is no Redis behind the proxy
	Detach         bool                // Embedded: make the copy of a Redis a store of its own, which is refused otherwise
	Upstream       string              // the address of the Redis, without secrets: writes queued for another one are not sent to it; "" = not checked
	AdoptUpstream  bool                // send them all the same
	MirrorPrefixes []string            // key prefixes held completely
	MirrorBytes    int64               // bound of the working set beside the mirrored prefixes; 256 MiB
	JournalBytes   int64               // bound of the queued writes on disk; 1 GiB
	Policy         Policy              // Speculative
	Conflict       deadletter.Conflict // Ours; but when a store that was embedded gets a Redis, only a policy given here comes before the values there
	Retain         time.Duration       // how long replayed writes are kept, for a Redis that comes back without them; 60 s
	RetainBytes    int64               // and how many bytes of them; 64 MiB, at most a quarter of JournalBytes
	MaxStale       time.Duration       // how long after the outage began local data is served; 0 = no limit
	SnapshotEvery  time.Duration       // how often a changed state is saved; 30 s
	CompactBytes   int64               // embedded: journal size that makes a new snapshot; 64 MiB
	Logger         *slog.Logger

	// NewClient makes a client of the real Redis for mirror loads and replay, one
	// per database; nil when Embedded. It must not retry commands by itself.
	NewClient func(db int) *redis.Client
	// BaseDB is the database of the configured URL: the fence lives there and the
	// mirrored prefixes are loaded from it.
	BaseDB int
	// Now is the wall clock of this machine, which may be set at any time; time.Now
	// when nil.
	Now func() time.Time
	// Elapsed is the time since some moment, by a clock that nobody sets and that
	// goes on while the machine sleeps; the system's when nil.
	Elapsed  func() time.Duration
	diskFull func(bytes int) error // in tests: what the disk says to a write of conflicts
	fs       journal.FS            // of the journal, in tests
	handOver deadletter.Conflict   // Conflict, or Theirs when none was given
	look     func()                // of Elapsed's default: look for sleep now
}

func (c *Config) withDefaults() error {
	if c.Dir == "" {
		return fmt.Errorf("open store: data directory is empty: set --data-dir")
	}
	c.Dir = filepath.Clean(c.Dir)
	if c.MirrorBytes == 0 {
		c.MirrorBytes = 256 << 20
	}
	if c.JournalBytes == 0 {
		c.JournalBytes = 1 << 30
	}
	if c.Policy == "" {
		c.Policy = Speculative
	}
	if c.handOver = c.Conflict; c.Conflict == "" {
		c.Conflict, c.handOver = deadletter.Ours, deadletter.Theirs
	}
	if c.Retain == 0 {
		c.Retain = time.Minute
	}
	if c.RetainBytes == 0 {
		c.RetainBytes = 64 << 20
	}
	c.RetainBytes = min(c.RetainBytes, c.JournalBytes/4)
	if c.SnapshotEvery == 0 {
		c.SnapshotEvery = 30 * time.Second
	}
	if c.CompactBytes == 0 {
		c.CompactBytes = 64 << 20
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Elapsed == nil {
		c.Elapsed, c.look = clock.NewElapsed(clock.SleepSinceNow())
	}
	if !c.Embedded && c.NewClient == nil {
		return fmt.Errorf("open store: no Redis client given and not embedded")
	}
	return nil
}

// mirroredKey is mirrored without an allocation.
func (c *Config) mirroredKey(key []byte) bool {
	if len(key) >= len(ownPrefix) && string(key[:len(ownPrefix)]) == ownPrefix {
		return false
	}
	for _, p := range c.MirrorPrefixes {
		if len(key) >= len(p) && string(key[:len(p)]) == p {
			return true
		}
	}
	return false
}

// ownPrefix begins the keys that Holdfast keeps at Redis for itself. They are no part of
// what it holds of Redis: clients do not see them, and their values tell nothing offline.
const ownPrefix = "{holdfast}:"

// mirrored reports whether key is under one of the mirrored prefixes.
func (c *Config) mirrored(key string) bool {
	if strings.HasPrefix(key, ownPrefix) {
		return false
	}
	for _, p := range c.MirrorPrefixes {
		if strings.HasPrefix(key, p) {
			return true
		}
	}
	return false
}

// covered reports whether keys under the given prefixes include all that are to
// be mirrored now: the configuration may have changed since a snapshot.
func (c *Config) covered(prefixes [][]byte) bool {
	for _, want := range c.MirrorPrefixes {
		ok := false
		for _, p := range prefixes {
			ok = ok || strings.HasPrefix(want, string(p))
		}
		if !ok {
			return false
		}
	}
	return true
}
