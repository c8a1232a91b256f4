package convert

import (
	"bytes"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/tidwall/gjson"
)

// What programs and providers really send: each case is one that was refused, or
// went wrong, and the kind that it stands for.
func TestWhatClientsSend(t *testing.T) {
	for _, tc := range []struct {
		name             string
		client, provider Format
		model, fields    string
		want             string // {"path": value}
	}{
		{"a system message among Claude's", Claude, Chat, "m", `"max_tokens":9,"messages":[{"role":"user","content":"a"},{"role":"system","content":[{"type":"text","text":"b","cache_control":{"type":"ephemeral"}}]},{"role":"assistant","content":"c"},{"role":"user","content":"d"}]`,
			`{"messages.0":{"role":"system","content":"b"},"messages.#":4}`},
		{"hints of Claude Code", Claude, Gemini, "gemini-2.0-flash", `"max_tokens":9,"thinking":{"type":"adaptive"},"output_config":{"effort":"high"},"context_management":{"edits":[{"type":"clear_tool_uses_20250919"}]},"metadata":{"user_id":"u"},"top_k":3,"tool_choice":{"type":"auto","disable_parallel_tool_use":true},"tools":[{"name":"f","input_schema":{"type":"object"},"defer_loading":true},{"type":"web_search_20250305","name":"web_search"}]`,
			`{"generationConfig.topK":3,"tools.0.functionDeclarations.#":1}`},
		{"an image in a result", Claude, Chat, "m", `"max_tokens":9,"messages":[{"role":"user","content":"a"},{"role":"assistant","content":[{"type":"tool_use","id":"t","name":"f","input":{}}]},{"role":"user","content":[{"type":"tool_result","tool_use_id":"t","content":[{"type":"image","source":{"type":"base64","media_type":"image/jpg","data":"aGk="}}]}]}]`,
			`{"messages.2.role":"tool","messages.3":{"role":"user","content":[{"type":"image_url","image_url":{"url":"data:image/jpeg;base64,aGk="}}]}}`},
		{"an image in a result", Claude, Gemini, "m", `"max_tokens":9,"messages":[{"role":"user","content":"a"},{"role":"assistant","content":[{"type":"tool_use","id":"t","name":"f","input":{}}]},{"role":"user","content":[{"type":"tool_result","tool_use_id":"t","content":[{"type":"text","text":"see"},{"type":"image","source":{"type":"base64","media_type":"image/png","data":"aGk="}}]}]}]`,
			`{"contents.2.parts.0.functionResponse.response.output":"see","contents.2.parts.1.inlineData.mimeType":"image/png"}`},
		{"an image in a result", Claude, Responses, "m", `"max_tokens":9,"messages":[{"role":"user","content":"a"},{"role":"assistant","content":[{"type":"tool_use","id":"t","name":"f","input":{}}]},{"role":"user","content":[{"type":"tool_result","tool_use_id":"t","content":[{"type":"image","source":{"type":"url","url":"https://h/i"}}]}]}]`,
			`{"input.2.output.0":{"type":"input_image","image_url":"https://h/i","detail":"auto"}}`},
		{"a PDF", Claude, Chat, "m", `"max_tokens":9,"messages":[{"role":"user","content":[{"type":"document","title":"a.pdf","source":{"type":"base64","media_type":"application/pdf","data":"aGk="}}]}]`,
			`{"messages.0.content.0":{"type":"file","file":{"filename":"a.pdf","file_data":"data:application/pdf;base64,aGk="}}}`},
		{"a PDF", Chat, Claude, "m", `"messages":[{"role":"user","content":[{"type":"file","file":{"filename":"a.pdf","file_data":"data:application/pdf;base64,aGk="}}]}]`,
			`{"messages.0.content.0":{"type":"document","title":"a.pdf","source":{"type":"base64","media_type":"application/pdf","data":"aGk="}}}`},
		{"audio", Chat, Gemini, "m", `"messages":[{"role":"user","content":[{"type":"input_audio","input_audio":{"format":"wav","data":"aGk="}}]}]`,
			`{"contents.0.parts.0.inlineData":{"mimeType":"audio/wav","data":"aGk="}}`},
		{"a data URL with parameters", Chat, Claude, "m", `"messages":[{"role":"user","content":[{"type":"image_url","image_url":"data:image/JPG;charset=utf-8;base64,aG k"}]}]`,
			`{"messages.0.content.0.source":{"type":"base64","media_type":"image/jpeg","data":"aGk="}}`},
		{"functions", Chat, Claude, "m", `"functions":[{"name":"f","parameters":{"type":"object"}}],"function_call":{"name":"f"},"messages":[{"role":"user","content":"a"},{"role":"assistant","content":null,"function_call":{"name":"f","arguments":"{}"}},{"role":"function","name":"f","content":"r"}]`,
			`{"tool_choice":{"type":"tool","name":"f"},"messages.2.content.0.type":"tool_result"}`},
		{"arguments as an object", Chat, Claude, "m", `"messages":[{"role":"user","content":"a"},{"role":"assistant","tool_calls":[{"id":"c","type":"function","function":{"name":"f","arguments":{"a":1}}}]},{"role":"tool","tool_call_id":"c","content":"r"}]`,
			`{"messages.1.content.0.input":{"a":1}}`},
		{"temperature and top_p", Chat, Claude, "claude-opus-4-1", `"temperature":0.5,"top_p":0.9`, `{"temperature":0.5,"top_p":null}`},
		{"settings that a model refuses", Chat, Claude, "claude-opus-4-7", `"temperature":0.5,"top_p":0.9,"reasoning_effort":"high"`, `{"temperature":null,"top_p":null,"thinking.type":"adaptive","output_config.effort":"high"}`},
		{"settings that a model refuses", Claude, Chat, "gpt-5", `"temperature":0.5,"thinking":{"type":"enabled","budget_tokens":2000}`, `{"temperature":null,"reasoning_effort":"medium","max_completion_tokens":50}`},
		{"a word that a model does not have", Chat, Responses, "o4-mini", `"reasoning_effort":"xhigh"`, `{"reasoning.effort":"high"}`},
		{"thinking that a model does not have", Claude, Chat, "gpt-4o", `"thinking":{"type":"enabled","budget_tokens":2000}`, `{"reasoning_effort":null}`},
		{"a budget beyond the model's", Claude, Gemini, "gemini-2.5-flash", `"thinking":{"type":"enabled","budget_tokens":99999}`, `{"generationConfig.thinkingConfig.thinkingBudget":24576}`},
		{"levels instead of budgets", Claude, Gemini, "gemini-3-pro", `"thinking":{"type":"enabled","budget_tokens":2000}`, `{"generationConfig.thinkingConfig.thinkingLevel":"low"}`},
		{"a budget as large as the answer", Chat, Claude, "claude-sonnet-4", `"max_tokens":2000,"reasoning_effort":"high"`, `{"thinking":{"type":"enabled","budget_tokens":1999},"max_tokens":2000}`},
		{"thinking in the middle of calls", Chat, Claude, "claude-sonnet-4", `"reasoning_effort":"high","messages":[{"role":"user","content":"a"},{"role":"assistant","tool_calls":[{"id":"c","type":"function","function":{"name":"f","arguments":"{}"}}]},{"role":"tool","tool_call_id":"c","content":"r"}]`, `{"thinking":null}`},
		{"thinking and a tool that has to be called", Chat, Claude, "claude-opus-4-7", `"reasoning_effort":"high","tools":[{"type":"function","function":{"name":"f"}}],"tool_choice":"required"`, `{"thinking":null,"tool_choice.type":"any"}`},
		{"an open schema", Claude, Chat, "m", `"tools":[{"name":"f","strict":true,"input_schema":{"type":"object","properties":{"a":{"type":"string"}}}}]`, `{"tools.0.function.strict":null}`},
		{"JSON without a schema", Chat, Claude, "m", `"response_format":{"type":"json_object"}`, `{"system":"Answer with one JSON object and nothing else."}`},
		{"tools of Codex CLI", Responses, Claude, "m", `"input":"hi","tools":[{"type":"function","name":"shell","strict":false,"parameters":{"type":"object"}},{"type":"custom","name":"apply_patch","description":"d","format":{"type":"grammar","syntax":"lark","definition":"start: x"}},{"type":"web_search"}],"tool_choice":"auto","parallel_tool_calls":false,"reasoning":{"effort":"medium","summary":"auto"},"store":false,"include":["reasoning.encrypted_content"],"prompt_cache_key":"k","text":{"verbosity":"low"}`,
			`{"tools.#":2,"tools.1.name":"apply_patch","tools.1.input_schema.required":["input"]}`},
		{"a custom call and its result", Responses, Chat, "m", `"input":[{"role":"user","content":"a"},{"type":"custom_tool_call","call_id":"c","name":"p","input":"x\ny"},{"type":"custom_tool_call_output","call_id":"c","output":"ok"}]`,
			`{"messages.1.tool_calls.0.function.arguments":"{\"input\":\"x\\ny\"}","messages.2.content":"ok"}`},
		{"settings of gemini-cli", Gemini, Chat, "gpt-4o", `"contents":[{"role":"user","parts":[{"text":"a"}]}],"generationConfig":{"temperature":1,"topP":0.95,"topK":64,"thinkingConfig":{"includeThoughts":true,"thinkingBudget":8192}},"safetySettings":[{"category":"c","threshold":"BLOCK_LOW_AND_ABOVE"}],"toolConfig":{"functionCallingConfig":{"mode":"VALIDATED"}}`,
			`{"temperature":1,"reasoning_effort":null}`},
		{"what a model thought, for one that wants it back", Claude, Chat, "deepseek-reasoner", `"max_tokens":9,"messages":[{"role":"user","content":"a"},{"role":"assistant","content":[{"type":"thinking","thinking":"hm","signature":""},{"type":"text","text":"b"}]},{"role":"user","content":"c"}]`,
			`{"messages.1.reasoning_content":"hm"}`},
	} {
		t.Run(tc.name+" "+tc.client.String()+" to "+tc.provider.String(), func(t *testing.T) {
			_, body, err := New(tc.client, tc.provider, []byte(in(tc.client, tc.fields)), tc.model, false)
			require.NoError(t, err)
			gjson.Parse(tc.want).ForEach(func(path, want gjson.Result) bool {
				got := gjson.GetBytes(body, path.Str)
				if want.Type == gjson.Null {
					require.False(t, got.Exists(), "%s of %s", path.Str, body)
				} else {
					require.JSONEq(t, want.Raw, got.Raw, "%s of %s", path.Str, body)
				}
				return true
			})
		})
	}
}

