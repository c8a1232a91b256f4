package fallback

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"holdfast/fallback/datadir"
	"holdfast/fallback/deadletter"
	"holdfast/fallback/fetch"
	"holdfast/fallback/journal"
	"holdfast/fallback/record"
)

// setBack puts an earlier copy of the journal in the place of the present one; none: it is gone.
func (r *rig) setBack(copied string) {
	r.t.Helper()
	require.NoError(r.t, os.RemoveAll(datadir.Journal(r.dir)))
	if copied != "" {
		require.NoError(r.t, os.CopyFS(datadir.Journal(r.dir), os.DirFS(copied)))
	}
}

func (r *rig) copyJournal() string {
	r.t.Helper()
	to := filepath.Join(r.t.TempDir(), "journal")
	require.NoError(r.t, r.store.jr.Sync())
	require.NoError(r.t, os.CopyFS(to, os.DirFS(datadir.Journal(r.dir))))
	return to
}

// What is acknowledged after the journal was replaced or set back is not taken for
// the writes of the same numbers that the snapshot has.
func TestNothingIsLostBehindASnapshotNewerThanTheJournal(t *testing.T) {
	for _, replaced := range []bool{true, false} {
		r := newRig(t, embedded)
		r.do("INCR", "n")
		old := r.copyJournal()
		for range 4 {
			r.do("INCR", "n")
		}
		r.close()
		if replaced {
			old = ""
		}
		r.setBack(old)
		r.open()
		require.Equal(t, ":6\r\n", r.do("INCR", "n"))
		r.crash()
		require.Equal(t, ":7\r\n", r.do("INCR", "n"))
		require.NoError(t, r.store.saveSnapshot())
		r.crash()
		require.Equal(t, "$1\r\n7\r\n", r.do("GET", "n"))
		_, err := journal.Verify(datadir.Journal(r.dir))
		require.NoError(t, err)
		r.close()
	}
}

// A snapshot that is older than what the journal has forgotten, or none, is not
// taken for all there was. What the error names as the way on is one.
func TestSnapshotOlderThanTheJournalIsRefused(t *testing.T) {
	for _, old := range []bool{true, false} {
		r := newRig(t, embedded)
		r.do("SET", "k", "kept")
		require.NoError(t, r.store.saveSnapshot())
		older, err := os.ReadFile(datadir.Snapshot(r.dir))
		require.NoError(t, err)
		r.do("INCR", "n")
		require.NoError(t, r.store.saveSnapshot())
		r.do("INCR", "n")
		r.close()
		newer, err := os.ReadFile(datadir.Snapshot(r.dir))
		require.NoError(t, err)
		require.NoError(t, os.Remove(datadir.Snapshot(r.dir)))
		if old {
			require.NoError(t, os.WriteFile(datadir.Snapshot(r.dir), older, 0o600))
		}
		for _, c := range []Config{r.cfg, {Dir: r.dir, NewClient: newRigClient(r)}} {
			_, err = Open(c)
			require.ErrorContains(t, err, "move "+datadir.Journal(r.dir)+" away")
		}
		require.NoError(t, os.Rename(datadir.Journal(r.dir), r.dir+"/journal.away"))
		r.open()
		require.Equal(t, "$-1\r\n", r.do("GET", "n"))
		require.Equal(t, old, r.do("GET", "k") == "$4\r\nkept\r\n")
		r.close()
		require.NoError(t, os.RemoveAll(datadir.Journal(r.dir)))
		require.NoError(t, os.Rename(r.dir+"/journal.away", datadir.Journal(r.dir)))
		require.NoError(t, os.WriteFile(datadir.Snapshot(r.dir), newer, 0o600))
		r.open()
		require.Equal(t, "$1\r\n2\r\n", r.do("GET", "n"), "and so is putting it back")
		r.close()
	}
}

