package convert

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/tidwall/gjson"
)

// thinkers are answers of a model that thought before it called, whole and streamed,
// and where the next request has to have what it thought.
var thinkers = map[Format]struct {
	model, whole string
	events       []string
	path, want   string
}{
	Claude: {"claude-sonnet-4-5",
		`{"id":"m","model":"m","content":[{"type":"thinking","thinking":"hm","signature":"sig"},{"type":"redacted_thinking","data":"red"},{"type":"text","text":"so"},{"type":"tool_use","id":"toolu_1","name":"f","input":{"b":2,"a":1}}],"stop_reason":"tool_use"}`,
		[]string{`{"type":"message_start","message":{"id":"m","model":"m"}}`,
			`{"type":"content_block_start","content_block":{"type":"thinking","thinking":""}}`, `{"type":"content_block_delta","delta":{"type":"thinking_delta","thinking":"hm"}}`,
			`{"type":"content_block_delta","delta":{"type":"signature_delta","signature":"sig"}}`, `{"type":"content_block_stop"}`,
			`{"type":"content_block_start","content_block":{"type":"redacted_thinking","data":"red"}}`, `{"type":"content_block_stop"}`,
			`{"type":"content_block_start","content_block":{"type":"text","text":"so"}}`, `{"type":"content_block_stop"}`,
			`{"type":"content_block_start","content_block":{"type":"tool_use","id":"toolu_1","name":"f","input":{}}}`,
			`{"type":"content_block_delta","delta":{"type":"input_json_delta","partial_json":"{\"b\": 2,"}}`, `{"type":"content_block_delta","delta":{"type":"input_json_delta","partial_json":"\"a\":1.0}"}}`,
			`{"type":"content_block_stop"}`, `{"type":"message_delta","delta":{"stop_reason":"tool_use"}}`, `{"type":"message_stop"}`},
		"messages.1.content.#.type", `["thinking","redacted_thinking","text","tool_use"]`},
	Gemini: {"gemini-3-pro",
		`{"candidates":[{"content":{"parts":[{"text":"hm","thought":true},{"text":"so"},{"functionCall":{"id":"c1","name":"f","args":{"a":1,"b":2}},"thoughtSignature":"sig"}]},"finishReason":"STOP"}]}`,
		[]string{`{"candidates":[{"content":{"parts":[{"text":"hm","thought":true}]}}]}`, `{"candidates":[{"content":{"parts":[{"text":"so"}]}}]}`,
			`{"candidates":[{"content":{"parts":[{"functionCall":{"id":"c1","name":"f","args":{"a":1,"b":2}},"thoughtSignature":"sig"}]},"finishReason":"STOP"}]}`},
		"contents.1.parts.1.thoughtSignature", `"sig"`},
	Responses: {"gpt-5",
		`{"id":"r","model":"m","status":"completed","output":[{"type":"reasoning","id":"rs_1","summary":[],"encrypted_content":"sig"},{"type":"message","content":[{"type":"output_text","text":"so"}]},{"type":"function_call","call_id":"c1","name":"f","arguments":"{\"a\":1,\"b\":2}"}]}`,
		[]string{`{"type":"response.created","response":{"id":"r","model":"m"}}`,
			`{"type":"response.output_item.done","output_index":0,"item":{"type":"reasoning","id":"rs_1","summary":[],"encrypted_content":"sig"}}`,
			`{"type":"response.output_text.delta","output_index":1,"delta":"so"}`,
			`{"type":"response.output_item.done","output_index":2,"item":{"type":"function_call","call_id":"c1","name":"f","arguments":"{\"a\":1,\"b\":2}"}}`,
			`{"type":"response.completed","response":{"id":"r","status":"completed"}}`},
		`input.#(type=="reasoning")`, `{"type":"reasoning","id":"rs_1","summary":[],"encrypted_content":"sig"}`},
	Chat: {"deepseek-reasoner",
		`{"id":"i","model":"m","choices":[{"message":{"reasoning_content":"hm","content":"so","tool_calls":[{"id":"c1","type":"function","function":{"name":"f","arguments":"{\"a\":1,\"b\":2}"}}]},"finish_reason":"tool_calls"}]}`,
		[]string{`{"id":"i","model":"m","choices":[{"delta":{"reasoning_content":"h"}}]}`, `{"choices":[{"delta":{"reasoning_content":"m"}}]}`, `{"choices":[{"delta":{"content":"so"}}]}`,
			`{"choices":[{"delta":{"tool_calls":[{"index":0,"id":"c1","function":{"name":"f","arguments":"{\"a\":1,"}}]}}]}`,
			`{"choices":[{"delta":{"tool_calls":[{"index":0,"function":{"arguments":"\"b\":2}"}}]},"finish_reason":"tool_calls"}]}`},
		"messages.1.reasoning_content", `"hm"`},
}

