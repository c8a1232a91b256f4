package store

import (
	"bytes"
	"context"
	"io"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"holdfast/backend/redistest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func open(t *testing.T) *Store {
	s := redistest.Start(t)
	c, err := Options{URL: s.URL(), ConnectTimeout: 10e9, CommandTimeout: 10e9}.Client()
	require.NoError(t, err)
	t.Cleanup(func() { _ = c.Close() })
	return New(c, "p:")
}

func TestSwapToken(t *testing.T) {
	s, ctx := open(t), context.Background()
	for _, name := range []string{"refreshToken", "refresh_token"} {
		access := strings.Replace(name, "refresh", "access", 1)
		raw := "\xef\xbb\xbf{ \"" + name + "\": \"r1\", \"n\": 12345678901234567890, \"" + access + "\":\"a1\", \"l\": [] }"
		require.NoError(t, s.Set(ctx, s.Keys.Token("t", name), []byte(raw)))
		want := strings.NewReplacer("r1", "r2", "a1", "a2").Replace(raw)
		next := Renewal{Access: "a2", Refresh: "r2"}
		for _, other := range []Credentials{{Access: "a1", Refresh: "r0"}, {Access: "a0", Refresh: "r1"}} {
			got, err := s.SwapToken(ctx, "t", name, other, next)
			require.NoError(t, err)
			assert.Equal(t, raw, string(got), "somebody else refreshed: theirs stays")
		}
		for range 2 { // the second time it is there already
			got, err := s.SwapToken(ctx, "t", name, Credentials{Access: "a1", Refresh: "r1"}, next)
			require.NoError(t, err)
			assert.Equal(t, want, string(got))
		}
		stored, err := s.Token(ctx, "t", name)
		require.NoError(t, err)
		assert.Equal(t, want, string(stored), "bytes are never decoded")
		assert.EqualValues(t, -1, s.Client().TTL(ctx, s.Keys.Token("t", name)).Val())
	}
	got, err := s.SwapToken(ctx, "t", "gone", Credentials{Access: "a1", Refresh: "r1"}, Renewal{Access: "a2"})
	require.NoError(t, err)
	assert.Nil(t, got, "an account that was deleted gets no token")
	require.Zero(t, s.Client().Exists(ctx, s.Keys.Token("t", "gone")).Val())
}

func TestTokenLock(t *testing.T) {
	s, ctx := open(t), context.Background()
	owner, ok, err := s.LockToken(ctx, "t", "1")
	require.NoError(t, err)
	require.True(t, ok)
	_, ok, err = s.LockToken(ctx, "t", "1")
	require.NoError(t, err)
	assert.False(t, ok)
	require.NoError(t, s.UnlockToken(ctx, "t", "1", "somebody else"))
	_, ok, _ = s.LockToken(ctx, "t", "1")
	assert.False(t, ok)
	require.NoError(t, s.UnlockToken(ctx, "t", "1", owner))
	_, ok, _ = s.LockToken(ctx, "t", "1")
	assert.True(t, ok)
}

func TestPoolsKeepOrderAndCounters(t *testing.T) {
	s, ctx := open(t), context.Background()
	var buf bytes.Buffer
	l := NewLayoutWriter(&buf, []byte("["))
	for _, u := range []string{"z", "gone", "a"} {
		l.Item(LayoutItem{Ref: true, Name: u})
	}
	require.NoError(t, l.Close([]byte("]")))
	require.NoError(t, s.Set(ctx, s.Keys.Layout("t"), buf.Bytes()))
	for _, u := range []string{"a", "m", "z", "b"} {
		require.NoError(t, s.SetEntry(ctx, "t", u, []byte(`{ "usageCount" : 18446744073709551616 }`)))
	}
	n, err := s.Incr(ctx, "t", "z", UsageCount, 3)
	require.NoError(t, err)
	assert.EqualValues(t, 3, n)
	pools, err := s.Pools(ctx)
	require.NoError(t, err)
	require.Len(t, pools, 1)
	var order string
	for _, e := range pools[0].Entries {
		order += e.UUID
	}
	assert.Equal(t, "zabm", order)
	assert.Equal(t, `{ "usageCount" : 18446744073709551619 }`, string(pools[0].Entries[0].Merged()))
	require.NoError(t, s.DeleteEntry(ctx, "t", "z"))
	_, ok, err := s.Entry(ctx, "t", "z")
	require.NoError(t, err)
	assert.False(t, ok)
	assert.Zero(t, s.Client().Exists(ctx, s.Counter("t", "z", UsageCount)).Val())
}

