package command

import (
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// call makes an argv of words.
func call(words ...string) [][]byte {
	argv := make([][]byte, len(words))
	for i, w := range words {
		argv[i] = []byte(w)
	}
	return argv
}

func TestLookupFoldsCaseAndResolvesSubcommands(t *testing.T) {
	for _, row := range []struct {
		argv [][]byte
		name string
		ok   bool
	}{
		{call("GET", "k"), "get", true},
		{call("gEt"), "get", true},
		{call("CLIENT", "Id"), "client|id", true},
		{call("client"), "client", true},
		{call("client", "nope"), "client", false},
		{call("Client", "No-Touch", "on"), "client|no-touch", true},
		{call("HEXPIRE"), "hexpire", true},
		{call("restore-asking"), "restore-asking", true},
		{call("get "), "", false},
		{call("GE\x14"), "", false},
		{call(""), "", false},
		{nil, "", false},
	} {
		c, ok := Lookup(row.argv)
		require.Equal(t, row.ok, ok, "%q", row.argv)
		if row.name == "" {
			require.Nil(t, c, "%q", row.argv)
		} else {
			require.Equal(t, row.name, c.Name, "%q", row.argv)
		}
	}
}

func TestEveryCommandIsFoundByItsName(t *testing.T) {
	seen := map[string]bool{}
	for _, c := range All() {
		require.False(t, seen[c.Name], "%s is in the table twice", c.Name)
		seen[c.Name] = true
		require.Same(t, c, ByName(c.Name))
	}
}

func TestOverridesNameKnownCommands(t *testing.T) {
	for _, o := range overrides {
		require.NotEmpty(t, o.why, o.names)
		for _, name := range splitNames(o.names) {
			require.NotNil(t, ByName(name), "overrides.go names %q", name)
		}
	}
	for name := range newerSubs {
		require.NotNil(t, ByName(name))
	}
}

func TestFlagsFitTogether(t *testing.T) {
	for _, c := range All() {
		require.False(t, c.Has(Read|Write), c.Name)
		if c.Has(Cacheable) {
			require.True(t, c.Has(Read), c.Name)
			require.Zero(t, c.Flags&(NonDeterministic|Blocking|Script|Dangerous|Admin), c.Name)
			require.NotEmpty(t, c.specs, c.Name)
		}
		if c.Has(QueueableOffline) {
			require.NotZero(t, c.Flags&(Write|Script), c.Name)
			require.Zero(t, c.Flags&(Blocking|Dangerous|ConnState|Admin), c.Name)
		}
		if c.Has(Repeatable) {
			require.NotZero(t, c.Flags&(Write|MayReplicate), c.Name)
		}
	}
	for _, name := range splitNames("mget exists sunion lcs sintercard touch zdiff pfcount") {
		require.True(t, ByName(name).Has(MultiKeyRead), name)
	}
	for _, name := range splitNames("get hgetall zrange object|encoding xlen randomkey") {
		require.False(t, ByName(name).Has(MultiKeyRead), name)
	}
}

func TestLookupAndKeysDoNotAllocate(t *testing.T) {
	dst := make([][]byte, 0, 8)
	for _, argv := range [][][]byte{
		call("GET", "k"), call("hgetall", "k"), call("CLIENT", "INFO"), call("EVAL", "x", "2", "a", "b"),
		call("XREAD", "COUNT", "1", "STREAMS", "a", "b", "0", "0"), call("SORT", "a", "STORE", "b"), call("nope", "x"),
	} {
		require.Zero(t, testing.AllocsPerRun(100, func() {
			if c, ok := Lookup(argv); ok {
				dst = c.Keys(dst[:0], argv)
				_ = Idempotent(argv, c)
				_ = Blocks(argv, c)
			}
		}), "%q", argv)
	}
}

func BenchmarkLookup(b *testing.B) {
	for _, name := range []string{"GET", "HGETALL", "ZREVRANGEBYSCORE"} {
		argv := call(name, "k")
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				Lookup(argv)
			}
		})
	}
}