// A tool that only its provider can run is refused where it is all there is.
func TestHostedToolsAlone(t *testing.T) {
	_, _, err := New(Claude, Chat, []byte(in(Claude, `"tools":[{"type":"web_search_20250305","name":"web_search"}]`)), "m", false)
	require.ErrorContains(t, err, "tools.0.type")
}

// Names that a provider does not take travel under others, and come back.
func TestToolNames(t *testing.T) {
	long := "mcp__" + strings.Repeat("server.", 12) + "tool"
	for _, provider := range []Format{Chat, Responses, Claude, Gemini} {
		c, body, err := New(Claude, provider, []byte(in(Claude, `"tools":[{"name":"`+long+`","input_schema":{"type":"object"}}],"tool_choice":{"type":"tool","name":"`+long+`"}`)), "m", false)
		require.NoError(t, err)
		require.NotContains(t, string(body), long)
		sent := ""
		for name := range c.names {
			sent = name
		}
		require.LessOrEqual(t, len(sent), longestName[provider])
		a := &answer{id: "i", model: "m", parts: []part{{kind: callPart, id: "c", name: sent, args: "{}"}}, finish: finishTools}
		got, err := c.Answer(marshal(protocols[provider].encode(a)))
		require.NoError(t, err)
		require.Equal(t, long, gjson.GetBytes(got, "content.0.name").Str)
	}
}

