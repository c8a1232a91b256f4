package gateway

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// An answer that the model did not finish (a limit, a call that it wrote wrong, a
// filter) is an answer: not the account's fault, and not asked for twice.
func TestUnfinishedAnswersAreNobodysFault(t *testing.T) {
	for _, tc := range []struct{ family, body string }{
		{"gemini", `{"candidates":[{"content":{"parts":[{"text":"hal"}],"role":"model"},"finishReason":"MAX_TOKENS","index":0}],"usageMetadata":{"promptTokenCount":1},"modelVersion":"m"}`},
		{"gemini", `{"candidates":[{"content":{"role":"model"},"finishReason":"MAX_TOKENS","index":0}],"usageMetadata":{"promptTokenCount":1},"modelVersion":"m"}`},
		{"gemini", `{"candidates":[{"content":{},"finishReason":"MALFORMED_FUNCTION_CALL","index":0,"finishMessage":"Malformed function call: x("}],"usageMetadata":{"promptTokenCount":1},"modelVersion":"m"}`},
		{"gemini", `{"candidates":[{"finishReason":"UNEXPECTED_TOOL_CALL","index":0}],"usageMetadata":{"promptTokenCount":1},"modelVersion":"m"}`},
		{"gemini", `{"candidates":[{"finishReason":"SAFETY","index":0}],"usageMetadata":{"promptTokenCount":1},"modelVersion":"m"}`},
		{"gemini", `{"promptFeedback":{"blockReason":"PROHIBITED_CONTENT"},"usageMetadata":{"promptTokenCount":1},"modelVersion":"m"}`},
		{"chat", `{"id":"c","object":"chat.completion","created":1,"model":"m","choices":[{"index":0,"message":{"role":"assistant","content":null},"finish_reason":"length"}],"usage":{"prompt_tokens":1,"completion_tokens":5,"total_tokens":6}}`},
		{"chat", `{"id":"c","object":"chat.completion","created":1,"model":"m","choices":[{"index":0,"message":{"role":"assistant","content":null,"tool_calls":[{"id":"x","type":"function","function":{"name":"f","arguments":"{\"a\":"}}]},"finish_reason":"length"}]}`},
		{"chat", `{"id":"c","object":"chat.completion","created":1,"model":"m","choices":[{"index":0,"message":{"role":"assistant","content":""},"finish_reason":"content_filter"}]}`},
		{"claude", `{"id":"m","type":"message","role":"assistant","model":"m","content":[],"stop_reason":"max_tokens","stop_sequence":null,"usage":{"input_tokens":1,"output_tokens":1}}`},
		{"claude", `{"id":"m","type":"message","role":"assistant","model":"m","content":[],"stop_reason":"refusal","stop_sequence":null,"usage":{"input_tokens":1,"output_tokens":1}}`},
	} {
		fam := families[map[string]int{"chat": 0, "claude": 1, "gemini": 2}[tc.family]]
		f, p, other := newFixture(t), fam.start(t), fam.start(t)
		f.add(fam, "a", p.URL)
		f.add(fam, "b", other.URL)
		p.ok200("application/json", tc.body)
		other.ok200("application/json", tc.body)
		g := f.start()
		asked := 0
		for _, c := range sdkClients {
			for _, stream := range []bool{false, true} {
				_, err := c.ask(t.Context(), g.url, fam.typ+":"+fam.model, dialogue{user: "hi", tool: true}, stream)
				assert.NoError(t, err, "%s client, stream %v: %s", c.name, stream, tc.body)
				asked++
				assert.Equal(t, asked, p.count()+other.count(), "%s client, stream %v: %s", c.name, stream, tc.body)
				asked = p.count() + other.count()
			}
		}
		require.NoError(t, g.stop())
		assert.Equal(t, "0", f.counter(fam.typ, "a", errorCount), tc.body)
		assert.Equal(t, "0", f.counter(fam.typ, "b", errorCount), tc.body)
	}
}
