package main

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"holdfast/backend/redistest"
	"holdfast/gateway/store"
)

func TestTheCLIOnARealServer(t *testing.T) {
	srv := redistest.Start(t)
	url := "redis://" + srv.Addr()
	code, out, errs := cliTool(t, "SET 'a b' \"x\\ty\\x41\"\nGET 'a b'\n\nMULTI\nINCR n\nEXEC\nGET none\nKEYS *\nSADD\nSUBSCRIBE c\nSET \"x\nquit\nSET never 1\n", "cli", "--redis-url", url)
	require.Zero(t, code, errs)
	assert.Equal(t, "OK\nx\tyA\nOK\nQUEUED\n1\n\n", strings.Join(strings.SplitAfter(out, "\n")[:6], ""))
	assert.Contains(t, out, "(error) ERR wrong number of arguments for 'sadd' command")
	assert.Contains(t, out, "(error) SUBSCRIBE needs redis-cli")
	assert.Contains(t, out, "unbalanced quotes")
	assert.Zero(t, directClient(t, srv).Exists(context.Background(), "never").Val())

	// The quickstart's pipe, without redis-tools.
	code, _, errs = cliTool(t, "{\"a\": 1}\n", "cli", "--redis-url", url, "-x", "set", "aiclient:config")
	require.Zero(t, code, errs)
	assert.Equal(t, `{"a": 1}`, directClient(t, srv).Get(context.Background(), "aiclient:config").Val())
	code, out, _ = cliTool(t, "", "cli", "--redis-url", url, "LPUSH", "n", "x")
	assert.Equal(t, 1, code)
	assert.Contains(t, out, "WRONGTYPE")
	srv.Kill()
	code, _, errs = cliTool(t, "", "cli", "--redis-url", url, "PING")
	assert.Equal(t, 1, code)
	assert.Contains(t, errs, "is a Redis or a proxy running there")
}

func TestWordsOfALine(t *testing.T) {
	for line, want := range map[string][]string{
		``: nil, "  a\tb ": {"a", "b"}, `"a \"b\"" 'c\'d' 'e\n'`: {`a "b"`, "c'd", `e\n`}, `"\x41\n\\"`: {"A\n\\"}, `""`: {""}, `a"b`: {`a"b`}, `"\xZZ"`: {"xZZ"}, `"\x4"`: {"x4"},
	} {
		got, err := splitWords(line)
		require.NoError(t, err, line)
		assert.Equal(t, want, got, line)
	}
	for _, bad := range []string{`"a`, `'a`, `"a"b`, `"a\`, `"\x`} {
		_, err := splitWords(bad)
		assert.Error(t, err, bad)
	}
}

func TestPasswd(t *testing.T) {
	ctx := context.Background()
	srv := redistest.Start(t)
	d := directClient(t, srv)
	url := "redis://" + srv.Addr()
	st := store.New(d, store.DefaultPrefix)
	for _, tc := range []struct {
		stdin, password string
		flags           []string
	}{
		{"from stdin\n", "from stdin", nil},
		{"", "flagged", []string{"--password", "flagged"}},
		{"pässword\n", "pässword", []string{"--form", "pbkdf2"}},
		{"a plain one", "a plain one", []string{"--form", "plain"}},
		{strings.Repeat("long", 30) + "\n", strings.Repeat("long", 30), nil},
	} {
		require.NoError(t, d.Set(ctx, "aiclient:sessions:x", "{}", 0).Err())
		code, out, errs := cliTool(t, tc.stdin, append([]string{"passwd", "--redis-url", url}, tc.flags...)...)
		require.Zero(t, code, errs)
		assert.Contains(t, out, "1 sessions ended")
		assert.NotContains(t, out+errs, tc.password)
		raw, _, err := st.Get(ctx, st.Password())
		require.NoError(t, err)
		assert.True(t, store.CheckPassword(raw, tc.password), "%v", tc.flags)
	}
	_, out, _ := cliTool(t, "", "passwd", "--redis-url", url, "--generate")
	_, shown, _ := strings.Cut(strings.TrimSpace(out), "(shown once): ")
	raw, _, _ := st.Get(ctx, st.Password())
	assert.True(t, store.CheckPassword(raw, shown))
	for _, bad := range [][]string{{"--form", "md5"}, {"--generate", "--password", "x"}, {}, {"--form", "plain", "--password", " x"}, {"--form", "plain", "--password", "pbkdf2:00:00112233445566778899aabbccddeeff"}} {
		code, _, errs := cliTool(t, "", append([]string{"passwd", "--redis-url", url}, bad...)...)
		assert.NotZero(t, code, "%v", bad)
		assert.NotEmpty(t, errs)
	}
	now, _, _ := st.Get(ctx, st.Password())
	assert.Equal(t, raw, now)
}

// migrate says of each account whether it will serve, and of each setting without
// effect what happens instead.
func TestMigrateSaysWhatWillServe(t *testing.T) {
	srv := redistest.Start(t)
	code, out, errs := cliTool(t, "", "migrate", "--config-dir", sampleConfigs, "--redis-url", srv.URL())
	require.Zero(t, code, errs)
	assert.Contains(t, out, "openai-custom 11111111-1111-4111-8111-111111111111: will serve")
	assert.Contains(t, out, "claude-kiro-oauth 550e8400-e29b-41d4-a716-446655440001: stored only, because it has no KIRO_BASE_URL")
	assert.Contains(t, out, "setting REQUEST_BASE_DELAY (config.json): has no effect here")
	assert.NotContains(t, out, "SYSTEM_PROMPT_MODE", "it is honoured")
	assert.Contains(t, out, "account field concurrencyLimit (1 accounts)")
	assert.Equal(t, 12, strings.Count(out, ": will serve")+strings.Count(out, ": stored only, because"))
	assert.NotContains(t, out, "sk-fake")

	many := manyTokens(t, 300)
	code, out, errs = cliTool(t, "", "migrate", "--config-dir", many, "--redis-url", srv.URL(), "--key-prefix", "m:")
	require.Zero(t, code, errs)
	assert.Contains(t, out, "claude-kiro-oauth, 200 more: stored only, because it has no KIRO_BASE_URL")

	bad := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(bad, "config.json"), []byte(`{"redis":{"enabled":"yes","keyPrefix":7}}`), 0o600))
	code, _, errs = cliTool(t, "", "migrate", "--config-dir", bad)
	assert.Equal(t, 2, code)
	assert.Contains(t, errs, "redis.enabled")
	assert.Contains(t, errs, "redis.keyPrefix")
}

// A first start without anything tells where the dashboard is and its password,
// once, and SERVER_PORT of the store counts from then on.
func TestTheFirstStartExplainsItself(t *testing.T) {
	data := t.TempDir()
	s := startEmbedded(t, data)
	s.said("dashboard: " + s.base + "/dashboard")
	_, password, _ := strings.Cut(s.said("its password, shown this once: "), "once: ")
	raw := s.client().Get(context.Background(), "aiclient:pwd").Val()
	assert.True(t, store.CheckPassword([]byte(raw), password))
	s.kill9()
	s = startEmbedded(t, data)
	s.said("another password: holdfast passwd")
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, line := range s.all {
		assert.NotContains(t, line, "shown this once")
	}
}
