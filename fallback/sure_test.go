package fallback

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"holdfast/backend/redistest"
	"holdfast/fallback/deadletter"
	"holdfast/fallback/record"
)

func conflictsOf(t *testing.T, r *rig) (out []deadletter.ConflictRecord) {
	t.Helper()
	require.NoError(t, deadletter.ReadConflicts(r.dir, func(c deadletter.ConflictRecord) error { out = append(out, c); return nil }))
	return out
}

// A killed process starts again without Redis, from a snapshot that is older than
// its last acknowledged writes. These are not somebody else's: nothing that is
// queued now may be dropped for them.
func TestColdStartTakesNoWriteOfOursForForeign(t *testing.T) {
	for _, policy := range []deadletter.Conflict{deadletter.Ours, deadletter.Theirs, deadletter.ToLetter} {
		t.Run(string(policy), func(t *testing.T) {
			r := newRig(t, func(c *Config) { c.Conflict = policy })
			for i := range 20 {
				r.redis("SET", fmt.Sprint("m:", i), "1")
			}
			r.loaded()
			require.NoError(t, r.store.saveSnapshot())
			for i := range 20 {
				r.via("INCRBY", fmt.Sprint("m:", i), "10")
			}
			r.crash()
			for i := range 20 {
				r.do("INCR", fmt.Sprint("m:", i))
			}
			r.online()
			for i := range 20 {
				require.Equal(t, "12", r.redis("GET", fmt.Sprint("m:", i)))
			}
			require.Zero(t, r.store.Status().Conflicts, "nobody else wrote")
			require.Zero(t, r.store.Status().DeadLetters)
			found := conflictsOf(t, r)
			require.Len(t, found, 20, "what could not be told is recorded")
			require.True(t, found[0].Unsure)
			require.Equal(t, deadletter.Ours, found[0].Policy)
		})
	}
}

// A snapshot made in the outage is what was last seen of Redis, until an answer
// of Redis comes in after it or service goes back to Redis.
func TestWhichSnapshotsTellForeignWrites(t *testing.T) {
	for name, c := range map[string]struct {
		then   func(*rig)
		unsure bool
	}{
		"made in the outage": {func(*rig) {}, false},
		"and opened twice":   {(*rig).crash, false},
		"an answer came in": {func(r *rig) {
			r.store.Sending(0, []byte("m:x"))
			r.store.Acked(0, [][][]byte{words("SET", "m:x", "1")}, []byte("+OK\r\n"), false)
			r.store.Sent(0, []byte("m:x"))
		}, true},
		"a write is unknown":  {func(r *rig) { r.store.Unsure(0, []byte("m:x"), r.store.Takeovers()) }, true},
		"online again":        {func(r *rig) { r.online() }, true},
		"closed while online": {func(r *rig) { r.loaded(); r.lost(); r.close(); r.open() }, false},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, func(c *Config) { c.Conflict = deadletter.Theirs })
			r.redis("SET", "m:k", "1")
			r.loaded()
			r.lost()
			r.stop() // or it saves another one
			r.stop = nil
			require.NoError(t, r.store.saveSnapshot())
			c.then(r)
			r.crash()
			r.do("INCR", "m:k")
			r.redis("SET", "m:k", "100")
			r.online()
			want := "100"
			if c.unsure {
				want = "101"
			}
			require.Equal(t, want, r.redis("GET", "m:k"))
			require.Equal(t, c.unsure, conflictsOf(t, r)[0].Unsure)
		})
	}
}

// A write that nobody knows the outcome of is at Redis after all: a later one of
// ours does not give way to it. Another server may lack our acknowledged writes.
func TestWhatElseMayBeOurs(t *testing.T) {
	t.Run("unknown outcome", func(t *testing.T) {
		r := newRig(t, func(c *Config) { c.Conflict = deadletter.Theirs })
		r.redis("SET", "m:k", "1")
		r.loaded()
		r.redis("INCR", "m:k") // sent, and the answer lost
		r.lost()
		r.store.Unsure(0, []byte("m:k"), r.store.Takeovers())
		r.do("INCR", "m:k")
		r.online()
		require.Equal(t, "3", r.redis("GET", "m:k"))
		require.Empty(t, conflictsOf(t, r))
	})
	t.Run("another server", func(t *testing.T) {
		r := newRig(t, func(c *Config) { c.Conflict = deadletter.Theirs })
		r.redis("SET", "m:k", "1")
		r.loaded()
		r.still() // no beat comes after the write
		r.via("SET", "m:k", "5")
		r.lost()
		r.do("INCR", "m:k")
		r.redis("SET", "m:k", "1") // what a replica without the tail has
		require.NoError(t, r.store.Connected(t.Context(), Server{RunID: "promoted"}))
		require.Equal(t, "2", r.redis("GET", "m:k"))
		require.True(t, conflictsOf(t, r)[0].Unsure)
	})
}

