package transfer

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/crypto/bcrypt"
	"pgregory.net/rapid"

	"holdfast/gateway/store"
)

func TestDryRunWritesNothingAndPredicts(t *testing.T) {
	e, ctx := newEnv(t), context.Background()
	dir := write(t, t.TempDir(), map[string]string{"config.json": `{"new":1}`, "pwd": "plain", "x": "y",
		"provider_pools.json": `{"a":[{"uuid":"1","v":2},{"uuid":"3"}],"c":[]}`})
	old := write(t, t.TempDir(), map[string]string{"config.json": `{}`, "z": "y",
		"provider_pools.json": `{"a":[{"uuid":"1"},{"uuid":"2"}],"b":[{"uuid":"1"}]}`})
	for _, f := range []bool{false, true} {
		e := e.fresh(t)
		e.migrate(old)
		set := func(c *MigrateConfig) { c.Force = f }
		size, before := e.c.DBSize(ctx).Val(), e.dump()
		plan := e.migrate(dir, set, dryRun)
		assert.Equal(t, size, e.c.DBSize(ctx).Val())
		assert.Equal(t, before, e.dump())
		plan.DryRun = false
		assert.Equal(t, plan, e.migrate(dir, set), "force %v", f)
	}
}

func TestRefusedByName(t *testing.T) {
	e, ctx := newEnv(t), context.Background()
	files := map[string]string{"config.json": `{"a":1}`, "pwd": "pbkdf2:00:00112233445566778899aabbccddeeff", "plugins.json": "{}", "k.txt": "1", "t.json": `{"r":1}`,
		"provider_pools.json": `{"a":[{"uuid":"1","A_CREDS_FILE_PATH":"t.json"},{"uuid":"2"}]}`}
	e.migrate(write(t, t.TempDir(), files))
	before := e.dump()
	files = map[string]string{"config.json": `{"a":2}`, "pwd": "pbkdf2:01:00112233445566778899aabbccddeeff", "plugins.json": `{"x":1}`, "k.txt": "2", "t.json": `{"r":2}`,
		"provider_pools.json": `{"a":[{"uuid":"1","A_CREDS_FILE_PATH":"t.json","changed":true},{"uuid":"2"}]}`}
	dir := write(t, t.TempDir(), files)
	rep := e.migrate(dir)
	assert.Equal(t, before, e.dump())
	names := strings.Join(reasons(rep, Refused), "\n")
	for _, k := range []string{"config", "pwd", "plugins", "files:k.txt", "tokens:a:1", "pools:a 1"} {
		assert.Contains(t, names, e.key(k))
	}
	assert.Equal(t, 6, rep.Troubles())
	assert.Equal(t, 1, rep.Accounts.Identical)
	_, err := e.tryMigrate(dir, verify)
	require.ErrorIs(t, err, ErrVerify)

	e.c.HSet(ctx, e.key("pools:a"), "stale", "{}")
	e.c.Set(ctx, e.key("tokens:a:stale"), "{}", 0)
	e.c.Set(ctx, e.key("counters:a:1:usageCount"), "5", 0)
	e.c.Set(ctx, e.key("files:gone"), "x", 0)
	e.c.SAdd(ctx, e.key("pool-types"), "gone")
	e.c.HSet(ctx, e.key("pools:gone"), "1", "{}")
	rep = e.migrate(dir, force, verify)
	assert.True(t, *rep.Verified)
	clean := e.fresh(t)
	clean.migrate(dir)
	got, want := e.dump(), clean.dump()
	delete(got, e.key("meta")) // its counts differ
	delete(want, clean.key("meta"))
	require.Len(t, got, len(want))
	for k, v := range want {
		assert.Equal(t, v, got[e.key(strings.TrimPrefix(k, clean.prefix))], k)
	}
}

func TestCountersAreMergedOnce(t *testing.T) {
	e, ctx := newEnv(t), context.Background()
	dir := write(t, t.TempDir(), map[string]string{"config.json": "{}",
		"provider_pools.json": `{"a":[ {"usageCount": 10 ,"uuid":"1","errorCount":null},{"uuid":"2"} ]}`})
	e.migrate(dir)
	for range 5 {
		e.c.Incr(ctx, e.key("counters:a:1:usageCount"))
	}
	e.c.Incr(ctx, e.key("counters:a:1:errorCount"))
	e.c.Incr(ctx, e.key("counters:a:2:refreshCount"))
	out := filepath.Join(t.TempDir(), "o")
	e.export(out)
	assert.Equal(t, `{"a":[ {"usageCount": 15 ,"uuid":"1","errorCount":1},{"uuid":"2","refreshCount":1} ]}`, read(t, out)["provider_pools.json"])
	for _, from := range []string{dir, out} {
		rep := e.migrate(from, verify)
		assert.Zero(t, rep.Changes())
		assert.Equal(t, 2, rep.Accounts.Identical)
	}
	e.migrate(dir, force)
	assert.Empty(t, e.c.Keys(ctx, e.key("counters:*")).Val())
}