// streamed converts a provider's events and puts the client's stream together.
func streamed(t *testing.T, client, provider Format, events ...string) *answer {
	t.Helper()
	s := (&Conversion{client: client, provider: provider, thoughts: true}).Stream()
	var out []byte
	for _, data := range events {
		made, _, err := s.Event([]byte(data))
		require.NoError(t, err, data)
		out = append(out, bytes.Join(made, nil)...)
	}
	made, err := s.End()
	require.NoError(t, err)
	return whole(t, client, append(out, bytes.Join(made, nil)...))
}

func TestWhatProvidersStream(t *testing.T) {
	calls := []part{{kind: callPart, id: "a", name: "f", args: `{"x":1}`}, {kind: callPart, id: "b", name: "g", args: `{"y":2}`}}
	mixed := []string{
		`{"id":"i","model":"m","choices":[{"delta":{"tool_calls":[{"index":0,"id":"a","function":{"name":"f","arguments":"{\"x\":"}}]}}]}`,
		`{"choices":[{"delta":{"tool_calls":[{"index":1,"id":"b","function":{"name":"g","arguments":"{\"y\""}}]}}]}`,
		`{"choices":[{"delta":{"tool_calls":[{"index":0,"function":{"arguments":"1}"}},{"index":1,"function":{"arguments":":2"}}]}}]}`,
		`{"choices":[{"delta":{"tool_calls":[{"index":1,"function":{"arguments":"}"}}]},"finish_reason":"tool_calls"}]}`, `[DONE]`,
	}
	for _, client := range []Format{Chat, Claude, Gemini, Responses} {
		require.Equal(t, calls, streamed(t, client, Chat, mixed...).parts, "mixed pieces for %v", client)
		got := streamed(t, client, Chat, `{"id":"i","choices":[{"delta":{"content":[{"type":"text","text":"hi"}],"reasoning_content":"hm"}}]}`, `{"choices":[{"delta":{},"finish_reason":"stop"}]}`)
		require.Equal(t, []part{{kind: thoughtPart, text: "hm"}, {kind: textPart, text: "hi"}}, got.parts, client)
		got = streamed(t, client, Claude, `{"type":"message_start","message":{"id":"i","model":"m"}}`, `{"type":"content_block_start","content_block":{"type":"tool_use","id":"a","name":"f","input":{"x":1}}}`, `{"type":"content_block_stop"}`, `{"type":"message_delta","delta":{"stop_reason":"tool_use"}}`, `{"type":"message_stop"}`)
		require.Equal(t, calls[:1], got.parts, "whole input at once for %v", client)
		got = streamed(t, client, Gemini, `{"candidates":[{"content":{"parts":[{"text":"hi"}]}}]}`, `{"candidates":[{"finishReason":"MALFORMED_FUNCTION_CALL"}]}`)
		require.Equal(t, finishStop, got.finish)
	}
	got := streamed(t, Claude, Chat, `{"id":"i","choices":[{"delta":{"function_call":{"name":"f","arguments":"{\"x\":1}"}}}]}`, `{"choices":[{"delta":{},"finish_reason":"function_call"}]}`)
	require.Equal(t, `{"x":1}`, got.parts[0].args)
	require.Equal(t, finishTools, got.finish)
}

