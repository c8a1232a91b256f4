package fallback

import (
	"context"
	"os"
	"testing"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"holdfast/fallback/datadir"
	"holdfast/fallback/deadletter"
	"holdfast/fallback/record"
)

// newRigClient is what NewClient was before the rig was made embedded.
func newRigClient(r *rig) func(db int) *redis.Client {
	return func(db int) *redis.Client {
		return redis.NewClient(&redis.Options{
			Addr: "127.0.0.1:1", DB: db, Protocol: 2, MaxRetries: -1, DisableIdentity: true, Dialer: r.wire.dial, ContextTimeoutEnabled: true,
		})
	}
}

func TestConflicts(t *testing.T) {
	for policy, want := range map[deadletter.Conflict][]any{
		deadletter.Ours:     {"101", "1", "2", "5", "7"},
		deadletter.Theirs:   {"100", "0", "2", "5", "7"},
		deadletter.ToLetter: {"100", "0", "2", "5", "7"},
	} {
		t.Run(string(policy), func(t *testing.T) {
			r := newRig(t, func(c *Config) { c.Conflict = policy })
			r.redis("MSET", "m:n", "1", "m:unit", "0", "m:calm", "1")
			r.redis("HSET", "m:h", "b", "2", "a", "1")
			r.redis("ZADD", "m:z", "0.1", "x")
			r.loaded()
			r.lost()
			r.do("INCR", "m:n")
			require.NoError(t, r.store.saveSnapshot())
			r.crash()
			r.do("INCR", "m:calm")
			r.unit("INCR m:unit", "INCRBY m:n 0")
			r.do("SET", "m:new", "5")
			r.do("SET", "unknown", "7")
			r.do("HSET", "m:h", "c", "3")
			r.do("ZADD", "m:z", "2", "y")
			r.redis("SET", "m:n", "100") // somebody else writes
			r.redis("SET", "unknown", "x")
			r.online()
			require.Equal(t, want, r.redis("MGET", "m:n", "m:unit", "m:calm", "m:new", "unknown"))
			require.EqualValues(t, 1, r.store.Status().Conflicts)
			var found, filed []deadletter.ConflictRecord
			require.NoError(t, deadletter.ReadConflicts(r.dir, func(c deadletter.ConflictRecord) error {
				if c.Key != nil {
					found = append(found, c)
				} else {
					filed = append(filed, c)
				}
				return nil
			}))
			require.Len(t, found, 1)
			require.Equal(t, "m:n", string(found[0].Key))
			require.Equal(t, words("SET", "m:n", "100"), found[0].Theirs[0])
			require.Equal(t, words("SET", "m:n", "2"), found[0].Ours[0])
			letters, err := deadletter.Read(r.dir)
			require.NoError(t, err)
			switch policy {
			case deadletter.Theirs:
				require.Len(t, filed, 2, "the unit follows its strictest key")
			case deadletter.ToLetter:
				require.Len(t, letters, 2)
			default:
				require.Empty(t, letters)
			}
		})
	}
}

func TestDigestsOfEqualValuesAreEqual(t *testing.T) {
	d := func(cmds ...[][]byte) record.Digest { got, _ := record.DigestOf(cmds); return got }
	require.Equal(t, d(words("HSET", "k", "a", "1", "b", "2")), d(words("HSET", "k", "b", "2"), words("HSET", "k", "a", "1")))
	require.Equal(t, d(words("ZADD", "k", "0.10000000000000001", "a")), d(words("ZADD", "k", "0.1", "a"), words("PEXPIREAT", "k", "9")))
	require.NotEqual(t, d(words("RPUSH", "k", "a", "b")), d(words("RPUSH", "k", "b", "a")))
	require.NotEqual(t, d(words("SADD", "k", "a")), d(words("RPUSH", "k", "a")))
	require.Equal(t, record.Digest{}, d())
}

// The file is looked through for a torn line once, and again after a failed write.
func TestConflictThatCannotBeWrittenLeavesNoTornLine(t *testing.T) {
	r := newRig(t)
	file := func(seq uint64) error {
		return r.store.fileConflict([]deadletter.ConflictRecord{{Seq: seq, Policy: deadletter.Theirs, Commands: [][][]byte{words("SET", "a", "1")}}})
	}
	require.NoError(t, file(1))
	path := datadir.Conflicts(r.dir)
	require.NoError(t, os.Rename(path, path+".moved"))
	require.NoError(t, os.Mkdir(path, 0o700))
	require.Error(t, file(2))
	require.NoError(t, os.Remove(path))
	require.NoError(t, os.Rename(path+".moved", path))
	appendTo(t, path, `{"seq":2,`)
	require.NoError(t, file(3))
	require.True(t, r.store.replay.conflictsWhole)
	found := conflictsOf(t, r)
	require.Len(t, found, 2)
	require.EqualValues(t, 3, found[1].Seq)
}

// The letters of a batch are one write: an fsync for each would hold the clients
// of a cut-over for seconds.
func TestLettersOfABatchAreWrittenAtOnce(t *testing.T) {
	r := newRig(t, func(c *Config) { c.Conflict = deadletter.ToLetter })
	r.redis("SET", "m:k", "1")
	r.loaded()
	r.lost()
	for range 100 {
		r.do("INCR", "m:k")
	}
	r.redis("SET", "m:k", "2")
	r.noLetters(func() { require.ErrorContains(t, r.connect(), "dead letter") })
	// One at a time, the first would have ended it.
	require.Equal(t, 100, r.store.Status().DeadLetters)
	r.online()
	require.True(t, r.store.filed.Has(1))
	letters, err := deadletter.Read(r.dir)
	require.NoError(t, err)
	require.Len(t, letters, 100)
	require.Equal(t, "2", r.redis("GET", "m:k"))
}

// A script that selects another database writes a key there: the one of the same name
// in its own is nothing to it.
func TestNoConflictWithTheSameNameElsewhere(t *testing.T) {
	r := newRig(t, func(c *Config) { c.Conflict = deadletter.Theirs })
	r.redis("SET", "m:k", "zero")
	_, err := r.direct.Pipelined(context.Background(), func(p redis.Pipeliner) error {
		p.Do(context.Background(), "SELECT", 1)
		p.Do(context.Background(), "SET", "m:k", "one")
		p.Do(context.Background(), "SELECT", 0)
		return nil
	})
	require.NoError(t, err)
	r.loaded()
	r.store.Read(1, []byte("m:k"))
	r.settle()
	r.lost()
	require.Equal(t, "$3\r\none\r\n", r.request(Request{DB: 1, Proto: 2, Commands: [][][]byte{words("GET", "m:k")}}))
	require.Equal(t, ":4\r\n", r.do("EVAL", "redis.call('SELECT', 1) return redis.call('APPEND', KEYS[1], '!')", "1", "m:k"))
	r.online()
	require.Zero(t, r.store.Status().Conflicts)
	require.Equal(t, "zero", r.redis("GET", "m:k"))
	require.Equal(t, "one!", r.redis("EVAL", "redis.call('SELECT', 1) return redis.call('GET', KEYS[1])", 1, "m:k"))
}
