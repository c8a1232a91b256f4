package fallback

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"holdfast/backend/redistest"
	"holdfast/backend/resp"
	"holdfast/fallback/fetch"
)

// What is fetched expires when it does at Redis, however long the question takes:
// counted from before it, a lock would go here while its holder still has it. Of a
// server or a user without PEXPIRETIME what is left is taken.
func TestFetchedKeysExpireAsAtRedis(t *testing.T) {
	long := strings.Repeat("x", resp.Large)
	for name, args := range map[string][]string{
		"moment":  nil,
		"old":     {"--rename-command", "PEXPIRETIME", ""},
		"refused": strings.Fields("--user default on nopass ~* &* +@all -pexpiretime"),
	} {
		t.Run(name, func(t *testing.T) {
			r := newRigOn(t, redistest.Start(t, args...))
			fields := []any{"HSET", "hash"}
			for i := range fetch.LargeHash + 1 {
				fields = append(fields, i, i)
			}
			r.redis(fields...)
			r.redis("SET", "string", "v")
			r.redis("SET", "long", long)
			keys := []string{"hash", "string", "long"}
			for _, k := range keys {
				r.redis("PEXPIRE", k, 1_000_000)
			}
			r.redis("SET", "lasting", "v")
			f := fetch.New(r.cfg.NewClient)
			defer f.Close()
			f.Held = func(_ int, key string) []byte {
				if key != "long" {
					return nil
				}
				return []byte(long)
			}
			early := time.Duration(0)
			if args == nil {
				early = time.Hour
			}
			now := func() time.Time { return time.Now().Add(-early) }
			r.redis("CONFIG", "RESETSTAT")
			got, err := f.Fetch(context.Background(), 0, append(keys, "lasting"), fetch.AnyLength, now)
			require.NoError(t, err)
			for i, k := range keys {
				last := got[i].Commands[len(got[i].Commands)-1]
				require.Equal(t, "PEXPIREAT "+k, fmt.Sprintf("%s %s", last[0], last[1]))
				at, err := strconv.ParseInt(string(last[2]), 10, 64)
				require.NoError(t, err)
				if args == nil {
					require.Equal(t, r.redis("PEXPIRETIME", k).(int64), at)
				} else {
					require.InDelta(t, time.Now().UnixMilli()+r.redis("PTTL", k).(int64), at, 60_000)
				}
			}
			require.Equal(t, [][][]byte{words("SET", "lasting", "v")}, got[3].Commands)
			stats := r.direct.Info(context.Background(), "commandstats").Val()
			require.NotContains(t, stats, "cmdstat_hgetall:", "large ones are read in pieces all the same")
		})
	}
}