// A provider that counts its calls anew in each answer: the client gets an id that it
// has not had, and a history that has one twice is told apart.
func TestIDsOfCallsThatComeTwice(t *testing.T) {
	history := `"messages":[{"role":"user","content":"a"},
		{"role":"assistant","tool_calls":[{"id":"call_0","type":"function","function":{"name":"f","arguments":"{}"}},{"id":"call_1","type":"function","function":{"name":"f","arguments":"{}"}}]},
		{"role":"tool","tool_call_id":"call_1","content":"r1"},{"role":"tool","tool_call_id":"call_0","content":"r0"},
		{"role":"assistant","tool_calls":[{"id":"call_1","type":"function","function":{"name":"g","arguments":"{}"}},{"id":"call_0","type":"function","function":{"name":"f","arguments":"{}"}}]},
		{"role":"tool","tool_call_id":"call_0","content":"r3"},{"role":"tool","tool_call_id":"call_1","content":"r2"}]`
	c, body, err := New(Chat, Claude, []byte(in(Chat, history)), "m", false)
	require.NoError(t, err)
	seen, results := map[string]string{}, map[string]string{}
	for _, b := range gjson.GetBytes(body, "messages.#.content|@flatten").Array() {
		if id := b.Get("id").Str; id != "" {
			require.NotContains(t, seen, id)
			seen[id] = b.Get("name").Str
		} else if id := b.Get("tool_use_id").Str; id != "" {
			results[b.Get("content.0.text").Str] = id
		}
	}
	require.Len(t, seen, 4)
	require.Equal(t, "call_0", results["r0"])
	require.Equal(t, "call_1", results["r1"])
	require.Equal(t, "g", seen[results["r2"]])
	require.Equal(t, "f", seen[results["r3"]])
	got, err := c.Answer([]byte(`{"id":"m","content":[{"type":"tool_use","id":"call_0","name":"f","input":{}},{"type":"tool_use","id":"x","name":"f","input":{}},{"type":"tool_use","id":"x","name":"f","input":{}}],"stop_reason":"tool_use"}`))
	require.NoError(t, err)
	ids := gjson.GetBytes(got, "choices.0.message.tool_calls.#.id").Array()
	require.NotEqual(t, "call_0", ids[0].Str)
	require.Equal(t, "x", ids[1].Str)
	require.NotEqual(t, "x", ids[2].Str)
}
