package convert

import (
	"encoding/base64"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/tidwall/gjson"
)

// Each protocol's question for tokens is asked in each other that has one, without the
// fields that it does not take there, and its answer comes back in the client's form.
func TestCount(t *testing.T) {
	bodies := map[Format]string{
		Claude:    `{"model":"x","system":"s","messages":[{"role":"user","content":"hi"}],"tools":[{"name":"f","input_schema":{"type":"object"}}]}`,
		Gemini:    `{"generateContentRequest":{"model":"models/x","systemInstruction":{"parts":[{"text":"s"}]},"contents":[{"role":"user","parts":[{"text":"hi"}]}],"tools":[{"functionDeclarations":[{"name":"f"}]}]}}`,
		Responses: `{"model":"x","instructions":"s","input":"hi","tools":[{"type":"function","name":"f","parameters":{"type":"object"}}]}`,
	}
	answers := map[Format]string{Claude: `{"input_tokens":42}`, Gemini: `{"totalTokens":42}`, Responses: `{"object":"response.input_tokens","input_tokens":42}`}
	for client, body := range bodies {
		for provider, answer := range answers {
			c, out, err := NewCount(client, provider, []byte(body), "m")
			require.NoError(t, err)
			for _, field := range []string{"max_tokens", "stream", "store", "max_output_tokens"} {
				require.False(t, gjson.GetBytes(out, field).Exists(), "%s of %s", field, out)
			}
			require.Contains(t, string(out), `"hi"`)
			got, err := c.Answer([]byte(answer))
			require.NoError(t, err)
			require.JSONEq(t, answers[client], string(got), "%v of %v", client, provider)
			_, err = c.Answer([]byte(`{"error":{}}`))
			require.Error(t, err)
		}
		_, _, err := NewCount(client, Chat, []byte(body), "m")
		require.ErrorIs(t, err, ErrNoCount)
	}
	_, out, err := NewCount(Gemini, Gemini, []byte(`{"contents":[{"parts":[{"text":"a"}]}]}`), "m")
	require.NoError(t, err)
	require.Equal(t, "models/m", gjson.GetBytes(out, "generateContentRequest.model").Str)
}

// An estimate is of the size of the real number, says what it is, and does not take an
// image for a text.
func TestEstimate(t *testing.T) {
	text := strings.Repeat("The quick brown fox jumps over the lazy dog. ", 100) // 1,000 tokens by OpenAI's tokenizers
	image := base64.StdEncoding.EncodeToString(append([]byte("\x89PNG\r\n\x1a\n"), make([]byte, 900<<10)...))
	body := `{"model":"m","messages":[{"role":"user","content":[{"type":"text","text":"` + text + `"},{"type":"image","source":{"type":"base64","media_type":"image/png","data":"` + image + `"}}]}]}`
	got := gjson.ParseBytes(Estimate(Claude, []byte(body)))
	require.True(t, got.Get("estimated").Bool())
	require.InDelta(t, 1000+imageTokens, got.Get("input_tokens").Num, 600)
	chinese := `{"contents":[{"parts":[{"text":"` + strings.Repeat("快速的棕色狐狸", 100) + `"}]}]}`
	require.InDelta(t, 500, gjson.GetBytes(Estimate(Gemini, []byte(chinese)), "totalTokens").Num, 150)
}