func TestExportOfWhatChangedSince(t *testing.T) {
	e, ctx := newEnv(t), context.Background()
	dir := write(t, t.TempDir(), map[string]string{"config.json": "{}", "s.json": `{"n":0}`,
		"provider_pools.json": "{\n \"a\": [\n  {\"uuid\":\"1\"},\n  {\"uuid\":\"2\"},\n  {\"uuid\":\"3\"}\n ],\n \"b\": [{\"uuid\":\"1\"}],\n \"c\": [],\n" +
			` "claude-kiro-oauth":[{"uuid":"1","KIRO_OAUTH_CREDS_FILE_PATH":"s.json"},{"uuid":"2","KIRO_OAUTH_CREDS_FILE_PATH":"s.json"}]` + "\n}\n"})
	e.migrate(dir)
	st := store.New(e.c, e.prefix)
	require.NoError(t, st.DeleteEntry(ctx, "a", "1"))
	require.NoError(t, st.SetEntry(ctx, "a", "9", []byte(`{"uuid":"9"}`)))
	require.NoError(t, st.SetEntry(ctx, "new", "1", []byte(`{}`)))
	require.NoError(t, st.SetEntry(ctx, "claude-kiro-oauth", "5", []byte(`{"uuid":"5"}`)))
	e.c.Set(ctx, e.key("tokens:claude-kiro-oauth:5"), `{"n":5}`, 0)
	e.c.Set(ctx, e.key("tokens:claude-kiro-oauth:2"), `{"n":2}`, 0)
	e.c.Set(ctx, e.key("tokens:gone:x/../y"), `{"n":9}`, 0)
	e.c.Del(ctx, e.key("pools:b"))
	e.c.SRem(ctx, e.key("pool-types"), "b")
	out := filepath.Join(t.TempDir(), "o")
	e.export(out)
	got := read(t, out)
	assert.Equal(t, "{\n \"a\": [\n  {\"uuid\":\"2\"},\n  {\"uuid\":\"3\"},\n  {\"uuid\":\"9\"}\n ],\n \"c\": [],\n"+
		` "claude-kiro-oauth":[{"uuid":"1","KIRO_OAUTH_CREDS_FILE_PATH":"s.json"},`+
		`{"uuid":"2","KIRO_OAUTH_CREDS_FILE_PATH":"./configs/s.json.claude-kiro-oauth.2.json"},`+
		`{"uuid":"5","KIRO_OAUTH_CREDS_FILE_PATH":"./configs/kiro/claude-kiro-oauth-5.json"}]`+
		",\n \"new\": [\n    {\"uuid\":\"1\"}\n  ]\n}\n", got["provider_pools.json"])
	assert.Equal(t, `{"n":2}`, got["s.json.claude-kiro-oauth.2.json"])
	assert.Equal(t, `{"n":5}`, got["kiro/claude-kiro-oauth-5.json"])
	assert.Equal(t, `{"n":9}`, got["_orphan-tokens/gone/x%2F..%2Fy.json"])
	_, rep := roundTrip(t, e, out)
	assert.Equal(t, 3, rep.Tokens.New)
}

func TestExportRefusesToOverwrite(t *testing.T) {
	e := newEnv(t)
	e.migrate(sample)
	out := write(t, t.TempDir(), map[string]string{"config.json": "mine", "own.txt": "mine"})
	before := read(t, out)
	rep, err := Export(context.Background(), ExportConfig{Client: e.c, Prefix: e.prefix, Dir: out})
	require.ErrorIs(t, err, ErrExists)
	assert.Equal(t, 1, rep.Config.Refused)
	assert.Equal(t, before, read(t, out))
	rep = e.export(out, func(c *ExportConfig) { c.Force = true })
	assert.Equal(t, 1, rep.Config.Replaced)
	assert.Equal(t, "mine", read(t, out)["own.txt"])
	rep = e.export(out)
	assert.Zero(t, rep.Changes()-rep.Accounts.New-rep.Pools.New, "identical files are left alone")
	_, err = Export(context.Background(), ExportConfig{Client: e.c, Prefix: "none:", Dir: out})
	require.ErrorIs(t, err, ErrEmpty)
}

