package convert

import (
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/tidwall/gjson"
)

// What public reports about such converters tell of providers: each is a stream as it
// came, and what a client has to make of it.
func TestStreamsOfReports(t *testing.T) {
	call := []part{{kind: callPart, id: "a", name: "f", args: `{"x":1}`}}
	text := []part{{kind: textPart, text: "hi"}}
	for _, tc := range []struct {
		name     string
		provider Format
		events   []string
		parts    []part
		finish   finishReason
	}{
		{"the name of a call in a later piece", Chat, []string{
			`{"id":"i","choices":[{"delta":{"tool_calls":[{"index":0,"id":"a","type":"function","function":{"arguments":"{\"x\""}}]}}]}`,
			`{"choices":[{"delta":{"tool_calls":[{"index":0,"function":{"name":"f","arguments":":"}}]}}]}`,
			`{"choices":[{"delta":{"tool_calls":[{"index":0,"function":{"arguments":"1}"}}]},"finish_reason":"tool_calls"}]}`}, call, finishTools},
		{"the name again in each piece", Chat, []string{
			`{"id":"i","choices":[{"delta":{"tool_calls":[{"index":0,"id":"a","function":{"name":"f","arguments":"{\"x\""}}]}}]}`,
			`{"choices":[{"delta":{"tool_calls":[{"index":0,"id":"a","function":{"name":"f","arguments":":1}"}}]},"finish_reason":"tool_calls"}]}`}, call, finishTools},
		{"a piece of a call with nothing in it", Chat, []string{
			`{"id":"i","choices":[{"delta":{"tool_calls":[{"index":0}],"content":"hi"},"finish_reason":"stop"}]}`}, text, finishStop},
		{"reasons to finish that are none", Chat, []string{
			`{"id":"i","choices":[{"delta":{"content":"h"},"finish_reason":"null"}]}`, `{"choices":[{"delta":{"content":"i"},"finish_reason":""}]}`,
			`{"choices":[{"delta":{},"finish_reason":"length"}]}`}, text, finishLength},
		{"usage in every chunk, and again behind the end", Chat, []string{
			`{"id":"i","choices":[{"delta":{"content":"hi"},"finish_reason":null}],"usage":{"prompt_tokens":1}}`, `{"choices":[{"delta":{},"finish_reason":"stop"}],"usage":{"prompt_tokens":1}}`,
			`{"choices":[],"usage":{"prompt_tokens":1}}`, `{"choices":[],"usage":{"prompt_tokens":1}}`}, text, finishStop},
		{"filters in front of the answer", Chat, []string{
			`{"id":"","model":"","choices":[],"prompt_filter_results":[]}`, `{"id":"i","choices":[{"delta":{"content":"hi"},"finish_reason":"stop"}]}`}, text, finishStop},
		{"a call that ends with stop, behind empty text", Chat, []string{
			`{"id":"i","choices":[{"delta":{"role":"assistant","content":""}}]}`, `{"choices":[{"delta":{"tool_calls":[{"function":{"name":"f","arguments":{"x":1}},"id":"a"}]},"finish_reason":"stop"}]}`}, call, finishTools},
		{"a whole message in one chunk", Chat, []string{
			`{"id":"i","choices":[{"message":{"content":"hi"},"finish_reason":"stop"}]}`}, text, finishStop},
		{"arguments only when they are done", Responses, []string{
			`{"type":"response.created","response":{"id":"r"}}`, `{"type":"response.output_item.added","output_index":0,"item":{"type":"function_call","call_id":"a","name":"f","arguments":""}}`,
			`{"type":"response.function_call_arguments.done","output_index":0,"arguments":"{\"x\":1}"}`, `{"type":"response.output_item.done","output_index":0,"item":{"type":"function_call","call_id":"a","name":"f","arguments":"{\"x\":1}"}}`,
			`{"type":"response.completed","response":{"status":"completed"}}`}, call, finishTools},
		{"text only when the item is done", Responses, []string{
			`{"type":"response.created","response":{"id":"r"}}`, `{"type":"response.output_item.done","output_index":0,"item":{"type":"message","content":[{"type":"output_text","text":"hi"}]}}`,
			`{"type":"response.completed","response":{"status":"completed","output":[{"type":"message","content":[{"type":"output_text","text":"hi"}]}]}}`}, text, finishStop},
		{"everything only at the end", Responses, []string{
			`{"type":"response.completed","response":{"id":"r","status":"completed","output":[{"type":"message","content":[{"type":"output_text","text":"hi"}]}]}}`}, text, finishStop},
		{"a reason that is new", Claude, []string{
			`{"type":"message_start","message":{"id":"i"}}`, `{"type":"content_block_start","content_block":{"type":"text","text":"hi"}}`, `{"type":"content_block_stop"}`,
			`{"type":"message_delta","delta":{"stop_reason":"compaction"}}`, `{"type":"message_stop"}`}, text, finishStop},
		{"a reason that is new", Gemini, []string{`{"candidates":[{"content":{"parts":[{"text":"hi"}]},"finishReason":"UNHEARD_OF"}]}`}, text, finishStop},
	} {
		for _, client := range []Format{Chat, Claude, Gemini, Responses} {
			got := streamed(t, client, tc.provider, tc.events...)
			require.Equal(t, tc.parts, got.parts, "%s for %v", tc.name, client)
			require.Equal(t, tc.finish, got.finish, "%s for %v", tc.name, client)
		}
	}
}