// withResult is the request that a client without a place for thoughts goes on with.
func withResult(client Format, id string) string {
	switch client {
	case Claude:
		return fmt.Sprintf(`{"model":"m","max_tokens":9000,"thinking":{"type":"enabled","budget_tokens":2000},"messages":[{"role":"user","content":"a"},{"role":"assistant","content":[{"type":"text","text":"so"},{"type":"tool_use","id":%q,"name":"f","input":{"a":1,"b":2}}]},{"role":"user","content":[{"type":"tool_result","tool_use_id":%q,"content":"r"},{"type":"text","text":"beside it"}]}]}`, id, id)
	case Gemini:
		return fmt.Sprintf(`{"contents":[{"role":"user","parts":[{"text":"a"}]},{"role":"model","parts":[{"text":"so"},{"functionCall":{"id":%q,"name":"f","args":{"a":1,"b":2}}}]},{"role":"user","parts":[{"functionResponse":{"id":%q,"name":"f","response":{"output":"r"}}}]}],"generationConfig":{"thinkingConfig":{"thinkingBudget":2000}}}`, id, id)
	case Responses:
		return fmt.Sprintf(`{"model":"m","reasoning":{"effort":"medium"},"input":[{"role":"user","content":"a"},{"role":"assistant","content":"so"},{"type":"function_call","call_id":%q,"name":"f","arguments":"{\"a\":1,\"b\":2}"},{"type":"function_call_output","call_id":%q,"output":"r"}]}`, id, id)
	}
	return fmt.Sprintf(`{"model":"m","reasoning_effort":"medium","messages":[{"role":"user","content":"a"},{"role":"assistant","content":"so","tool_calls":[{"id":%q,"type":"function","function":{"name":"f","arguments":"{ \"b\":2,\"a\":1 }"}}]},{"role":"tool","tool_call_id":%q,"content":"r"}]}`, id, id)
}

// What a model thought before a call goes back with the call's result, from clients
// that have no place for it, and only in the loop that it belongs to.
func TestThoughtsGoBackWithTheirCalls(t *testing.T) {
	for provider, th := range thinkers {
		for _, client := range []Format{Chat, Claude, Gemini, Responses} {
			if client == provider {
				continue
			}
			name := fmt.Sprintf("%v of %v", client, provider)
			ask := in(client, "")
			c, _, err := New(client, provider, []byte(ask), th.model, false)
			require.NoError(t, err, name)
			require.Empty(t, c.Recalls)
			answer, err := c.Answer([]byte(th.whole))
			require.NoError(t, err, name)
			plain := c.Seals()
			require.Len(t, plain, 1, name)
			s := c.Stream()
			for _, e := range th.events {
				_, _, err := s.Event([]byte(e))
				require.NoError(t, err, name)
			}
			_, err = s.End()
			require.NoError(t, err)
			require.Equal(t, plain, s.Seals(), "streamed: "+name)
			require.Empty(t, s.Seals(), "once")

			a, err := protocols[client].decode(gjson.ParseBytes(answer))
			require.NoError(t, err)
			id := a.parts[len(a.parts)-1].id
			asked := withResult(client, id)
			next, without, err := Convert(Options{Client: client, Provider: provider, Body: []byte(asked), Model: th.model, Shared: true})
			require.NoError(t, err, name)
			require.Len(t, next.Recalls, 1)
			require.Contains(t, plain, next.Recalls[0], name)
			require.NotEqual(t, th.want, gjson.GetBytes(without, th.path).Raw, name)
			_, with, err := Convert(Options{Client: client, Provider: provider, Body: []byte(asked), Model: th.model, Shared: true, Seals: plain})
			require.NoError(t, err, name)
			require.JSONEq(t, th.want, gjson.GetBytes(with, th.path).Raw, "%s: %s", name, with)
			if provider == Claude {
				require.Equal(t, "enabled", gjson.GetBytes(with, "thinking.type").Str, "it goes on to think")
				require.False(t, gjson.GetBytes(without, "thinking").Exists())
			}
		}
	}
}

// A call that only looks like another's, and thoughts that are too long, get nothing.
func TestSealKeys(t *testing.T) {
	require.Equal(t, sealKey("a", "f", `{"x":1,"y":2}`), sealKey("a", "f", ` {"y":2.0, "x":1}`))
	require.NotEqual(t, sealKey("call_1", "f", `{"x":1}`), sealKey("call_1", "f", `{"x":2}`))
	require.NotEqual(t, sealKey("call_1", "f", `{}`), sealKey("call_1", "g", `{}`))
	s := &sealer{}
	s.take(event{kind: evThought, text: string(make([]byte, maxSeal+1))}, true)
	s.take(event{kind: evCall, id: "a", name: "f"}, true)
	s.take(event{kind: evArgs, text: "{}"}, true)
	require.Empty(t, s.done())
}