// cutConn breaks after a number of bytes were sent.
type cutConn struct {
	net.Conn
	left *int
}

func (c cutConn) Write(b []byte) (int, error) {
	if *c.left < len(b) {
		_, _ = c.Conn.Write(b[:*c.left])
		*c.left = 0
		_ = c.Conn.Close()
		return 0, net.ErrClosed
	}
	*c.left -= len(b)
	return c.Conn.Write(b)
}

// poolsWhole fails where a provider type is there in part.
func poolsWhole(t require.TestingT, e *env, want map[string]int) {
	for typ, n := range want {
		got := e.c.HLen(context.Background(), e.key("pools:"+typ)).Val()
		require.True(t, got == 0 || int(got) == n, "pool %s holds %d of %d", typ, got, n)
	}
}

func TestRandomTreesInterruptedAnywhere(t *testing.T) {
	e := newEnv(t)
	rapid.Check(t, func(t *rapid.T) {
		base, err := os.MkdirTemp("", "tree")
		require.NoError(t, err)
		defer os.RemoveAll(base)
		files, sizes := randomTree(t)
		dir := write(t, filepath.Join(base, "configs"), files)
		e := e.fresh(t)
		left := rapid.IntRange(0, 6000).Draw(t, "bytes before the link breaks")
		cut := redis.NewClient(&redis.Options{Addr: e.addr, Protocol: 2, MaxRetries: -1, DisableIdentity: true, PoolSize: 1,
			Dialer: func(ctx context.Context, network, addr string) (net.Conn, error) {
				c, err := net.Dial(network, addr)
				return cutConn{c, &left}, err
			}})
		_, err = Migrate(context.Background(), MigrateConfig{Client: cut, Prefix: e.prefix, Dir: dir})
		_ = cut.Close()
		poolsWhole(t, e, sizes)
		rep := e.migrate(dir, verify)
		if err == nil {
			require.Zero(t, rep.Changes())
		}
		require.Zero(t, rep.Accounts.Refused)
		out := filepath.Join(base, "out")
		e.export(out)
		got := read(t, out)
		delete(got, pathsFile)
		require.Equal(t, files, got)
	})
}

func randomTree(t *rapid.T) (files map[string]string, sizes map[string]int) {
	space := rapid.SampledFrom([]string{"", " ", "\n", "\r\n\t", "  "})
	value := rapid.SampledFrom([]string{`1.0`, `-0.0`, `12345678901234567890`, `"\u2028<&>"`, `[]`, `{"b":1,"a":[null]}`, `"节点"`, `null`, `{"d":1,"d":2}`})
	files, sizes = map[string]string{"config.json": "{" + space.Draw(t, "ws") + `"v":` + value.Draw(t, "v") + "}"}, map[string]int{}
	var pools []string
	for i, n := 0, rapid.IntRange(0, 4).Draw(t, "types"); i < n; i++ {
		typ := fmt.Sprintf("%s-%d", rapid.SampledFrom([]string{"openai-custom", "claude-kiro-oauth", "组:x", "a%b"}).Draw(t, "type"), i)
		var list []string
		for j, m := 0, rapid.IntRange(0, 6).Draw(t, "accounts"); j < m; j++ {
			entry := fmt.Sprintf(`"uuid":%s"%d"`, space.Draw(t, "ws"), j)
			if rapid.IntRange(0, 4).Draw(t, "unnamed") == 0 {
				entry = fmt.Sprintf(`"n":%d`, j)
			}
			if rapid.Bool().Draw(t, "token") {
				path := fmt.Sprintf("kiro/%d/t %d.json", i, j)
				form := rapid.SampledFrom([]string{"./configs/%s", "configs/%s", "%s", "./%s"}).Draw(t, "form")
				entry += fmt.Sprintf(`,"KIRO_OAUTH_CREDS_FILE_PATH":"`+form+`"`, path)
				files[path] = "{" + space.Draw(t, "ws") + `"refreshToken":` + value.Draw(t, "v") + "}" + space.Draw(t, "ws")
			}
			list = append(list, space.Draw(t, "ws")+"{"+entry+`,"v":`+value.Draw(t, "v")+"}"+space.Draw(t, "ws"))
		}
		sizes[typ] = len(list)
		pools = append(pools, space.Draw(t, "ws")+`"`+typ+`"`+space.Draw(t, "ws")+":"+space.Draw(t, "ws")+"["+strings.Join(list, ",")+"]")
	}
	files["provider_pools.json"] = rapid.SampledFrom([]string{"", "\xef\xbb\xbf"}).Draw(t, "bom") + "{" + strings.Join(pools, ",") + "}" + space.Draw(t, "ws")
	for i, n := 0, rapid.IntRange(0, 3).Draw(t, "others"); i < n; i++ {
		files[fmt.Sprintf("o é/%d.bin", i)] = string(rapid.SliceOf(rapid.Byte()).Draw(t, "bytes"))
	}
	return files, sizes
}