// A model is named even where the provider does not.
func TestAnswerNamesItsModel(t *testing.T) {
	c, _, err := New(Claude, Chat, []byte(in(Claude, "")), "gpt-x", false)
	require.NoError(t, err)
	got, err := c.Answer([]byte(`{"choices":[{"message":{"content":"hi"},"finish_reason":"stop"}]}`))
	require.NoError(t, err)
	require.Equal(t, "gpt-x", gjson.GetBytes(got, "model").Str)
}

// The same of what clients send.
func TestRequestsOfReports(t *testing.T) {
	for _, tc := range []struct {
		name             string
		client, provider Format
		fields           string
		path, want       string
	}{
		{"arguments that the model left broken", Chat, Claude, `"messages":[{"role":"user","content":"a"},{"role":"assistant","tool_calls":[{"id":"c","function":{"name":"f","arguments":"{\"x\":"}}]},{"role":"tool","tool_call_id":"c","content":"r"}]`,
			"messages.1.content.0.input", `{"input":"{\"x\":"}`},
		{"arguments encoded twice", Chat, Gemini, `"messages":[{"role":"user","content":"a"},{"role":"assistant","tool_calls":[{"id":"c","function":{"name":"f","arguments":"\"{\\\"x\\\":1}\""}}]},{"role":"tool","tool_call_id":"c","content":"r"}]`,
			"contents.1.parts.0.functionCall.args", `{"x":1}`},
		{"the model's words come first", Chat, Claude, `"messages":[{"role":"assistant","content":"hello"},{"role":"user","content":"a"}]`,
			"messages.#.role", `["user","assistant","user"]`},
		{"a tool of two servers", Chat, Claude, `"tools":[{"type":"function","function":{"name":"f","description":"1"}},{"type":"function","function":{"name":"f","description":"2"}}]`,
			"tools.#.description", `["1"]`},
		{"a schema without a type", Gemini, Chat, `"contents":[{"parts":[{"text":"a"}]}],"tools":[{"functionDeclarations":[{"name":"f","parametersJsonSchema":{}}]}]`,
			"tools.0.function.parameters", `{"type":"object","properties":{}}`},
		{"a schema that is a choice", Chat, Claude, `"tools":[{"type":"function","function":{"name":"f","parameters":{"anyOf":[{"type":"object","properties":{"a":{"type":"string"},"c":{}},"required":["a","c"]},{"$ref":"#/$defs/b"}],"$defs":{"b":{"type":"object","properties":{"b":{"type":"number"},"c":{}},"required":["b","c"]}}}}}]`,
			"tools.0.input_schema", `{"type":"object","properties":{"a":{"type":"string"},"b":{"type":"number"},"c":{}},"required":["c"],"$defs":{"b":{"type":"object","properties":{"b":{"type":"number"},"c":{}},"required":["b","c"]}}}`},
		{"a schema of several that all hold", Claude, Responses, `"max_tokens":9,"messages":[{"role":"user","content":"a"}],"tools":[{"name":"f","input_schema":{"type":"object","properties":{"z":{}},"required":["z"],"allOf":[{"properties":{"a":{}},"required":["a"]},{"required":["z"]}]}}]`,
			"tools.0.parameters", `{"type":"object","properties":{"a":{},"z":{}},"required":["a","z"]}`},
		{"a type that may be null", Chat, Gemini, `"tools":[{"type":"function","function":{"name":"f","parameters":{"type":["object","null"],"properties":{"a":{}}}}}]`,
			"tools.0.functionDeclarations.0.parametersJsonSchema", `{"type":"object","properties":{"a":{}}}`},
	} {
		_, body, err := New(tc.client, tc.provider, []byte(in(tc.client, tc.fields)), "m", false)
		require.NoError(t, err, tc.name)
		require.JSONEq(t, tc.want, gjson.GetBytes(body, tc.path).Raw, "%s: %s", tc.name, body)
	}
}