// A replay that is interrupted again and again files and counts each thing once.
func TestFilingIsIdempotent(t *testing.T) {
	r := newRigOn(t, redistest.Start(t, "--rename-command", "APPEND", ""), func(c *Config) { c.Conflict = deadletter.ToLetter })
	r.redis("MSET", "m:k", "1", "m:fine", "1")
	r.loaded()
	r.lost()
	r.do("INCR", "m:k")
	r.do("APPEND", "m:fine", "2")
	r.do("INCR", "m:n")
	r.redis("SET", "m:k", "100")
	m := r.store.mark()
	finished := false
	for at := int64(0); !finished; at += 101 {
		r.wire.limit("close", -1, at)
		finished = r.connect() == nil
		r.lost()
		if at%2 == 0 {
			r.crash()
		}
		r.wire.heal()
	}
	require.Equal(t, []any{"100", "1", "1"}, r.redis("MGET", "m:k", "m:fine", "m:n"))
	letters, err := deadletter.Read(r.dir)
	require.NoError(t, err)
	require.Len(t, letters, 2)
	require.Len(t, conflictsOf(t, r), 1)
	// A replica that lacks all of it takes over: what was filed stays filed, also
	// when the letters were set aside.
	r.close()
	_, n, err := deadletter.Drop(r.dir)
	require.NoError(t, err)
	require.Equal(t, 2, n)
	r.open()
	r.redis("MSET", "m:k", "1", "m:fine", "1", r.fence(), m.Settled)
	r.redis("DEL", "m:n")
	r.online()
	require.Equal(t, []any{"1", "1", "1"}, r.redis("MGET", "m:k", "m:fine", "m:n"))
	require.Zero(t, r.store.Status().DeadLetters)
}

// The numbers of another journal in the same directory do not hide a write.
func TestLettersOfAnotherJournalHideNothing(t *testing.T) {
	r := newRig(t)
	r.do("SET", "a", "1")
	stream := r.store.StreamID()
	r.store.filed.Stream = "other"
	r.store.dead.Add(record.Record{Seq: 1, Commands: [][][]byte{words("SET", "a", "0")}}, "test", r.store.cfg.Now())
	require.NoError(t, r.store.dead.Flush())
	r.store.filed.Stream = stream
	r.crash()
	r.online()
	require.Equal(t, "1", r.redis("GET", "a"))
	require.Equal(t, 1, r.store.Status().DeadLetters)
}

// A batch was executed and its replies, one of them an error, were lost. The
// write that failed is on record, for its key was seen to be changed before.
func TestErrorsInLostRepliesAreOnRecord(t *testing.T) {
	r := newRig(t)
	r.redis("SET", "m:k", "1")
	r.loaded()
	r.lost()
	r.do("INCR", "m:k")
	r.do("INCR", "m:n")
	r.redis("DEL", "m:k")
	r.redis("RPUSH", "m:k", "x")
	executed := false
	for at := int64(0); !executed; at += 7 {
		r.wire.limit("close", -1, at)
		require.Error(t, r.connect())
		r.lost()
		r.wire.heal()
		executed = r.redis("GET", r.fence()) == "2"
	}
	r.crash()
	r.online()
	require.Equal(t, "1", r.redis("GET", "m:n"))
	found := conflictsOf(t, r)
	require.True(t, found[len(found)-1].NoReply)
	require.Equal(t, words("INCR", "m:k"), found[len(found)-1].Commands[0])
	for _, c := range found[:len(found)-1] {
		require.NotNil(t, c.Key)
	}
}
