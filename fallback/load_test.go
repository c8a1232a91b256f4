package fallback

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"holdfast/backend/resp"
	"holdfast/fallback/record"
)

// loadCommands are writes of every type; %s is a key.
var loadCommands = [][]string{
	{"SET", "%s", "v1"}, {"set", "%s", "12"}, {"SET", "%s", "v2", "EX", "100"}, {"SET", "%s", "v3", "PX", "50"},
	{"SET", "%s", "5", "KEEPTTL"}, {"SET", "%s", "v4", "NX"}, {"SETEX", "%s", "7", "v5"}, {"SET", "%s", "v6", "GET", "EX", "30"},
	{"INCR", "%s"}, {"INCRBY", "%s", "-7"}, {"APPEND", "%s", "x"}, {"GETDEL", "%s"}, {"DEL", "%s"},
	{"RPUSH", "%s", "a", "b"}, {"LPOP", "%s"}, {"SADD", "%s", "m1", "m2"}, {"SPOP", "%s"}, {"HSET", "%s", "f", "1", "g", "2"},
	{"HINCRBY", "%s", "f", "3"}, {"HPEXPIRE", "%s", "60", "FIELDS", "1", "f"}, {"ZADD", "%s", "1", "a", "2", "b"},
	{"XADD", "%s", "*", "f", "v"}, {"PFADD", "%s", "a"}, {"EXPIRE", "%s", "40"}, {"PERSIST", "%s"},
	{"EVAL", "redis.call('SET', KEYS[1], ARGV[1]) return redis.call('STRLEN', KEYS[1])", "1", "%s", "scripted"},
	{"RENAME", "%s", "m:other"}, {"MSET", "%s", "p", "m:second", "q"},
}

// testT is what *testing.T and *rapid.T have in common.
type testT interface {
	require.TestingT
	Helper()
}

// stateOf is what a load has to bring back: the keys, in an order of their own, and
// which are known and written.
func stateOf(t testT, s *Store) (out []string, known, written map[string]bool) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.eng.Has(0, nil) // deletes what is due
	keys := map[string]bool{}
	s.eng.ForEachKey(func(db int, key string) bool {
		keys[key] = true
		cmds := s.eng.DumpKey(db, []byte(key))
		for _, argv := range cmds {
			if string(argv[0]) == "HPEXPIREAT" {
				out = append(out, fmt.Sprintf("%q", argv))
			}
		}
		digest, expires := record.DigestOf(cmds)
		out = append(out, fmt.Sprintf("%d %s %s %x %d", db, key, s.eng.Type(db, []byte(key)), digest, expires))
		return true
	})
	known, written = map[string]bool{}, map[string]bool{}
	for i := range 12 {
		id := record.KeyID{DB: 0, Key: loadKey(i)}
		known[id.Key], written[id.Key] = s.res.known(id), s.written.holds(id)
	}
	scanned := map[string]bool{}
	for cursor := int64(0); ; {
		v, _, err := resp.Parse(s.eng.Do(0, 2, words("SCAN", fmt.Sprint(cursor), "COUNT", "3")).Reply)
		require.NoError(t, err)
		for _, k := range v.Elems[1].Elems {
			scanned[string(k.Str)] = true
		}
		cursor, err = strconv.ParseInt(string(v.Elems[0].Str), 10, 64)
		require.NoError(t, err)
		if cursor == 0 {
			break
		}
	}
	require.Equal(t, keys, scanned, "the order of SCAN has every key")
	sort.Strings(out)
	return out, known, written
}

func loadKey(i int) string {
	if i%3 == 0 {
		return fmt.Sprint("other:", i)
	}
	return fmt.Sprint("m:", i)
}

