package fallback

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"holdfast/fallback/deadletter"
	"holdfast/fallback/fetch"
)

// fieldRig is a rig whose server knows deadlines of hash fields. Such a server is
// named by HOLDFAST_TEST_SERVER, see ./scripts/server-matrix.
func fieldRig(t *testing.T, change ...func(*Config)) *rig {
	t.Helper()
	r := newRig(t, change...)
	err := r.direct.Do(t.Context(), "HPEXPIRETIME", "probe", "FIELDS", 1, "f").Err()
	if err != nil && strings.Contains(err.Error(), "unknown command") {
		t.Skip("SKIPPED: this server knows no deadlines of hash fields: name a newer one in HOLDFAST_TEST_SERVER")
	}
	require.NoError(t, err)
	return r
}

// Deadlines of hash fields are mirrored, whoever gave them and however large the
// hash is: what has expired is gone in the outage, and what stays is told.
func TestDeadlinesOfHashFieldsAreMirrored(t *testing.T) {
	r := fieldRig(t)
	soon := time.Now().Add(1500 * time.Millisecond).UnixMilli()
	late := time.Now().Add(time.Hour).UnixMilli()
	r.redis("HSET", "m:h", "a", 1, "b", 2, "c", 3)
	r.redis("HPEXPIREAT", "m:h", soon, "FIELDS", 1, "a")
	r.redis("HPEXPIREAT", "m:h", late, "FIELDS", 1, "b")
	large := []any{"HSET", "m:large"}
	for i := range fetch.LargeHash + 10 {
		large = append(large, fmt.Sprint("f", i), i)
	}
	r.redis(large...)
	r.redis("HPEXPIREAT", "m:large", soon, "FIELDS", 2, "f0", fmt.Sprint("f", fetch.LargeHash+9))
	r.redis("HSET", "m:only", "f", 1)
	r.redis("HPEXPIREAT", "m:only", soon, "FIELDS", 1, "f")
	r.loaded()
	r.via("HSET", "m:new", "n", 1, "x", 1)
	r.via("HPEXPIREAT", "m:new", soon, "FIELDS", 1, "n")
	r.lost()
	require.Equal(t, fmt.Sprintf("*3\r\n:%d\r\n:%d\r\n:-1\r\n", soon, late), r.do("HPEXPIRETIME", "m:h", "FIELDS", "3", "a", "b", "c"))
	require.Equal(t, fmt.Sprintf("*1\r\n:%d\r\n", soon), r.do("HPEXPIRETIME", "m:new", "FIELDS", "1", "n"))
	require.NoError(t, r.store.saveSnapshot())
	r.crash() // the snapshot has them, too
	time.Sleep(time.Until(time.UnixMilli(soon + 20)))
	require.Equal(t, "$-1\r\n", r.do("HGET", "m:h", "a"))
	require.Equal(t, ":1\r\n", r.do("HINCRBY", "m:h", "a", "1"))
	require.Equal(t, ":3\r\n", r.do("HINCRBY", "m:h", "b", "1"))
	require.Equal(t, fmt.Sprintf("*1\r\n:%d\r\n", late), r.do("HPEXPIRETIME", "m:h", "FIELDS", "1", "b"))
	require.Equal(t, fmt.Sprintf(":%d\r\n", fetch.LargeHash+8), r.do("HLEN", "m:large"))
	require.Equal(t, ":0\r\n", r.do("EXISTS", "m:only"))
	require.Equal(t, "*1\r\n$1\r\nx\r\n", r.do("HKEYS", "m:new"))
}

// A field that expires in the outage is a change that nobody made.
func TestAFieldThatExpiresIsNoConflict(t *testing.T) {
	r := fieldRig(t, func(c *Config) { c.Conflict = deadletter.Theirs })
	soon := time.Now().Add(time.Second).UnixMilli()
	r.redis("HSET", "m:h", "a", 1, "b", 2)
	r.redis("HPEXPIREAT", "m:h", soon, "FIELDS", 1, "a")
	r.redis("HSET", "m:foreign", "a", 1, "b", 2)
	r.loaded()
	r.lost()
	r.do("HINCRBY", "m:h", "b", "1")
	r.do("HINCRBY", "m:foreign", "b", "1")
	r.redis("HSET", "m:foreign", "b", 9)
	time.Sleep(time.Until(time.UnixMilli(soon + 20)))
	r.online()
	require.Equal(t, "3", r.redis("HGET", "m:h", "b"))
	require.Equal(t, "9", r.redis("HGET", "m:foreign", "b"))
	require.EqualValues(t, 1, r.store.Status().Conflicts)
}
