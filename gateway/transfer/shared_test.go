package transfer

import (
	"context"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"holdfast/gateway/store"
)

// The original application runs HGETALL on every key under pools:, and compares
// the password with what is under pwd.
func TestTheOriginalApplicationReadsWhatMigrateWrote(t *testing.T) {
	e, ctx := newEnv(t), context.Background()
	e.migrate(sample)
	keys := e.c.Keys(ctx, e.key("pools:*")).Val()
	require.Len(t, keys, 10)
	accounts := 0
	for _, key := range keys {
		all, err := e.c.HGetAll(ctx, key).Result()
		require.NoError(t, err, key)
		accounts += len(all)
		listed, err := e.c.SIsMember(ctx, e.key("pool-types"), strings.TrimPrefix(key, e.key("pools:"))).Result()
		require.NoError(t, err)
		assert.True(t, listed, "%s: the application looks at what is listed only", key)
	}
	assert.Equal(t, 12, accounts)
	assert.Equal(t, read(t, sample)["pwd"], e.c.Get(ctx, e.key("pwd")).Val())
}

func TestPasswordsStayAsTheyAre(t *testing.T) {
	e, ctx := newEnv(t), context.Background()
	hash, err := store.HashPassword("s3cret", 4)
	require.NoError(t, err)
	for _, pwd := range []string{"s3cret-示例\n", "\xef\xbb\xbfwith a mark\r\n", "pbkdf2:00:00112233445566778899aabbccddeeff", string(hash) + "\n", "pbkdf2:broken"} {
		e := e.fresh(t)
		dir := write(t, t.TempDir(), map[string]string{"config.json": "{}", "pwd": pwd})
		e.migrate(dir, verify)
		assert.Equal(t, pwd, e.c.Get(ctx, e.key("pwd")).Val())
		out := filepath.Join(t.TempDir(), "o")
		e.export(out)
		assert.Equal(t, pwd, read(t, out)["pwd"])
	}
	// An earlier version hashed a plain one: that is no difference, and --force takes the file's.
	dir := write(t, t.TempDir(), map[string]string{"config.json": "{}", "pwd": "s3cret\n"})
	e.c.Set(ctx, e.key("pwd"), hash, 0)
	rep := e.migrate(dir)
	assert.Equal(t, 1, rep.Password.Identical)
	assert.Contains(t, strings.Join(reasons(rep, Note), "\n"), "holdfast passwd")
	assert.Equal(t, string(hash), e.c.Get(ctx, e.key("pwd")).Val())
	e.migrate(dir, force, verify)
	assert.Equal(t, "s3cret\n", e.c.Get(ctx, e.key("pwd")).Val())
}

// A Redis of an earlier version has its set of types among the pools.
func TestAnEarlierVersionIsBroughtOver(t *testing.T) {
	e, ctx := newEnv(t), context.Background()
	dir := write(t, t.TempDir(), map[string]string{"config.json": "{}",
		"provider_pools.json": `{"a":[{"uuid":"1"}],"x:y":[{"uuid":"2"}],"index":[{"uuid":"3"}],"empty":[]}`})
	old := func(e *env) {
		e.c.SAdd(ctx, e.key("pools:index"), "a", "x:y", "index", "empty")
		e.c.HSet(ctx, e.key("pools:a"), "1", `{"uuid":"1"}`)
		e.c.HSet(ctx, e.key("pools:x%3Ay"), "2", `{"uuid":"2"}`)
		e.c.HSet(ctx, e.key("pools:%69ndex"), "3", `{"uuid":"3"}`)
		e.c.HSet(ctx, e.key("pools:by-hand"), "4", `{"uuid":"4"}`)
	}
	old(e)
	types, err := store.New(e.c, e.prefix).FindTypes(ctx)
	require.NoError(t, err)
	assert.Equal(t, []string{"a", "by-hand", "empty", "index", "x:y"}, types, "read before it is brought over")
	before := e.dump()
	e.migrate(dir, dryRun)
	assert.Equal(t, before, e.dump())
	rep := e.migrate(dir)
	assert.Equal(t, 3, rep.Accounts.Identical, "%v", rep.Items)
	assert.ElementsMatch(t, []string{"a", "by-hand", "empty", "index", "x:y"}, e.c.SMembers(ctx, e.key("pool-types")).Val())
	for _, key := range e.c.Keys(ctx, e.key("pools:*")).Val() {
		assert.Equal(t, "hash", e.c.Type(ctx, key).Val(), key)
		assert.EqualValues(t, 1, e.c.HLen(ctx, key).Val())
	}

	// Many at a time, over and over: nothing is lost and nothing done twice.
	e = e.fresh(t)
	old(e)
	st, done := store.New(e.c, e.prefix), make(chan error, 8)
	for range cap(done) {
		go func() { _, err := st.Upgrade(ctx); done <- err }()
	}
	for range cap(done) {
		require.NoError(t, <-done)
	}
	assert.Zero(t, e.c.Exists(ctx, e.key("pools:x%3Ay")).Val())
	assert.EqualValues(t, 1, e.c.HLen(ctx, e.key("pools:index")).Val(), "a pool of that name")
	assert.EqualValues(t, 5, e.c.SCard(ctx, e.key("pool-types")).Val())
	had, err := st.Upgrade(ctx)
	require.NoError(t, err)
	assert.False(t, had)
}