func TestKeysAreUnambiguous(t *testing.T) {
	k := Keys{Prefix: "p:"}
	assert.Equal(t, "p:pools:a:b %", k.Pool("a:b %"))
	assert.Equal(t, "p:pool-types", k.PoolIndex())
	assert.NotEqual(t, k.Token("a", "b:c"), k.Token("a:b", "c"))
	assert.Equal(t, "p:tokens:openai-custom-team2:u", k.Token("openai-custom-team2", "u"))
	rapid.Check(t, func(t *rapid.T) {
		typ, uuid := rapid.String().Draw(t, "type"), rapid.String().Draw(t, "uuid")
		gotType, gotUUID, ok := TypeAndUUID(k.Token(typ, uuid)[len(k.TokenPrefix()):])
		require.True(t, ok)
		require.Equal(t, []string{typ, uuid}, []string{gotType, gotUUID})
	})
}

func TestSetMember(t *testing.T) {
	for _, c := range []struct{ raw, name, value, want string }{
		{`{"a":1,"b":2}`, "a", "9", `{"a":9,"b":2}`},
		{"\xef\xbb\xbf {\r\n \"a\" : 1 }", "a", `"x"`, "\xef\xbb\xbf {\r\n \"a\" : \"x\" }"},
		{`{"a":1,"a":2}`, "a", "9", `{"a":1,"a":9}`},
		{`{"\u0061":1}`, "a", "9", `{"\u0061":9}`},
		{`{}`, "a", "9", `{"a":9}`},
		{"{ \"b\":{} \n} ", "a", "9", "{ \"b\":{},\"a\":9 \n} "},
		{`{"x":{"a":1}}`, "a", "9", `{"x":{"a":1},"a":9}`},
		{`[1]`, "a", "9", `[1]`},
		{``, "a", "9", ``},
	} {
		assert.Equal(t, c.want, string(SetMember([]byte(c.raw), c.name, []byte(c.value))), c.raw)
	}
}

func TestCounterBases(t *testing.T) {
	for base, want := range map[string]string{"1": "4", "null": "3", `"5"`: "8", "1e2": "103", "-0.0": "3", "[]": "3", "1e999": "3", "99999999999999999999": "100000000000000000002"} {
		e := Entry{JSON: []byte(`{"usageCount":` + base + `}`), Counters: Counters{Usage: 3}}
		assert.Equal(t, `{"usageCount":`+want+`}`, string(e.Merged()), base)
	}
	assert.Equal(t, `{"usageCount":1.0}`, string(Entry{JSON: []byte(`{"usageCount":1.0}`)}.Merged()), "nothing to add, nothing changed")
}

func TestLayoutRoundTripAndDamage(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		str := rapid.StringN(0, 5, -1)
		var items []LayoutItem
		for range rapid.IntRange(0, 5).Draw(t, "items") {
			items = append(items, LayoutItem{Gap: []byte(str.Draw(t, "gap")), Ref: rapid.Bool().Draw(t, "ref"), Name: str.Draw(t, "name"), Path: str.Draw(t, "path")})
		}
		var buf bytes.Buffer
		w := NewLayoutWriter(&buf, []byte("["))
		for _, it := range items {
			w.Item(it)
		}
		require.NoError(t, w.Close([]byte("]")))
		whole := buf.Bytes()
		r, err := NewLayoutReader(bytes.NewReader(whole))
		require.NoError(t, err)
		for _, want := range items {
			got, err := r.Next()
			require.NoError(t, err)
			require.Equal(t, string(want.Gap)+want.Name+want.Path, string(got.Gap)+got.Name+got.Path)
		}
		_, err = r.Next()
		require.ErrorIs(t, err, io.EOF)
		LayoutRefs(whole[:rapid.IntRange(0, len(whole)).Draw(t, "cut")])
		LayoutRefs(rapid.SliceOf(rapid.Byte()).Draw(t, "noise"))
	})
}