func TestKilledMigrateIsCompletedByTheNext(t *testing.T) {
	e := newEnv(t)
	seed := time.Now().UnixNano()
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(uint64(seed), 1))
	dir, sizes := manyAccounts(t, 800)
	whole := e.fresh(t)
	whole.migrate(dir)
	want := filepath.Join(t.TempDir(), "want")
	whole.export(want)
	for range 3 {
		e := e.fresh(t)
		for range 2 {
			cmd := exec.Command(os.Args[0])
			cmd.Env = append(os.Environ(), childEnv+"="+e.addr+" "+e.prefix+" "+dir)
			require.NoError(t, cmd.Start())
			kill := time.AfterFunc(time.Duration(rnd.IntN(400))*time.Millisecond, func() { _ = cmd.Process.Kill() })
			_ = cmd.Wait()
			kill.Stop()
			poolsWhole(t, e, sizes)
		}
		e.migrate(dir, verify)
		out := filepath.Join(t.TempDir(), "out")
		e.export(out)
		assert.Equal(t, digest(read(t, want)), digest(read(t, out)))
	}
}

// manyAccounts makes a directory with n accounts over ten types.
func manyAccounts(t testing.TB, n int) (dir string, sizes map[string]int) {
	dir, sizes = filepath.Join(t.TempDir(), "configs"), map[string]int{}
	write(t, dir, map[string]string{"config.json": "{}", "note.txt": "x"})
	f, err := os.Create(filepath.Join(dir, poolsFile))
	require.NoError(t, err)
	defer f.Close()
	pad := strings.Repeat("x", 300)
	for typ := range 10 {
		name := fmt.Sprintf("openai-custom-%d", typ)
		sizes[name] = n / 10
		fmt.Fprintf(f, "%s\n  %q: [", map[bool]string{true: "{", false: ","}[typ == 0], name)
		for i := range n / 10 {
			fmt.Fprintf(f, "%s\n    {\"uuid\": \"%d\", \"usageCount\": %d, \"pad\": %q}", map[bool]string{true: "", false: ","}[i == 0], i, i, pad)
		}
		fmt.Fprint(f, "\n  ]")
	}
	fmt.Fprint(f, "\n}\n")
	return dir, sizes
}

// TestHundredThousandAccounts is run on request: HOLDFAST_BIG=1.
func TestHundredThousandAccounts(t *testing.T) {
	if os.Getenv("HOLDFAST_BIG") == "" {
		t.Skip("takes long: HOLDFAST_BIG=1 go test -run HundredThousand ./gateway/transfer")
	}
	e := newEnv(t)
	dir, _ := manyAccounts(t, 100_000)
	start := time.Now()
	rep := e.migrate(dir)
	t.Logf("%d accounts in %v", rep.Accounts.New, time.Since(start))
	out := filepath.Join(t.TempDir(), "out")
	e.export(out)
	assert.Equal(t, digest(read(t, dir)), digest(read(t, out)))
}

func TestInit(t *testing.T) {
	e, ctx := newEnv(t), context.Background()
	cfg := InitConfig{Client: e.c, Prefix: e.prefix, Port: 3000, PasswordCost: bcrypt.MinCost}
	dry := cfg
	dry.DryRun = true
	_, err := Init(ctx, dry)
	require.NoError(t, err)
	assert.Empty(t, e.dump())
	res, err := Init(ctx, cfg)
	require.NoError(t, err)
	assert.Regexp(t, `^sk-[0-9a-f]{48}$`, res.APIKey)
	assert.Contains(t, e.dump()[e.key("config")], res.APIKey)
	assert.True(t, store.CheckPassword([]byte(e.dump()[e.key("pwd")]), res.Password))
	before := e.dump()
	_, err = Init(ctx, cfg)
	require.ErrorIs(t, err, ErrNotEmpty)
	assert.Equal(t, before, e.dump())
	e.c.HSet(ctx, e.key("pools:old"), "1", "{}")
	cfg.Force, cfg.APIKey, cfg.Password = true, "sk-own", "own"
	res, err = Init(ctx, cfg)
	require.NoError(t, err)
	assert.Equal(t, 5, res.Removed)
	assert.False(t, res.APIKeyGenerated || res.PasswordGenerated)
	assert.Len(t, e.dump(), 4)
}
