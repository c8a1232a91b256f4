package fallback

import (
	"testing"

	"github.com/stretchr/testify/require"

	"holdfast/fallback/deadletter"
	"holdfast/fallback/record"
)

// underWay journals a write that had been sent with a fence of its own.
func (r *rig) underWay(o record.Origin, args ...string) {
	r.t.Helper()
	r.request(Request{Proto: 2, Commands: [][][]byte{words(args...)}, Origin: o, Takeovers: r.store.Takeovers()})
}

// What became of a write under way is what its fence says; where the fence is not
// to be found, nobody can say, and the write is kept as a dead letter.
func TestFencesThatWereMovedOrRemoved(t *testing.T) {
	const fence = "{holdfast}:fence:x:online:2:0"
	sent := record.Origin{Key: fence, Number: 5, Seen: true}
	for name, c := range map[string]struct {
		executed bool
		then     func(*rig)
		want     any // the counter in database 0
		letters  int
	}{
		"executed":                  {true, func(*rig) {}, "1", 0},
		"not executed":              {false, func(*rig) {}, "1", 0},
		"executed, then flushed":    {true, func(r *rig) { r.redis("FLUSHALL") }, nil, 1},
		"flushed, not executed":     {false, func(r *rig) { r.redis("FLUSHALL") }, nil, 1},
		"executed, then swapped":    {true, func(r *rig) { r.redis("SWAPDB", 0, 1) }, nil, 1},
		"swapped, not executed":     {false, func(r *rig) { r.redis("SWAPDB", 0, 1) }, nil, 1},
		"swapped there and back":    {true, func(r *rig) { r.redis("SWAPDB", 0, 1); r.redis("SWAPDB", 0, 1) }, "1", 0},
		"fence alone removed":       {true, func(r *rig) { r.redis("DEL", fence) }, "1", 1},
		"an older copy came back":   {true, func(r *rig) { r.redis("SET", fence, 4); r.redis("DEL", "n") }, "1", 0},
		"fence of another database": {false, func(r *rig) { r.redis("SET", "{holdfast}:fence:x:online:2:1", 99) }, "1", 0},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			r.online()
			r.redis("SET", fence, 4)
			r.lost()
			r.do("SET", "n", "0")
			r.do("DEL", "n")
			r.online() // the counter is known to be absent
			r.lost()
			r.do("SET", "other", "1")
			r.underWay(sent, "SET", "n", "1")
			if c.executed {
				r.redis("INCR", "n")
				r.redis("SET", fence, 5)
			}
			c.then(r)
			r.online()
			require.Equal(t, c.want, r.redis("GET", "n"))
			require.Equal(t, "1", r.redis("GET", "other"), "what was never sent is replayed")
			letters, err := deadletter.Read(r.dir)
			require.NoError(t, err)
			require.Len(t, letters, c.letters)
			if c.letters > 0 {
				require.Contains(t, letters[0].Reason, "ambiguous")
			}
		})
	}
}