func TestPasswords(t *testing.T) {
	for _, pw := range []string{"示例", string(bytes.Repeat([]byte("long"), 30))} {
		h, err := HashPassword(pw, 0)
		require.NoError(t, err)
		assert.True(t, PasswordHashed(h))
		assert.True(t, CheckPassword(append(h, '\n'), pw))
		assert.False(t, CheckPassword(h, pw+"x"))
	}
	assert.False(t, PasswordHashed([]byte("pbkdf2:salt:nothex")))
	for stored, given := range map[string]string{"plain\r\n": "plain", "\xef\xbb\xbf示例": "示例", "$2a$short": "$2a$short", "pbkdf2:salt:nothex": "pbkdf2:salt:nothex"} {
		assert.True(t, CheckPassword([]byte(stored), given), stored)
		assert.False(t, CheckPassword([]byte(stored), given+" "), stored)
	}
	for _, nothing := range []string{"", "\n"} {
		assert.False(t, CheckPassword([]byte(nothing), ""))
		assert.False(t, CheckPassword([]byte(nothing), nothing))
	}
	h, err := HashPassword("secret", 4)
	require.NoError(t, err)
	assert.False(t, CheckPassword(h, string(h)), "a hash is not the password")
}

func TestResolveOptions(t *testing.T) {
	cfg := []byte(`{"redis":{"enabled":false,"host":"file","port":"7000","db":2,"keyPrefix":"f:","connectTimeout":7000,"password":null}}`)
	o, err := Resolve(Sources{ConfigJSON: cfg})
	require.NoError(t, err)
	assert.Equal(t, "redis://file:7000/2", o.String())
	assert.False(t, o.Enabled)
	env := map[string]string{"REDIS_HOST": "env", "REDIS_DB": "3", "REDIS_KEY_PREFIX": "e:"}
	get := func(k string) string { return env[k] }
	o, err = Resolve(Sources{ConfigJSON: cfg, Getenv: get})
	require.NoError(t, err)
	assert.Equal(t, "redis://env:7000/3 e:", o.String()+" "+o.KeyPrefix)
	env["REDIS_URL"] = "redis://u:hunter2@url:1/4"
	prefix := ""
	o, err = Resolve(Sources{ConfigJSON: cfg, Getenv: get, FlagPrefix: &prefix})
	require.NoError(t, err)
	assert.Equal(t, "redis://url:1/4", o.String())
	assert.True(t, o.Enabled)
	assert.Empty(t, o.KeyPrefix)
	for _, bad := range []string{"redis://u:hunter2@h:1/x/y", "http://u:hunter2@h", "redis://u:hunter2%zz@h", "redis-sentinel://u:hunter2@h:1", "hunter2 hunter2", "redis://u:12/hunter2@h"} {
		_, err = Resolve(Sources{FlagURL: bad})
		require.Error(t, err, bad)
		assert.NotContains(t, err.Error(), "hunter2")
	}
	_, err = Resolve(Sources{FlagURL: "http://x"})
	assert.ErrorContains(t, err, `"http://x" (--redis-url, REDIS_URL`)
	env = map[string]string{"REDIS_PORT": "x", "REDIS_ENABLED": "maybe"}
	_, err = Resolve(Sources{Getenv: get})
	assert.ErrorContains(t, err, "REDIS_PORT")
	assert.ErrorContains(t, err, "REDIS_ENABLED")
	u, err := Options{URL: "redis-sentinel://:pw@a:1,b:2/main/5"}.Universal()
	require.NoError(t, err)
	assert.Equal(t, "main", u.MasterName)
	assert.Equal(t, []string{"a:1", "b:2"}, u.Addrs)
	assert.Equal(t, 5, u.DB)
}

