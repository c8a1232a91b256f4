package transfer

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"holdfast/gateway/store"
)

const sample = "../../testdata/configs"

// roundTrip migrates dir, exports, migrates the export into an empty prefix and
// exports again; both exports must be the same. It gives the first export and
// the first report.
func roundTrip(t testing.TB, e *env, dir string) (map[string]string, *Report) {
	first, second := e.fresh(t), e.fresh(t)
	rep := first.migrate(dir)
	one, two := filepath.Join(t.TempDir(), "one"), filepath.Join(t.TempDir(), "two")
	first.export(one)
	second.migrate(one)
	second.export(two)
	require.Equal(t, read(t, one), read(t, two))
	again := second.migrate(one)
	assert.Zero(t, again.Changes(), "a second migrate changes nothing: %v", again.Items)
	return read(t, one), rep
}

func TestSampleConfiguration(t *testing.T) {
	e := newEnv(t)
	out, rep := roundTrip(t, e, sample)
	assert.Equal(t, 12, rep.Accounts.New)
	assert.Equal(t, 8, rep.Tokens.New)
	assert.Equal(t, 1, rep.Config.New)
	assert.Zero(t, rep.Troubles())
	src := read(t, sample)
	delete(src, "token-store.json") // sessions are not exported
	assert.Equal(t, src, out)
}

func TestTokensHaveNoExpiryAndSessionsHave(t *testing.T) {
	e, ctx := newEnv(t), context.Background()
	e.migrate(sample)
	keys := e.c.Keys(ctx, e.key("tokens:*")).Val()
	require.Len(t, keys, 8)
	for _, k := range keys {
		assert.EqualValues(t, -1, e.c.TTL(ctx, k).Val(), k)
	}
	token := strings.Repeat("0f", 32)
	assert.Positive(t, e.c.TTL(ctx, store.Keys{Prefix: e.prefix}.Session(token)).Val())
	assert.Len(t, e.c.Keys(ctx, e.key("sessions:*")).Val(), 1)
}