// What is loaded in bulk, out of the journal or a snapshot, however much later, is
// what executing the commands one by one gave.
func TestLoadEqualsExecution(t *testing.T) {
	if checks := flag.Lookup("rapid.checks"); checks.Value.String() == checks.DefValue {
		require.NoError(t, checks.Value.Set("30")) // each syncs some files
		defer checks.Value.Set(checks.DefValue)
	}
	base := t.TempDir()
	run := 0
	rapid.Check(t, func(t *rapid.T) {
		run++
		now := time.UnixMilli(1_700_000_000_000)
		cfg := offlineConfig(filepath.Join(base, fmt.Sprint(run)))
		cfg.goBy(func() time.Time { return now })
		s, err := Open(cfg)
		require.NoError(t, err)
		complete := rapid.Bool().Draw(t, "complete")
		if complete {
			require.NoError(t, s.Warm(0, nil, true))
			require.NoError(t, s.saveSnapshot())
		}
		// The absence of a key that is known by itself is not in a snapshot: what is
		// written on top of it is unknown after a load.
		midway, from := complete && rapid.Bool().Draw(t, "snapshot"), []int{0, 3, 6, 9, 1, 2, 4, 5, 7, 8, 10, 11}
		if midway {
			from = from[4:]
		}
		for i := range rapid.IntRange(1, 80).Draw(t, "writes") {
			argv := append([]string(nil), rapid.SampledFrom(loadCommands).Draw(t, "command")...)
			for j := range argv {
				if argv[j] == "%s" {
					argv[j] = loadKey(rapid.SampledFrom(from).Draw(t, "key"))
				}
			}
			_, _, err := s.Do(Request{Proto: 2, Commands: [][][]byte{words(argv...)}})
			require.NoError(t, err)
			if i == 20 && midway {
				require.NoError(t, s.saveSnapshot())
			}
			now = now.Add(time.Duration(rapid.IntRange(0, 3).Draw(t, "ms")) * time.Millisecond)
		}
		now = now.Add(rapid.SampledFrom([]time.Duration{0, 20 * time.Millisecond, 35 * time.Second, 200 * time.Second}).Draw(t, "away"))

		keys, known, written := stateOf(t, s)
		require.NoError(t, s.jr.Sync()) // what is not on disk is not counted as queued
		oldest := s.Status().OldestAt
		kill(t, s)
		loaded, err := Open(cfg)
		require.NoError(t, err)
		require.Equal(t, oldest, loaded.Status().OldestAt)
		keys2, known2, written2 := stateOf(t, loaded)
		require.Equal(t, keys, keys2)
		require.Equal(t, known, known2)
		require.Equal(t, written, written2)
		require.NoError(t, loaded.Close()) // saves a snapshot
		again, err := Open(cfg)
		require.NoError(t, err)
		require.Equal(t, oldest, again.Status().OldestAt)
		keys3, known3, written3 := stateOf(t, again)
		require.Equal(t, keys, keys3)
		require.Equal(t, written, written3)
		for k, is := range known3 { // the absence of a key outside the mirror is not saved
			require.True(t, known[k] || !is, k)
		}
		kill(t, again)
		require.NoError(t, os.RemoveAll(cfg.Dir))
	})
}

// A key that had not expired yet when it was written again is not made anew, and
// for ever, by a load that happens after its deadline.
func TestLoadHasTheTimeOfTheWrites(t *testing.T) {
	now := time.UnixMilli(1_700_000_000_000)
	cfg := Config{Dir: filepath.Join(t.TempDir(), "data"), Embedded: true, Now: func() time.Time { return now }}
	s, err := Open(cfg)
	require.NoError(t, err)
	for _, argv := range [][][]byte{words("SET", "k", "5", "PX", "50"), words("INCR", "k"), words("SET", "stays", "1")} {
		_, _, err := s.Do(Request{Proto: 2, Commands: [][][]byte{argv}})
		require.NoError(t, err)
		now = now.Add(10 * time.Millisecond)
	}
	kill(t, s)
	now = now.Add(time.Minute)
	s, err = Open(cfg)
	require.NoError(t, err)
	defer s.Close()
	reply, _, err := s.Do(Request{Proto: 2, Commands: [][][]byte{words("EXISTS", "k", "stays")}})
	require.NoError(t, err)
	require.Equal(t, ":1\r\n", string(reply))
}