// With a Redis, its fence, the mark and the dead letters know the numbers, too.
func TestNothingIsLostBehindAMarkNewerThanTheJournal(t *testing.T) {
	for name, gone := range map[string]func(r *rig){
		"snapshot there": func(*rig) {},
		"mark only":      func(r *rig) { require.NoError(t, os.Remove(datadir.Snapshot(r.dir))) },
		"dead letters only": func(r *rig) {
			require.NoError(t, os.Remove(datadir.Snapshot(r.dir)))
			require.NoError(t, os.Remove(datadir.Mark(r.dir)))
		},
	} {
		for _, replaced := range []bool{true, false} {
			t.Run(name, func(t *testing.T) {
				if replaced && name == "dead letters only" {
					t.Skip("those of another journal: nothing has used its numbers")
				}
				r := newRig(t)
				old := r.copyJournal()
				r.loaded()
				r.lost()
				for range 4 {
					r.do("INCR", "m:n")
				}
				r.do("SET", "m:bad", "no number")
				r.redis("SET", "m:n", "0")
				r.do("INCR", "m:other")
				r.redis("RPUSH", "m:other", "a list") // fails there: a dead letter
				r.online()
				require.Equal(t, 1, r.store.Status().DeadLetters)
				r.lost()
				r.close()
				if replaced {
					old = ""
				}
				r.setBack(old)
				gone(r)
				_, err := deadletter.RetryDeadLetters(r.dir)
				require.ErrorContains(t, err, "older than the rest", "it would give used numbers")
				r.open()
				for range 3 {
					r.do("SET", "m:n", "100")
				}
				for _, key := range []string{"m:a", "m:b", "m:c", "m:d", "m:e"} {
					r.do("SET", key, "1")
				}
				require.EqualValues(t, 8, r.store.Status().QueuedWrites)
				r.crash()
				require.EqualValues(t, 8, r.store.Status().QueuedWrites)
				require.Equal(t, "$3\r\n100\r\n", r.do("GET", "m:n"))
				r.online()
				require.Equal(t, []any{"100", "1", "1", "1", "1", "1"}, r.redis("MGET", "m:n", "m:a", "m:b", "m:c", "m:d", "m:e"))
				require.Zero(t, r.store.Status().QueuedWrites)
			})
		}
	}
}

// A repair leaves a gap in the numbers: what waits is counted by record.
func TestQueuedWritesAreCountedAcrossTheGapOfARepair(t *testing.T) {
	r := newRig(t)
	for i := range 9 {
		r.do("SET", fmt.Sprint("m:", i), "1")
	}
	r.close()
	segment := filepath.Join(datadir.Journal(r.dir), "00000000000000000001.seg")
	raw, err := os.ReadFile(segment)
	require.NoError(t, err)
	raw[len(raw)/2] ^= 1
	require.NoError(t, os.WriteFile(segment, raw, 0o600))
	_, err = journal.Repair(datadir.Journal(r.dir))
	require.NoError(t, err)
	r.open()
	require.EqualValues(t, 8, r.store.Status().QueuedWrites)
	r.do("SET", "m:9", "1")
	require.EqualValues(t, 9, r.store.Status().QueuedWrites)
	r.online()
	require.Zero(t, r.store.Status().QueuedWrites)
	require.EqualValues(t, 9+1, r.redis("DBSIZE"), "and the fence")
}

// A batch that Redis refused never ran: who makes room by wiping everything, even
// the fence, does not make it ambiguous.
func TestRefusedBatchCountsAsNeverSent(t *testing.T) {
	r := newRig(t)
	r.do("SET", "first", "0")
	r.online()
	r.lost()
	r.do("SET", "a", "1")
	r.redis("CONFIG", "SET", "maxmemory", "1")
	require.ErrorContains(t, r.connect(), "OOM")
	r.crash()
	r.redis("CONFIG", "SET", "maxmemory", "0")
	r.redis("FLUSHALL")
	r.online()
	require.Equal(t, "1", r.redis("GET", "a"))
	require.Zero(t, r.store.Status().DeadLetters)
}