func TestAwkwardTrees(t *testing.T) {
	e := newEnv(t)
	pools := func(s string) map[string]string {
		return map[string]string{"config.json": "{}", "provider_pools.json": s}
	}
	with := func(s string, more map[string]string) map[string]string {
		more["config.json"], more["provider_pools.json"] = "{}", s
		return more
	}
	cases := map[string]struct {
		files    map[string]string
		accounts int
		tokens   int
		trouble  string // part of the one failed or refused item; "" for none
		noted    string
		skipped  string
	}{
		"byte order mark and CRLF":     {files: pools("\xef\xbb\xbf{\r\n\"a\" :\r\n[ {\"uuid\":\"1\"} ,{\"uuid\":\"2\"}\r\n]\r\n}\r\n\r\n"), accounts: 2},
		"numbers stay":                 {files: pools(`{"a":[{"uuid":"1","n":12345678901234567890,"f":1.0,"e":1e400,"z":-0.0}]}`), accounts: 1},
		"duplicate keys in an account": {files: pools(`{"a":[{"uuid":"x","uuid":"1","k":1,"k":2}]}`), accounts: 1},
		"duplicate type":               {files: pools(`{"a":[{"uuid":"1"}], "a" : [{"uuid":"2"}]}`), accounts: 1, skipped: "comes again"},
		"no uuid":                      {files: pools(`{"a":[{"x":1},{"x":1},{"uuid":""},{"uuid":7}]}`), accounts: 4, noted: "has no uuid"},
		"same uuid twice":              {files: pools(`{"a":[{"uuid":"1"},{"uuid":"1","second":true}]}`), accounts: 1, trouble: "a 1"},
		"shared across types":          {files: pools(`{"a":[{"uuid":"1"}],"b":[{"uuid":"1"}]}`), accounts: 2},
		"empty pools":                  {files: pools("{\"a\":[],\"b\": [ \n ] }"), noted: "empty provider pools"},
		"no pools":                     {files: pools("{ }")},
		"not an array":                 {files: pools(`{"_c":"x","n":null,"o":{"a":[]},"a":[{"uuid":"1"}]}`), accounts: 1, skipped: "not an array"},
		"not an object":                {files: pools(`{"a":[null,{"uuid":"1"},"s",[1], 5 ]}`), accounts: 1, skipped: "not an object"},
		"odd type names":               {files: pools(`{"index":[{"uuid":"1"}],"a:b":[{"uuid":"c"}],"a":[{"uuid":"b:c"}],"":[{"uuid":"1"}],"%3A":[{"uuid":"1"}],"\u0061z é":[{"uuid":"../../x"}]}`), accounts: 6},
		"pools are no JSON":            {files: pools(`{"a":[{"uuid":"1"}`), trouble: "not valid JSON"},
		"pools are empty":              {files: pools(""), trouble: "empty provider pools"},
		"pools are an array":           {files: pools("[]"), trouble: "not a JSON object"},
		"something follows":            {files: pools("{} x"), trouble: "not valid JSON"},
		"config is no JSON":            {files: map[string]string{"config.json": "{,}"}, trouble: "not a JSON object"},
		"config is empty":              {files: map[string]string{"config.json": ""}, trouble: "empty"},
		"empty password":               {files: map[string]string{"config.json": "{}", "pwd": "\n"}, skipped: "empty"},
		"hashed password":              {files: map[string]string{"config.json": "{}", "pwd": "pbkdf2:00ff:00112233445566778899aabbccddeeff\n"}},
		"missing token":                {files: pools(`{"a":[{"uuid":"1","A_CREDS_FILE_PATH":"./configs/kiro/no.json"}]}`), accounts: 1, trouble: "does not exist"},
		"empty token": {files: with(`{"a":[{"uuid":"1","A_CREDS_FILE_PATH":"kiro/t.json"}]}`,
			map[string]string{"kiro/t.json": ""}), accounts: 1, trouble: "kiro/t.json"},
		"invalid token": {files: with(`{"a":[{"uuid":"1","A_TOKEN_FILE_PATH":"kiro/t.json"}]}`,
			map[string]string{"kiro/t.json": "{\xff"}), accounts: 1, trouble: "kiro/t.json"},
		"paths in every form": {files: with(`{"a":[{"uuid":"1","A_CREDS_FILE_PATH":"./configs/k/1.json"},{"uuid":"2","A_CREDS_FILE_PATH":"configs/k/2.json"},`+
			`{"uuid":"3","A_CREDS_FILE_PATH":".\\configs\\k\\3 é.json"},{"uuid":"4","A_CREDS_FILE_PATH":"k/d/e/4.json"},{"uuid":"5","A_CREDS_FILE_PATH":"./old-name/k/5.json"}]}`,
			map[string]string{"k/1.json": "{}", "k/2.json": "\xef\xbb\xbf{\r\n}", "k/3 é.json": `{"a":1.0}`, "k/d/e/4.json": "{}\n", "k/5.json": " {}"}), accounts: 5, tokens: 5},
		"a shared token file": {files: with(`{"a":[{"uuid":"1","A_CREDS_FILE_PATH":"t.json"},{"uuid":"2","A_CREDS_FILE_PATH":"./t.json"}]}`,
			map[string]string{"t.json": "{}"}), accounts: 2, tokens: 2},
		"the configuration named as a token": {files: pools(`{"a":[{"uuid":"1","A_CREDS_FILE_PATH":"configs/config.json"}]}`), accounts: 1, trouble: "does not exist"},
		"unknown files": {files: map[string]string{"config.json": "{}", "a b/ü\\x.bin": "\x00\xff", ".hidden": "", "x\n": "y",
			"configs/config.json": "no", "_external/x": "z"}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			dir := write(t, t.TempDir(), tc.files)
			out, rep := roundTrip(t, e, dir)
			assert.Equal(t, tc.accounts, rep.Accounts.New, "accounts")
			assert.Equal(t, tc.tokens, rep.Tokens.New, "tokens")
			troubles := append(reasons(rep, Failed), reasons(rep, Refused)...)
			if tc.trouble == "" {
				assert.Empty(t, troubles)
			} else if assert.Len(t, troubles, 1) {
				assert.Contains(t, troubles[0], tc.trouble)
			}
			assert.Contains(t, strings.Join(reasons(rep, Note), "\n"), tc.noted)
			assert.Contains(t, strings.Join(reasons(rep, Skipped), "\n"), tc.skipped)
			if _, ok := out[pathsFile]; !ok || tc.files[pathsFile] == "" {
				delete(out, pathsFile)
			}
			assert.Equal(t, tc.files, out, "the export is the source")
		})
	}
}