// A set with the imported types alone would hide the others from the application,
// which looks for pools itself only while there is no set.
func TestMigrateHidesNoPoolFromTheApplication(t *testing.T) {
	e, ctx := newEnv(t), context.Background()
	e.c.HSet(ctx, e.key("pools:theirs"), "1", `{"uuid":"1"}`)
	e.migrate(write(t, t.TempDir(), map[string]string{"config.json": "{}", "provider_pools.json": `{"a":[{"uuid":"1"}]}`}))
	assert.ElementsMatch(t, []string{"a", "theirs"}, e.c.SMembers(ctx, e.key("pool-types")).Val())
}

// What the application formatted anew is what it was; without force it stays so,
// with force the files' bytes are back.
func TestJSONOfTheSameMeaningIsIdentical(t *testing.T) {
	e, ctx := newEnv(t), context.Background()
	dir := write(t, t.TempDir(), map[string]string{"config.json": "{ \"b\": 1e3,\n \"a\": \"\\u0041\" }", "plugins.json": "{ }", "k/t.json": "{\n}", "custom_models.json": "[ ]",
		"provider_pools.json": `{"a":[{ "uuid" : "1", "n": 1.0, "A_CREDS_FILE_PATH":"k/t.json" }]}`})
	e.migrate(dir)
	e.c.Set(ctx, e.key("config"), `{"a":"A","b":1000}`, 0)
	e.c.Set(ctx, e.key("plugins"), `{}`, 0)
	e.c.Set(ctx, e.key("tokens:a:1"), `{}`, 0)
	e.c.Set(ctx, e.key("files:custom_models.json"), `[]`, 0)
	e.c.HSet(ctx, e.key("pools:a"), "1", `{"A_CREDS_FILE_PATH":"k/t.json","n":1,"uuid":"1"}`)
	before := e.dump()
	rep := e.migrate(dir, verify)
	assert.Zero(t, rep.Troubles(), "%v", rep.Items)
	assert.Zero(t, rep.Changes())
	assert.Equal(t, before, e.dump())
	e.migrate(dir, force, verify)
	out := filepath.Join(t.TempDir(), "o")
	e.export(out)
	assert.Equal(t, read(t, dir), read(t, out))
}

// "./x" is where the application runs, beside the directory.
func TestTokenFilesAreLookedUpAsTheApplicationDoes(t *testing.T) {
	e, ctx := newEnv(t), context.Background()
	base := t.TempDir()
	dir := filepath.Join(base, "conf")
	write(t, base, map[string]string{"both.json": `{"at":"root"}`, "root.json": `{"at":"root"}`, "plain.json": `{"at":"root"}`, "configs/k.json": `{"at":"neighbour"}`})
	write(t, dir, map[string]string{"config.json": "{}", "both.json": `{"at":"dir"}`, "dir.json": `{"at":"dir"}`, "plain.json": `{"at":"dir"}`, "k.json": `{"at":"dir"}`,
		"provider_pools.json": `{"a":[{"uuid":"1","A_CREDS_FILE_PATH":"./both.json"},{"uuid":"2","A_CREDS_FILE_PATH":"./root.json"},{"uuid":"3","A_CREDS_FILE_PATH":"./dir.json"},` +
			`{"uuid":"4","A_CREDS_FILE_PATH":"plain.json"},{"uuid":"5","A_CREDS_FILE_PATH":".\\both.json"},{"uuid":"6","A_CREDS_FILE_PATH":"./configs/k.json"}]}`})
	rep := e.migrate(dir)
	assert.Equal(t, 6, rep.Tokens.New, "%v", rep.Items)
	for uuid, at := range map[string]string{"1": "root", "2": "root", "3": "dir", "4": "dir", "5": "root", "6": "dir"} {
		assert.Equal(t, `{"at":"`+at+`"}`, e.c.Get(ctx, e.key("tokens:a:"+uuid)).Val(), uuid)
	}
	notes := strings.Join(reasons(rep, Note), "\n")
	for _, what := range []string{"a 1", "a 5", "a 6"} {
		assert.Contains(t, notes, what+" (")
		assert.Regexp(t, what+` \(.*two files can be meant`, notes)
	}
	assert.NotRegexp(t, `a [234] .*two files`, notes)

	// A copy is read from itself, wherever it lies.
	out := filepath.Join(base, "copy")
	e.export(out)
	write(t, base, map[string]string{"both.json": `{"at":"changed"}`, "root.json": `{"at":"changed"}`})
	second := e.fresh(t)
	second.migrate(out)
	for _, uuid := range []string{"1", "2", "3", "4", "5", "6"} {
		assert.Equal(t, e.c.Get(ctx, e.key("tokens:a:"+uuid)).Val(), second.c.Get(ctx, second.key("tokens:a:"+uuid)).Val(), uuid)
	}
}
