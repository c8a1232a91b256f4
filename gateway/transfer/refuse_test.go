package transfer

import (
	"context"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var small = map[string]string{"config.json": `{"a":1}`, "plugins.json": "{}", "usage-cache.json": "{}", "note.txt": "x", "t.json": `{"r":1}`,
	"pwd": "pbkdf2:00:00112233445566778899aabbccddeeff", "provider_pools.json": `{"a":[{"uuid":"1","A_CREDS_FILE_PATH":"t.json"}],"b":[]}`}

// A key that holds something of another kind reads like an absent one in some
// commands: it must not be overwritten for that.
func TestKeysOfAnotherKindAreRefusedByName(t *testing.T) {
	e, ctx := newEnv(t), context.Background()
	dir := write(t, t.TempDir(), small)
	for _, key := range []string{"tokens:a:1", "files:note.txt", "layout:a", "pools:a", "pools:b", "config", "plugins", "pwd", "usage:cache"} {
		e := e.fresh(t)
		e.c.RPush(ctx, e.key(key), "old")
		plan := e.migrate(dir, dryRun)
		rep := e.migrate(dir)
		assert.Contains(t, strings.Join(reasons(rep, Refused), "\n"), e.key(key))
		assert.Equal(t, []string{"old"}, e.c.LRange(ctx, e.key(key), 0, -1).Val(), key)
		plan.DryRun = false
		assert.Equal(t, plan, rep, "the plan of %s", key)
		rep = e.migrate(dir, force, verify)
		assert.Zero(t, rep.Troubles(), "%s: %v", key, rep.Items)
		assert.NotEqual(t, "list", e.c.Type(ctx, e.key(key)).Val(), key)
	}
	for _, key := range []string{"meta", "pool-types"} {
		e := e.fresh(t)
		e.c.RPush(ctx, e.key(key), "old")
		_, err := e.tryMigrate(dir, force)
		require.ErrorContains(t, err, e.key(key))
		assert.Len(t, e.dump(), 1, "nothing was written")
	}
}

func TestPathsOfTheConfiguration(t *testing.T) {
	e := newEnv(t)
	for path, ok := range map[string]bool{
		`"configs/provider_pools.json"`: true, `"./configs/provider_pools.json"`: true, `"./old-name/provider_pools.json"`: true,
		`".\\configs\\provider_pools.json"`: true, `"/app/configs/provider_pools.json"`: true, `null`: true, `""`: true,
		`"configs/pools.json"`: false, `"./sub/provider_pools.json"`: false, `"/etc/hostname"`: false,
	} {
		files := map[string]string{"config.json": `{"PROVIDER_POOLS_FILE_PATH":` + path + `}`, "provider_pools.json": "{}", "sub/provider_pools.json": "{}"}
		e := e.fresh(t)
		_, err := e.tryMigrate(write(t, t.TempDir(), files), force)
		if ok {
			assert.NoError(t, err, path)
			continue
		}
		assert.ErrorIs(t, err, ErrElsewhere, path)
		assert.Empty(t, e.dump(), path)
	}
	_, err := e.tryMigrate(write(t, t.TempDir(), map[string]string{"config.json": `{"CUSTOM_MODELS_FILE_PATH":"m.json"}`, "m.json": "{}"}))
	assert.ErrorIs(t, err, ErrElsewhere)
}

func TestMissingPoolsAreSaid(t *testing.T) {
	e := newEnv(t)
	rep := e.migrate(write(t, t.TempDir(), map[string]string{"config.json": "{}"}))
	assert.Contains(t, strings.Join(reasons(rep, Skipped), "\n"), "no accounts were imported")
}

// What the files alone are refused for says nothing of Redis; what differs is
// told with its numbers.
func TestVerifyLooksAtRedisOnly(t *testing.T) {
	e, ctx := newEnv(t), context.Background()
	dir := write(t, t.TempDir(), map[string]string{"config.json": "{}", "n.txt": "1",
		"provider_pools.json": `{"a":[{"uuid":"1"},{"uuid":"1","x":2},{"uuid":"2"}]}`})
	rep := e.migrate(dir, verify)
	assert.True(t, *rep.Verified)
	assert.Equal(t, 1, rep.Troubles())

	e.c.HSet(ctx, e.key("pools:a"), "2", `{"uuid":"2","changed":1}`)
	rep, err := e.tryMigrate(dir, verify)
	require.ErrorIs(t, err, ErrVerify)
	assert.ErrorContains(t, err, "Accounts: 0 missing, 1 different, 0 too many")
	assert.NotContains(t, err.Error(), "Other files")
	assert.False(t, *rep.Verified)
}