func TestAbsolutePathsAndLinks(t *testing.T) {
	e := newEnv(t)
	base := t.TempDir()
	dir := filepath.Join(base, "my-configs")
	in, out := filepath.Join(dir, "k/in.json"), filepath.Join(base, "out.json")
	write(t, dir, map[string]string{"config.json": "{}", "k/in.json": `{"in":1}`, "k/real.json": `{"real":1}`, "d/f.txt": "f",
		"provider_pools.json": `{"a":[{"uuid":"1","A_CREDS_FILE_PATH":"` + in + `"},{"uuid":"2","A_CREDS_FILE_PATH":"` + out + `"},` +
			`{"uuid":"3","A_CREDS_FILE_PATH":"k/link.json"},{"uuid":"4","A_CREDS_FILE_PATH":"k/away.json"},{"uuid":"5","A_CREDS_FILE_PATH":"../out.json"}]}`})
	write(t, base, map[string]string{"out.json": `{"out":1}`})
	require.NoError(t, os.Symlink("real.json", filepath.Join(dir, "k/link.json")))
	require.NoError(t, os.Symlink(out, filepath.Join(dir, "k/away.json")))
	require.NoError(t, os.Symlink("d", filepath.Join(dir, "dlink")))
	require.NoError(t, os.Symlink("..", filepath.Join(dir, "d/up")))
	require.NoError(t, os.Symlink("nowhere", filepath.Join(dir, "dangling")))
	files, rep := roundTrip(t, e, dir)
	assert.Equal(t, 4, rep.Tokens.New)
	assert.Equal(t, `{"in":1}`, files["k/in.json"])
	assert.Equal(t, `{"out":1}`, files[externalDir+"/root"+out])
	assert.Equal(t, `{"real":1}`, files["k/link.json"])
	assert.Equal(t, "f", files["dlink/f.txt"])
	assert.Contains(t, files[pathsFile], in)
	assert.Contains(t, strings.Join(reasons(rep, Failed), "\n"), "away.json): token file: symbolic link leads outside")
}

func TestExportStaysInsideItsDirectory(t *testing.T) {
	e, ctx := newEnv(t), context.Background()
	for _, rel := range []string{"../evil", "/evil", "a/../../evil", "a/./b", "", ".", "a//b", "x\x00y", tempFile} {
		e.c.Set(ctx, e.key("files:"+rel), "evil", 0)
	}
	e.c.Set(ctx, e.key("config"), "{}", 0)
	base := t.TempDir()
	dir, away := filepath.Join(base, "out"), filepath.Join(base, "away")
	require.NoError(t, os.MkdirAll(dir, 0o755))
	require.NoError(t, os.MkdirAll(away, 0o755))
	require.NoError(t, os.Symlink(away, filepath.Join(dir, "link")))
	e.c.Set(ctx, e.key("files:link/x"), "evil", 0)
	rep := e.export(dir)
	assert.Equal(t, 10, rep.Files.Failed, rep.Items)
	assert.Empty(t, read(t, away))
	require.NoError(t, os.Remove(filepath.Join(dir, "link")))
	assert.Equal(t, map[string]string{"config.json": "{}"}, read(t, dir))
	assert.Equal(t, map[string]string{"out/config.json": "{}"}, read(t, base))
	st, err := os.Stat(filepath.Join(dir, "config.json"))
	require.NoError(t, err)
	assert.Equal(t, os.FileMode(0o600), st.Mode().Perm())
}
