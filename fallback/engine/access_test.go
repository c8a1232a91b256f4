package engine

import (
	"errors"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
)

func args(words ...string) [][]byte { return toBytes(words) }

func TestAccessEndsAScriptAndUndoesIt(t *testing.T) {
	e := New(Config{Access: func(_ int, argv [][]byte) error {
		if string(argv[len(argv)-1]) == "secret" {
			return errors.New("UPSTREAMDOWN not held")
		}
		return nil
	}})
	defer e.Close()
	require.NoError(t, e.Apply(0, args("SET", "a", "1")))
	body := `redis.call('incr', 'a'); local v = redis.pcall('get', 'secret'); redis.call('set', 'b', 'made up'); return v`
	res := e.Do(0, 2, args("EVAL", body, "0"))
	require.Equal(t, "-UPSTREAMDOWN not held\r\n", string(res.Reply))
	require.Empty(t, res.Effects)
	require.Equal(t, "$1\r\n1\r\n", string(e.Do(0, 2, args("GET", "a")).Reply))
	require.False(t, e.Has(0, []byte("b")))
}

func TestDumpInSlicesGivesEveryKeyOnce(t *testing.T) {
	e := New(Config{})
	defer e.Close()
	for i := range 500 {
		require.NoError(t, e.Apply(i%3, args("SET", fmt.Sprint("k", i), "v")))
	}
	got := map[string]int{}
	var at Place
	for done := false; !done; {
		var err error
		before := at
		at, done, err = e.DumpSlice(at, 7, func(int, string) bool { return false }, func(db int, argv [][]byte) error {
			require.False(t, before.Passed(db, string(argv[1])))
			got[fmt.Sprint(db, string(argv[1]))]++
			return nil
		})
		require.NoError(t, err)
	}
	require.Len(t, got, 500)
	for k, n := range got {
		require.Equal(t, 1, n, k)
	}
	require.True(t, at.Passed(2, "k2"))
}