func TestWhichSourceSaysWhetherThereIsARedis(t *testing.T) {
	for _, tc := range []struct {
		config       string
		env          map[string]string
		file, flag   string
		enabled, off bool
		url          string
	}{
		{url: "redis://localhost:6379/0"},
		{config: `{"redis":{"enabled":true}}`, enabled: true, url: "redis://localhost:6379/0"},
		{config: `{"redis":{"enabled":false,"url":"redis://f"}}`, off: true, url: "redis://f"},
		{config: `{"redis":{"url":"redis://f","enabled":false}}`, env: map[string]string{"REDIS_ENABLED": "true"}, enabled: true, url: "redis://f"},
		{config: `{"redis":{"enabled":false}}`, env: map[string]string{"REDIS_HOST": "h", "REDIS_PASSWORD": "p@", "REDIS_DB": "3"}, enabled: true, url: "redis://:p%40@h:6379/3"},
		{config: `{"redis":{"host":"h"}}`, env: map[string]string{"REDIS_ENABLED": "FALSE"}, off: true, url: "redis://h:6379/0"},
		{env: map[string]string{"REDIS_ENABLED": "false", "REDIS_URL": "redis://e"}, off: true, url: "redis://e"},
		{env: map[string]string{"REDIS_ENABLED": "false"}, flag: "redis://x", enabled: true, url: "redis://x"},
		{env: map[string]string{"REDIS_PASSWORD": "p", "REDIS_DB": "3"}, url: "redis://:p@localhost:6379/3"},
		{file: "redis://f", env: map[string]string{"REDIS_PORT": "7"}, enabled: true, url: "redis://localhost:7/0"},
		{config: `{"redis":{"url":"redis://c"}}`, file: "redis://f", enabled: true, url: "redis://f"},
		{flag: "rediss://u@h", env: map[string]string{"REDIS_PASSWORD": "p", "REDIS_DB": "3"}, enabled: true, url: "rediss://u:p@h?db=3"},
		{flag: "redis://u:own@h/4", env: map[string]string{"REDIS_PASSWORD": "p", "REDIS_DB": "3"}, enabled: true, url: "redis://u:own@h/4"},
		{flag: "unix:///run/r", env: map[string]string{"REDIS_DB": "3"}, enabled: true, url: "unix:///run/r?db=3"},
		{flag: "redis-sentinel://a,b:1/m", env: map[string]string{"REDIS_DB": "3"}, enabled: true, url: "redis-sentinel://a,b:1/m?db=3"},
		{flag: "redis-sentinel://a,b:1/m/4", env: map[string]string{"REDIS_DB": "3"}, enabled: true, url: "redis-sentinel://a,b:1/m/4"},
	} {
		o, err := Resolve(Sources{ConfigJSON: []byte(tc.config), Getenv: func(k string) string { return tc.env[k] }, FileURL: tc.file, FlagURL: tc.flag})
		require.NoError(t, err, "%+v", tc)
		assert.Equal(t, tc.enabled, o.Enabled, "%+v", tc)
		assert.Equal(t, tc.off, o.Off, "%+v", tc)
		assert.Equal(t, tc.url, o.FullURL(), "%+v", tc)
	}
}

func TestSentinelURLForms(t *testing.T) {
	for _, raw := range []string{"redis-sentinel://:pw@a,b:1/main/5", "redis-sentinel://:pw@a,b:1/main?db=5"} {
		u, err := Options{URL: raw}.Universal()
		require.NoError(t, err, raw)
		assert.Equal(t, []string{"a:26379", "b:1"}, u.Addrs)
		assert.Equal(t, []any{"main", 5, "pw"}, []any{u.MasterName, u.DB, u.Password})
	}
}

// What the redis block says with another type than it has is an error that names
// it, in the file and in the environment alike, and shows no password.
func TestTheRedisBlockIsReadStrictly(t *testing.T) {
	for _, tc := range []struct{ block, want string }{
		{`{"enabled":"yes"}`, `redis.enabled in config.json: "yes" is neither true nor false`},
		{`{"enabled":2}`, "redis.enabled"}, {`{"enabled":[]}`, "redis.enabled"},
		{`{"keyPrefix":7}`, "redis.keyPrefix in config.json: 7 is not a text"},
		{`{"host":6379}`, "redis.host"}, {`{"host":""}`, "redis.host"}, {`{"url":true}`, "redis.url"},
		{`{"port":"x"}`, "redis.port"}, {`{"port":true}`, "redis.port"}, {`{"port":0}`, "redis.port"}, {`{"db":1.5}`, "redis.db"},
		{`{"password":12345}`, "redis.password"}, {`{"commandTimeout":"soon"}`, "redis.commandTimeout"},
		{`true`, "redis in config.json: true is not an object"}, {`"redis://h"`, "is not an object"},
	} {
		_, err := Resolve(Sources{ConfigJSON: []byte(`{"redis":` + tc.block + `}`)})
		require.ErrorContains(t, err, tc.want, tc.block)
		assert.NotContains(t, err.Error(), "12345")
	}
	_, err := Resolve(Sources{Getenv: func(k string) string { return map[string]string{"REDIS_ENABLED": "yes"}[k] }})
	require.ErrorContains(t, err, `REDIS_ENABLED: "yes" is neither true nor false`)
	for block, on := range map[string]bool{`{"enabled":"True"}`: true, `{"enabled":1}`: true, `{"enabled":"0","host":"h"}`: false, `{"enabled":null,"host":"h","port":"7"}`: true, `null`: false} {
		o, err := Resolve(Sources{ConfigJSON: []byte(`{"redis":` + block + `}`)})
		require.NoError(t, err, block)
		assert.Equal(t, on, o.Enabled, block)
	}
}