// The same where somebody wiped Redis just before the batch came: EXEC ran nothing.
func TestGuardedBatchCountsAsNeverSent(t *testing.T) {
	r := newRig(t)
	r.do("SET", "first", "0")
	r.online()
	r.lost()
	r.do("SET", "a", "1")
	ctx := context.Background()
	client := r.cfg.NewClient(0)
	defer client.Close()
	conn := client.Conn()
	defer conn.Close()
	p := &replayer{s: r.store, conn: conn, src: fetch.New(r.cfg.NewClient)}
	require.NoError(t, p.takeOver(ctx))
	r.redis("FLUSHALL")
	require.ErrorIs(t, p.run(ctx), errGuard)
	r.online()
	require.Equal(t, "1", r.redis("GET", "a"))
	require.Zero(t, r.store.Status().DeadLetters)
}

// asUser makes the store's connections those of a user who may do all but something.
func (r *rig) asUser(but string) {
	r.redis("ACL", "SETUSER", "app", "on", ">pw", "~*", "+@all", but)
	plain := r.cfg.NewClient
	r.cfg.NewClient = func(db int) *redis.Client {
		o := *plain(db).Options()
		o.Username, o.Password = "app", "pw"
		return redis.NewClient(&o)
	}
	r.store.cfg.NewClient = r.cfg.NewClient
}

// Without MULTI the commands of a batch would be executed one by one, fence and all.
func TestUserWithoutMULTIWaits(t *testing.T) {
	r := newRig(t)
	r.asUser("+multi")
	r.redis("RPUSH", "other", "x")
	r.online()
	r.lost()
	r.do("SET", "n", "1")
	_, err := r.store.jr.Append(record.Append(nil, record.Record{Commands: [][][]byte{words("INCR", "other")}}))
	require.NoError(t, err)
	r.do("INCR", "n")
	r.redis("ACL", "SETUSER", "app", "-multi")
	require.ErrorContains(t, r.connect(), "NOPERM")
	require.Nil(t, r.redis("GET", "n"), "nothing ran")
	r.redis("ACL", "SETUSER", "app", "+multi")
	r.online()
	require.Equal(t, "2", r.redis("GET", "n"))
	require.Equal(t, 1, r.store.Status().DeadLetters)
}

// A Redis that takes no writes now, and lost the fence, is used for reads when nothing waits for it.
func TestFenceThatCannotBeSetKeepsNobodyFromReading(t *testing.T) {
	r := newRig(t)
	r.do("SET", "a", "1")
	r.online()
	r.lost()
	r.redis("FLUSHALL")
	r.redis("CONFIG", "SET", "maxmemory", "1")
	r.online()
	r.lost()
	r.do("SET", "b", "1")
	require.ErrorContains(t, r.connect(), "OOM")
	r.redis("CONFIG", "SET", "maxmemory", "0")
	r.online()
	require.Equal(t, "1", r.redis("GET", "b"))
	require.Zero(t, r.store.Status().DeadLetters)
}

// Attempts to replay that fail do not make an outage a new one each time.
func TestOfflineSinceRedisWentAway(t *testing.T) {
	var logs bytes.Buffer
	now := time.Now()
	r := newRig(t, func(c *Config) {
		c.goBy(func() time.Time { return now })
		c.Logger = slog.New(slog.NewTextHandler(&logs, nil))
	})
	r.online()
	now = now.Add(time.Minute)
	r.lost()
	went := now
	r.do("SET", "a", "1")
	r.redis("CONFIG", "SET", "maxmemory", "1")
	for range 5 {
		now = now.Add(time.Minute)
		require.Error(t, r.connect())
		require.Equal(t, went, r.store.Status().Since)
	}
	require.Equal(t, 1, strings.Count(logs.String(), "from=offline to=replaying")-1, "after the one of the start")
	r.redis("CONFIG", "SET", "maxmemory", "0")
	r.online()
	require.Equal(t, now, r.store.Status().Since)
	require.Contains(t, logs.String(), "to=online")
}
