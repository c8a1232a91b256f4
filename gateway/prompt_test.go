package gateway

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"holdfast/backend/redistest"
)

func TestSystemPromptsOfTheConfiguration(t *testing.T) {
	f, p := newFixture(t), echo(t)
	for _, fam := range families {
		f.add(fam, "a", p.URL)
	}
	f.account("openaiResponses-custom", "a", p.URL, "")
	require.NoError(t, f.client.Set(t.Context(), "aiclient:files:input_system_prompt.txt", "be \"old\"", 0).Err())
	g := f.start()
	const chatPath, claudePath, geminiPath, responsesPath = "/v1/chat/completions", "/v1/messages", "/v1beta/models/m:generateContent", "/v1/responses"
	type row struct{ path, body, want string }
	for _, tc := range []struct {
		mode     string
		replaced bool
		file     bool
		rows     []row
	}{
		{"append", true, true, []row{
			{chatPath, `{"model":"openai-custom:m","messages":[{"role":"user","content":"old"}] ,"x":1.0}`, `{"model":"m","messages":[{"role":"system","content":"be \"new\""},{"role":"user","content":"old"}] ,"x":1.0}`},
			{chatPath, `{"model":"openai-custom:m","messages":[{"role":"system","content":"old one"},{"role":"developer","content":[{"type":"text","text":"an old"}]},{"role":"user","content":"old"}]}`,
				`{"model":"m","messages":[{"role":"system","content":"new one\nbe \"new\""},{"role":"developer","content":[{"type":"text","text":"an new"}]},{"role":"user","content":"old"}]}`},
			{chatPath, `{"model":"openai-custom:m","messages":[{"role":"system","content":[{"type":"text","text":"x"}]}]}`, `{"model":"m","messages":[{"role":"system","content":[{"type":"text","text":"x"},{"type":"text","text":"be \"new\""}]}]}`},
			{claudePath, `{"model":"claude-custom:m","system":"old","messages":[]}`, `{"model":"m","system":"new\nbe \"new\"","messages":[]}`},
			{claudePath, `{"model":"claude-custom:m","system":[{"type":"text","text":"a","cache_control":{"type":"ephemeral"}}],"messages":[]}`, `{"model":"m","system":[{"type":"text","text":"a","cache_control":{"type":"ephemeral"}},{"type":"text","text":"be \"new\""}],"messages":[]}`},
			{claudePath, `{"model":"claude-custom:m","messages":[]}`, `{"model":"m","messages":[],"system":"be \"new\""}`},
			{geminiPath, `{"contents":[]}`, `{"contents":[],"systemInstruction":{"parts":[{"text":"be \"new\""}]}}`},
			{geminiPath, `{"system_instruction":{"parts":[{"text":"old"}]}}`, `{"system_instruction":{"parts":[{"text":"new"},{"text":"be \"new\""}]}}`},
			{geminiPath, `{"systemInstruction":{"role":"user","parts":{"text":"old"}}}`, `{"systemInstruction":{"role":"user","parts":[{"text":"new"},{"text":"be \"new\""}]}}`},
			{responsesPath, `{"model":"openaiResponses-custom:m","instructions":"old","input":"x"}`, `{"model":"m","instructions":"new\nbe \"new\"","input":"x"}`},
		}},
		{"overwrite", false, true, []row{
			{chatPath, `{"model":"openai-custom:m","messages":[{"role":"system","content":"a"},{"role":"user","content":"u"},{"role":"developer","content":"b"}]}`, `{"model":"m","messages":[{"role":"system","content":"be \"old\""},{"role":"user","content":"u"}]}`},
			{claudePath, `{"model":"claude-custom:m","system":[{"type":"text","text":"a"}],"messages":[]}`, `{"model":"m","system":[{"type":"text","text":"be \"old\""}],"messages":[]}`},
			{geminiPath, `{"systemInstruction":{"parts":[{"text":"a"}]}}`, `{"systemInstruction":{"parts":[{"text":"be \"old\""}]}}`},
			{responsesPath, `{"model":"openaiResponses-custom:m","instructions":null,"input":"x"}`, `{"model":"m","instructions":"be \"old\"","input":"x"}`},
		}},
		{"append", true, false, []row{
			{chatPath, `{"model":"openai-custom:m","messages":[{"role":"user","content":"old"}]}`, `{"model":"m","messages":[{"role":"user","content":"old"}]}`},
			{claudePath, `{"model":"claude-custom:m","system":"very old","messages":[]}`, `{"model":"m","system":"very new","messages":[]}`},
			{geminiPath, `{ "contents":[] }`, `{ "contents":[] }`},
		}},
	} {
		cfg := map[string]any{"REQUIRED_API_KEY": clientKey, "MODEL_PROVIDER": everyType, "SYSTEM_PROMPT_MODE": tc.mode}
		if tc.file {
			cfg["SYSTEM_PROMPT_FILE_PATH"] = "configs/input_system_prompt.txt"
		}
		if tc.replaced {
			cfg["SYSTEM_PROMPT_REPLACEMENTS"] = []map[string]string{{"old": "old", "new": "new"}, {"old": "", "new": "never"}}
		}
		f.config(cfg)
		redistest.Eventually(t, patience, "the configuration is there", func() bool {
			s := g.link.snapshot().settings.prompt
			return s.mode == tc.mode && (len(s.replaced) > 0) == tc.replaced && (s.text != "") == tc.file
		})
		for _, r := range tc.rows {
			body, headers := r.body, []string{}
			if r.path == geminiPath {
				headers = []string{"Model-Provider", "gemini-custom"}
			}
			status, out, _ := g.do(t, http.MethodPost, r.path, body, headers...)
			require.Equal(t, 200, status, out)
			_, sent, _ := p.seen()
			assert.Equal(t, r.want, string(sent), tc.mode)
		}
	}
	// A file that changes, or is not there.
	require.NoError(t, f.client.Set(t.Context(), "aiclient:files:input_system_prompt.txt", "another", 0).Err())
	f.config(map[string]any{"REQUIRED_API_KEY": clientKey, "SYSTEM_PROMPT_FILE_PATH": `C:\app\configs\input_system_prompt.txt`})
	redistest.Eventually(t, patience, "the new text", func() bool { return g.link.snapshot().settings.prompt.text == "another" })
	f.config(map[string]any{"REQUIRED_API_KEY": clientKey, "SYSTEM_PROMPT_FILE_PATH": "/etc/none.txt"})
	redistest.Eventually(t, patience, "told", func() bool { return strings.Contains(f.logs.String(), "aiclient:files:none.txt") })
}

// The prompt reaches providers of other protocols, and comes from files as well.
func TestSystemPromptIsConvertedAndReadFromFiles(t *testing.T) {
	p := newClaude(t)
	dir := t.TempDir()
	write := func(name, text string) {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600))
	}
	write("config.json", `{"REQUIRED_API_KEY":"`+clientKey+`","SYSTEM_PROMPT_FILE_PATH":"configs/input_system_prompt.txt"}`)
	write("input_system_prompt.txt", "be brief")
	write("provider_pools.json", `{"claude-custom":[{"uuid":"a","CLAUDE_API_KEY":"sk-account-k","CLAUDE_BASE_URL":"`+p.URL+`"}]}`)
	f := &fixture{t: t, server: redistest.Reserve(t), logs: &syncBuffer{}}
	g := f.start(func(c *Config) { c.ConfigDir = dir })
	status, out, _ := g.chat(t, `{"model":"m","messages":[{"role":"user","content":"hi"}]}`)
	require.Equal(t, 200, status, out)
	_, body, _ := p.seen()
	require.Contains(t, string(body), "be brief")
	require.Equal(t, []string{"a/b.txt", "b.txt"}, promptFiles("./configs/a/b.txt"))
	require.Empty(t, promptFiles(""))
	require.Equal(t, fmt.Sprint([]string{"passwd"}), fmt.Sprint(promptFiles("configs/../../etc/passwd")))
}
