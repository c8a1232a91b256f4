package convert

import (
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/tidwall/gjson"
	"pgregory.net/rapid"
)

// Four ways to say the same request. The Responses API alone has no stop sequences.
const (
	responsesRequest = `{"model":"x","stream":true,"store":false,"user":"u","include":["reasoning.encrypted_content"],
		"instructions":"be <brief>",
		"input":[
			{"role":"user","content":[{"type":"input_text","text":"look"},{"type":"input_image","image_url":"data:image/png;base64,aGk=","detail":"low"}]},
			{"type":"reasoning","id":"rs_1","summary":[],"encrypted_content":"x"},
			{"type":"message","id":"msg_1","role":"assistant","content":[{"type":"output_text","text":"I ask","annotations":[]}]},
			{"type":"function_call","call_id":"call_a","name":"f","arguments":"{\"n\": 9007199254740993}"},
			{"type":"function_call","call_id":"call_b","name":"g","arguments":""},
			{"type":"function_call_output","call_id":"call_b","output":"two"},
			{"type":"function_call_output","call_id":"call_a","output":[{"type":"input_text","text":"one"}]},
			{"role":"user","content":"and?"}],
		"max_output_tokens":50,"temperature":0.70,"top_p":0.9,
		"tools":[{"type":"function","name":"f","description":"does f","parameters":{"type":"object","properties":{"n":{"type":"integer"}}}},{"type":"function","name":"g"},{"type":"web_search"}],
		"tool_choice":"required"}`
	chatRequest = `{"model":"x","stream":true,"stream_options":{"include_usage":true},"user":"u","metadata":{},"service_tier":"auto",
		"messages":[
			{"role":"system","content":"be <brief>"},
			{"role":"user","name":null,"content":[{"type":"text","text":"look"},{"type":"image_url","image_url":{"url":"data:image/png;base64,aGk=","detail":"low"}}]},
			{"role":"assistant","content":"I ask","tool_calls":[
				{"id":"call_a","type":"function","function":{"name":"f","arguments":"{\"n\": 9007199254740993}"}},
				{"id":"call_b","type":"function","function":{"name":"g","arguments":""}}]},
			{"role":"tool","tool_call_id":"call_b","content":"two"},
			{"role":"tool","tool_call_id":"call_a","content":[{"type":"text","text":"one"}]},
			{"role":"user","content":"and?"}],
		"max_tokens":50,"temperature":0.70,"top_p":0.9,"stop":["A","B"],
		"tools":[{"type":"function","function":{"name":"f","description":"does f","parameters":{"type":"object","properties":{"n":{"type":"integer"}}}}},{"type":"function","function":{"name":"g"}}],
		"tool_choice":"required"}`
	claudeRequest = `{"model":"x","stream":true,"metadata":{"user_id":"u"},
		"system":[{"type":"text","text":"be <brief>","cache_control":{"type":"ephemeral"}}],
		"messages":[
			{"role":"user","content":[{"type":"text","text":"look"},{"type":"image","source":{"type":"base64","media_type":"image/png","data":"aGk="}}]},
			{"role":"assistant","content":[{"type":"thinking","thinking":"hm","signature":"s"},{"type":"text","text":"I ask"},
				{"type":"tool_use","id":"call_a","name":"f","input":{"n": 9007199254740993}},{"type":"tool_use","id":"call_b","name":"g","input":{}}]},
			{"role":"user","content":[{"type":"tool_result","tool_use_id":"call_a","content":[{"type":"text","text":"one"}]},{"type":"tool_result","tool_use_id":"call_b","content":"two"},{"type":"text","text":"and?"}]}],
		"max_tokens":50,"temperature":0.70,"top_p":0.9,"stop_sequences":["A","B"],
		"tools":[{"name":"f","description":"does f","input_schema":{"type":"object","properties":{"n":{"type":"integer"}}}},{"name":"g","input_schema":{"type":"object","properties":{}}}],
		"tool_choice":{"type":"any"}}`
	geminiRequest = `{
		"system_instruction":{"parts":[{"text":"be <brief>"}]},
		"contents":[
			{"role":"user","parts":[{"text":"look"},{"inline_data":{"mime_type":"image/png","data":"aGk="}}]},
			{"role":"model","parts":[{"text":"hm","thought":true},{"text":"I ask"},{"functionCall":{"id":"call_a","name":"f","args":{"n": 9007199254740993}},"thoughtSignature":"c2ln"},{"functionCall":{"id":"call_b","name":"g"}}]},
			{"role":"user","parts":[{"functionResponse":{"name":"g","response":{"output":"two"}}},{"functionResponse":{"id":"call_a","name":"f","response":{"result":"one"}}},{"text":"and?"}]}],
		"generationConfig":{"maxOutputTokens":50,"temperature":0.70,"topP":0.9,"stopSequences":["A","B"],"candidateCount":1},
		"safetySettings":[{"category":"HARM_CATEGORY_HARASSMENT","threshold":"BLOCK_NONE"}],
		"tools":[{"functionDeclarations":[{"name":"f","description":"does f","parameters":{"type":"OBJECT","properties":{"n":{"type":"INTEGER"}}}},{"name":"g"}]}],
		"toolConfig":{"functionCallingConfig":{"mode":"ANY"}}}`
)

var withoutStop = regexp.MustCompile(`,"(stop|stop_sequences|stopSequences)":\["A","B"\]`)

var same = map[Format]string{Chat: chatRequest, Claude: claudeRequest, Gemini: geminiRequest, Responses: responsesRequest}

// What each provider is sent, whoever asked.
var sent = map[Format]string{
	Chat: `{"model":"m","stream":true,"stream_options":{"include_usage":true},
		"messages":[
			{"role":"system","content":"be <brief>"},
			{"role":"user","content":[{"type":"text","text":"look"},{"type":"image_url","image_url":{"url":"data:image/png;base64,aGk="}}]},
			{"role":"assistant","content":"I ask","tool_calls":[
				{"id":"call_a","type":"function","function":{"name":"f","arguments":"{\"n\": 9007199254740993}"}},
				{"id":"call_b","type":"function","function":{"name":"g","arguments":"{}"}}]},
			{"role":"tool","tool_call_id":"call_a","content":"one"},
			{"role":"tool","tool_call_id":"call_b","content":"two"},
			{"role":"user","content":"and?"}],
		"max_tokens":50,"temperature":0.70,"top_p":0.9,"stop":["A","B"],
		"tools":[{"type":"function","function":{"name":"f","description":"does f","parameters":{"type":"object","properties":{"n":{"type":"integer"}}}}},{"type":"function","function":{"name":"g","parameters":{"type":"object","properties":{}}}}],
		"tool_choice":"required"}`,
	Responses: `{"model":"m","stream":true,"store":false,"instructions":"be <brief>",
		"input":[
			{"type":"message","role":"user","content":[{"type":"input_text","text":"look"},{"type":"input_image","image_url":"data:image/png;base64,aGk=","detail":"auto"}]},
			{"type":"message","role":"assistant","content":[{"type":"output_text","text":"I ask"}]},
			{"type":"function_call","call_id":"call_a","name":"f","arguments":"{\"n\": 9007199254740993}"},
			{"type":"function_call","call_id":"call_b","name":"g","arguments":"{}"},
			{"type":"function_call_output","call_id":"call_a","output":"one"},
			{"type":"function_call_output","call_id":"call_b","output":"two"},
			{"type":"message","role":"user","content":[{"type":"input_text","text":"and?"}]}],
		"max_output_tokens":50,"temperature":0.70,"top_p":0.9,
		"tools":[{"type":"function","name":"f","description":"does f","strict":false,"parameters":{"type":"object","properties":{"n":{"type":"integer"}}}},{"type":"function","name":"g","strict":false,"parameters":{"type":"object","properties":{}}}],
		"tool_choice":"required"}`,
	Claude: `{"model":"m","stream":true,
		"system":"be <brief>",
		"messages":[
			{"role":"user","content":[{"type":"text","text":"look"},{"type":"image","source":{"type":"base64","media_type":"image/png","data":"aGk="}}]},
			{"role":"assistant","content":[{"type":"text","text":"I ask"},
				{"type":"tool_use","id":"call_a","name":"f","input":{"n":9007199254740993}},{"type":"tool_use","id":"call_b","name":"g","input":{}}]},
			{"role":"user","content":[{"type":"tool_result","tool_use_id":"call_a","content":[{"type":"text","text":"one"}]},{"type":"tool_result","tool_use_id":"call_b","content":[{"type":"text","text":"two"}]},{"type":"text","text":"and?"}]}],
		"max_tokens":50,"temperature":0.70,"top_p":0.9,"stop_sequences":["A","B"],
		"tools":[{"name":"f","description":"does f","input_schema":{"type":"object","properties":{"n":{"type":"integer"}}}},{"name":"g","input_schema":{"type":"object","properties":{}}}],
		"tool_choice":{"type":"any"}}`,
	Gemini: `{
		"systemInstruction":{"parts":[{"text":"be <brief>"}]},
		"contents":[
			{"role":"user","parts":[{"text":"look"},{"inlineData":{"mimeType":"image/png","data":"aGk="}}]},
			{"role":"model","parts":[{"text":"I ask"},{"functionCall":{"name":"f","args":{"n":9007199254740993}}},{"functionCall":{"name":"g","args":{}}}]},
			{"role":"user","parts":[{"functionResponse":{"name":"f","response":{"output":"one"}}},{"functionResponse":{"name":"g","response":{"output":"two"}}},{"text":"and?"}]}],
		"generationConfig":{"maxOutputTokens":50,"temperature":0.70,"topP":0.9,"stopSequences":["A","B"]},
		"tools":[{"functionDeclarations":[{"name":"f","description":"does f","parametersJsonSchema":{"type":"object","properties":{"n":{"type":"integer"}}}},{"name":"g","parametersJsonSchema":{"type":"object","properties":{}}}]}],
		"toolConfig":{"functionCallingConfig":{"mode":"ANY"}}}`,
}

func TestTheSameRequestInEveryProtocol(t *testing.T) {
	for client, request := range same {
		for provider, want := range sent {
			body := request
			if client == Responses {
				want = withoutStop.ReplaceAllString(want, "")
			} else if provider == Responses {
				body = withoutStop.ReplaceAllString(body, "")
			}
			t.Run(client.String()+" to "+provider.String(), func(t *testing.T) {
				_, got, err := New(client, provider, []byte(body), "m", true)
				require.NoError(t, err)
				require.JSONEq(t, want, string(got))
				// Numbers stay as they were written; JSONEq does not see that.
				require.Contains(t, string(got), "9007199254740993")
				require.Contains(t, string(got), "0.70")
			})
		}
	}
}

// in wraps fields in the least request of a protocol.
func in(f Format, fields string) string {
	turns := map[Format]string{
		Chat: `"model":"x","messages":[{"role":"user","content":"hi"}]`, Claude: `"model":"x","max_tokens":50,"messages":[{"role":"user","content":"hi"}]`,
		Gemini: `"contents":[{"parts":[{"text":"hi"}]}]`, Responses: `"model":"x","input":"hi"`,
	}[f]
	if strings.Contains(fields, `"input":`) || strings.Contains(fields, `"messages"`) || strings.Contains(fields, `"contents"`) {
		return "{" + fields + "}"
	}
	return "{" + turns + "," + fields + "}"
}

// thinker is a model of each family that takes hints about thinking.
var thinker = map[Format]string{Chat: "gpt-oss-120b", Responses: "gpt-oss-120b", Claude: "claude-3-7-sonnet", Gemini: "gemini-2.5-flash"}

func TestFields(t *testing.T) {
	for _, tc := range []struct {
		client, provider Format
		fields           string
		want             string // a part of the result, compared as JSON: {"path": value}
	}{
		{Chat, Claude, `"tool_choice":"auto","parallel_tool_calls":false,"tools":[{"type":"function","function":{"name":"f","strict":true,"parameters":{"type":"object","properties":{},"additionalProperties":false}}}]`, `{"tool_choice":{"type":"auto","disable_parallel_tool_use":true},"tools":[{"name":"f","strict":true,"input_schema":{"type":"object","properties":{},"additionalProperties":false}}]}`},
		{Chat, Claude, `"tool_choice":{"type":"function","function":{"name":"f"}},"tools":[{"type":"function","function":{"name":"f","parameters":{}}}]`, `{"tool_choice":{"type":"tool","name":"f"}}`},
		{Chat, Claude, `"tool_choice":"none","tools":[{"type":"function","function":{"name":"f"}}]`, `{"tool_choice":{"type":"none"}}`},
		{Chat, Claude, `"n":1,"stop":"X","presence_penalty":0`, `{"max_tokens":8192,"stop_sequences":["X"]}`},
		{Chat, Claude, `"max_completion_tokens":70000,"reasoning_effort":"high"`, `{"max_tokens":64000,"thinking":{"type":"enabled","budget_tokens":24576}}`},
		{Chat, Claude, `"max_completion_tokens":7,"reasoning_effort":"high","temperature":1.5`, `{"max_tokens":7,"temperature":1}`},
		{Chat, Claude, `"response_format":{"type":"json_schema","json_schema":{"name":"n","schema":{"type":"object"}}}`, `{"output_config":{"format":{"type":"json_schema","schema":{"type":"object"}}}}`},
		{Chat, Claude, `"messages":[{"role":"developer","content":"a"},{"role":"system","content":[{"type":"text","text":"b"}]},{"role":"user","content":[{"type":"image_url","image_url":{"url":"https://h/i"}}]}]`, `{"system":"a\n\nb","messages":[{"role":"user","content":[{"type":"image","source":{"type":"url","url":"https://h/i"}}]}]}`},
		{Chat, Claude, `"messages":[{"role":"user","content":"a"},{"role":"assistant","content":"b"},{"role":"assistant","content":"c"},{"role":"user","content":" "},{"role":"user","content":"d"}]`, `{"messages":[{"role":"user","content":[{"type":"text","text":"a"}]},{"role":"assistant","content":[{"type":"text","text":"b"},{"type":"text","text":"c"}]},{"role":"user","content":[{"type":"text","text":"d"}]}]}`},
		{Chat, Gemini, `"seed":5,"presence_penalty":0.5,"frequency_penalty":-1,"response_format":{"type":"json_object"},"reasoning_effort":"medium"`, `{"generationConfig":{"seed":5,"presencePenalty":0.5,"frequencyPenalty":-1,"responseMimeType":"application/json","thinkingConfig":{"thinkingBudget":8192,"includeThoughts":true}}}`},
		{Chat, Gemini, `"response_format":{"type":"json_schema","json_schema":{"name":"n","schema":{"type":"object"}}},"reasoning_effort":"none"`, `{"generationConfig":{"responseMimeType":"application/json","responseJsonSchema":{"type":"object"},"thinkingConfig":{"thinkingBudget":0}}}`},
		{Chat, Gemini, `"messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":"https://h/i.JPG?x=1"}}]}]`, `{"contents":[{"role":"user","parts":[{"fileData":{"mimeType":"image/jpeg","fileUri":"https://h/i.JPG?x=1"}}]}]}`},
		{Chat, Gemini, `"tool_choice":{"type":"function","function":{"name":"f"}},"tools":[{"type":"function","function":{"name":"f"}}]`, `{"toolConfig":{"functionCallingConfig":{"mode":"ANY","allowedFunctionNames":["f"]}}}`},
		{Chat, Gemini, `"messages":[{"role":"user","content":"a"},{"role":"assistant","tool_calls":[{"id":"c","function":{"name":"f","arguments":"{}"},"extra_content":{"google":{"thought_signature":"c2ln"}}}]},{"role":"tool","tool_call_id":"c","content":"r"}]`, `{"contents":[{"role":"user","parts":[{"text":"a"}]},{"role":"model","parts":[{"functionCall":{"name":"f","args":{}},"thoughtSignature":"c2ln"}]},{"role":"user","parts":[{"functionResponse":{"name":"f","response":{"output":"r"}}}]}]}`},
		{Claude, Chat, `"thinking":{"type":"enabled","budget_tokens":4000},"tool_choice":{"type":"auto","disable_parallel_tool_use":true},"tools":[{"type":"custom","name":"f","input_schema":{"type":"object"}}]`, `{"reasoning_effort":"medium","tool_choice":"auto","parallel_tool_calls":false}`},
		{Claude, Chat, `"context_management":{"edits":[{"type":"clear_thinking_20251015","keep":"all"}]}`, `{"max_tokens":50}`},
		{Chat, Claude, `"messages":[{"role":"user","content":"a"},{"role":"assistant","content":"b","refusal":null,"annotations":[],"audio":null,"reasoning_content":"hm"},{"role":"user","content":"c"}]`, `{"messages":[{"role":"user","content":[{"type":"text","text":"a"}]},{"role":"assistant","content":[{"type":"text","text":"b"}]},{"role":"user","content":[{"type":"text","text":"c"}]}]}`},
		{Claude, Chat, `"thinking":{"type":"enabled","budget_tokens":40000},"output_config":{"format":{"type":"json_schema","schema":{"type":"object"}}}`, `{"reasoning_effort":"high","response_format":{"type":"json_schema","json_schema":{"name":"answer","strict":false,"schema":{"type":"object"}}}}`},
		{Claude, Chat, `"max_tokens":50,"messages":[{"role":"user","content":"a"},{"role":"assistant","content":[{"type":"tool_use","id":"toolu_1","name":"f","input":{}}]},{"role":"user","content":[{"type":"tool_result","tool_use_id":"toolu_1","is_error":true,"content":"bad"}]}]`, `{"messages":[{"role":"user","content":"a"},{"role":"assistant","tool_calls":[{"id":"toolu_1","type":"function","function":{"name":"f","arguments":"{}"}}]},{"role":"tool","tool_call_id":"toolu_1","content":"Error: bad"}]}`},
		{Claude, Gemini, `"top_k":5,"thinking":{"type":"adaptive"},"output_config":{"effort":"low"}`, `{"generationConfig":{"maxOutputTokens":50,"topK":5,"thinkingConfig":{"thinkingBudget":1024,"includeThoughts":true}}}`},
		{Claude, Gemini, `"max_tokens":50,"messages":[{"role":"user","content":"a"},{"role":"assistant","content":[{"type":"tool_use","id":"toolu_1","name":"f","input":{}}]},{"role":"user","content":[{"type":"tool_result","tool_use_id":"toolu_1","is_error":true,"content":"bad"}]}]`, `{"contents":[{"role":"user","parts":[{"text":"a"}]},{"role":"model","parts":[{"functionCall":{"name":"f","args":{}}}]},{"role":"user","parts":[{"functionResponse":{"name":"f","response":{"error":"bad"}}}]}]}`},
		{Gemini, Claude, `"generationConfig":{"topK":40.0,"thinkingConfig":{"thinkingBudget":2000,"includeThoughts":true},"responseMimeType":"text/plain","responseModalities":["TEXT"]}`, `{"max_tokens":10192,"thinking":{"type":"enabled","budget_tokens":2000}}`},
		{Gemini, Claude, `"generation_config":{"max_output_tokens":9,"thinking_config":{"thinking_level":"HIGH"},"response_mime_type":"application/json","response_schema":{"type":"ARRAY","min_items":"2","nullable":true,"items":{"type":"STRING","format":"enum","enum":["a"]}}}`, `{"max_tokens":9,"output_config":{"format":{"type":"json_schema","schema":{"type":["array","null"],"minItems":2,"items":{"type":"string","enum":["a"]}}}}}`},
		{Gemini, Chat, `"generationConfig":{"thinkingConfig":{"thinkingBudget":-1},"responseMimeType":"application/json"}`, `{"response_format":{"type":"json_object"}}`},
		{Gemini, Chat, `"tools":[{"functionDeclarations":[{"name":"f"},{"name":"g"},{"name":"h"}]}],"toolConfig":{"functionCallingConfig":{"mode":"ANY","allowedFunctionNames":["f","h"]}}`, `{"tool_choice":"required","tools":[{"type":"function","function":{"name":"f","parameters":{"type":"object","properties":{}}}},{"type":"function","function":{"name":"h","parameters":{"type":"object","properties":{}}}}]}`},
		{Gemini, Chat, `"contents":[{"parts":{"text":"a"}},{"role":"model","parts":[{"functionCall":{"name":"f","args":{"i":1}}},{"functionCall":{"name":"f","args":{"i":2}}}]},{"role":"function","parts":[{"functionResponse":{"name":"f","response":{"output":"one","more":1}}},{"functionResponse":{"name":"f","response":{"output":"two"}}}]}]`, `{"messages":[{"role":"user","content":"a"},{"role":"assistant","tool_calls":[{"id":"call_1_0","type":"function","function":{"name":"f","arguments":"{\"i\":1}"}},{"id":"call_1_1","type":"function","function":{"name":"f","arguments":"{\"i\":2}"}}]},{"role":"tool","tool_call_id":"call_1_0","content":"{\"output\":\"one\",\"more\":1}"},{"role":"tool","tool_call_id":"call_1_1","content":"two"}]}`},
		{Gemini, Chat, `"contents":[{"parts":[{"fileData":{"mimeType":"image/png","fileUri":"https://h/i"}}]}]`, `{"messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":"https://h/i"}}]}]}`},
	} {
		t.Run(tc.client.String()+" "+tc.provider.String()+" "+tc.fields, func(t *testing.T) {
			_, body, err := New(tc.client, tc.provider, []byte(in(tc.client, tc.fields)), thinker[tc.provider], false)
			require.NoError(t, err)
			var got, want map[string]any
			require.NoError(t, json.Unmarshal(body, &got))
			require.NoError(t, json.Unmarshal([]byte(tc.want), &want))
			for field, value := range want {
				require.Equal(t, value, got[field], "%s of %s", field, body)
			}
		})
	}
}

// A model of Gemini 3 wants a signature with every call in the history; one that
// another model made gets the documented stand-in.
func TestForeignCallsForGemini3(t *testing.T) {
	for model, want := range map[string]bool{"gemini-2.5-pro": false, "gemini-3-pro-preview": true, "other": false} {
		_, body, err := New(Claude, Gemini, []byte(claudeRequest), model, false)
		require.NoError(t, err)
		require.Equal(t, want, strings.Contains(string(body), foreignSignature), model)
	}
}

func TestLimitOfReasoningModels(t *testing.T) {
	for model, want := range map[string]string{"gpt-4o": "max_tokens", "qwen3": "max_tokens", "o3-mini": "max_completion_tokens", "gpt-5.1": "max_completion_tokens", "openai/gpt-5": "max_completion_tokens", "gpt-oss": "max_tokens"} {
		_, body, err := New(Claude, Chat, []byte(claudeRequest), model, false)
		require.NoError(t, err)
		require.Contains(t, string(body), `"`+want+`":50`, model)
	}
}

func TestRefusals(t *testing.T) {
	both := func(f Format) []Format {
		return map[Format][]Format{Chat: {Claude, Gemini}, Claude: {Chat, Gemini}, Gemini: {Chat, Claude}}[f]
	}
	for _, tc := range []struct {
		client    Format
		providers []Format
		fields    string
		field     string
	}{
		{Chat, both(Chat), `"n":2`, "n"},
		{Chat, both(Chat), `"logprobs":true`, "logprobs"},
		{Chat, both(Chat), `"logit_bias":{"1":2}`, "logit_bias"},
		{Chat, both(Chat), `"web_search_options":{}`, "web_search_options"},
		{Chat, both(Chat), `"something_new":1`, "something_new"},
		{Chat, both(Chat), `"modalities":["text","audio"]`, "modalities"},
		{Chat, both(Chat), `"tools":[{"type":"custom"}]`, "tools.0.custom.name"},
		{Chat, both(Chat), `"tools":[{"type":"function","function":{"name":"f","x":1}}]`, "tools.0.function.x"},
		{Chat, both(Chat), `"tool_choice":{"type":"web_search"}`, "tool_choice"},
		{Chat, both(Chat), `"temperature":"hot"`, "temperature"},
		{Chat, both(Chat), `"messages":[]`, "messages"},
		{Chat, both(Chat), `"messages":[{"role":"user","content":[{"type":"input_audio"}]}]`, "messages.0.content.0"},
		{Chat, both(Chat), `"messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":"ftp://h/i"}}]}]`, "messages.0.content.0.image_url.url"},
		{Chat, both(Chat), `"messages":[{"role":"user","content":"a"},{"role":"assistant","content":"b"}]`, "messages.1.content"},
		{Chat, both(Chat), `"messages":[{"role":"user","content":"a"},{"role":"tool","tool_call_id":"c","content":"r"}]`, "messages.1"},
		{Chat, both(Chat), `"messages":[{"role":"user","content":"a"},{"role":"assistant","tool_calls":[{"id":"c","function":{"name":"f","arguments":"{}"}}]},{"role":"user","content":"b"}]`, "messages.1.tool_calls.0"},
		{Chat, both(Chat), `"messages":[{"role":"robot","content":"a"}]`, "messages.0.role"},
		{Chat, []Format{Gemini}, `"messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":"https://h/i"}}]}]`, "messages.0.content.0.image_url.url"},
		{Claude, both(Claude), `"mcp_servers":[]`, "mcp_servers"},
		{Claude, both(Claude), `"tools":[{"type":"web_search_20250305","name":"web_search"}]`, "tools.0.type"},
		{Claude, both(Claude), `"tools":[{"name":"f"}]`, "tools.0.input_schema"},
		{Claude, both(Claude), `"messages":[{"role":"user","content":[{"type":"document"}]}]`, "messages.0.content.0.source.type"},
		{Claude, both(Claude), `"messages":[{"role":"user","content":[{"type":"image","source":{"type":"file"}}]}]`, "messages.0.content.0.source.type"},
		{Gemini, both(Gemini), `"cachedContent":"c"`, "cachedContent"},
		{Gemini, both(Gemini), `"tools":[{"googleSearch":{}}]`, "tools.0.googleSearch"},
		{Gemini, both(Gemini), `"generationConfig":{"candidateCount":2}`, "generationConfig.candidateCount"},
		{Gemini, both(Gemini), `"generationConfig":{"responseModalities":["IMAGE"]}`, "generationConfig.responseModalities.0"},
		{Gemini, both(Gemini), `"generationConfig":{"speechConfig":{}}`, "generationConfig.speechConfig"},
		{Gemini, both(Gemini), `"contents":[{"parts":[{"executableCode":{}}]}]`, "contents.0.parts.0"},
		{Gemini, both(Gemini), `"contents":[{"parts":[{"text":"a"}]},{"parts":[{"functionResponse":{"name":"f","response":{}}}]}]`, "contents.1.parts.0.functionResponse"},
	} {
		for _, provider := range tc.providers {
			t.Run(tc.client.String()+" "+provider.String()+" "+tc.fields, func(t *testing.T) {
				_, body, err := New(tc.client, provider, []byte(in(tc.client, tc.fields)), "m", false)
				var field *FieldError
				require.True(t, errors.As(err, &field), "%v %s", err, body)
				require.Equal(t, tc.field, field.Field)
				require.NotEmpty(t, field.Why)
			})
		}
	}
}

// Depth is bounded, and by something that does not recurse itself: a stack that
// overflows cannot be recovered from.
func TestDeepNesting(t *testing.T) {
	for _, depth := range []int{9_990, 5 << 20} {
		args := `{\"a\":` + strings.Repeat("[", depth) + strings.Repeat("]", depth) + "}"
		body := `{"messages":[{"role":"user","content":"a"},{"role":"assistant","tool_calls":[{"id":"c","function":{"name":"f","arguments":"` + args + `"}}]},{"role":"tool","tool_call_id":"c","content":"r"}]}`
		for _, provider := range []Format{Chat, Claude, Gemini} {
			_, out, err := New(Chat, provider, []byte(body), "m", false)
			if err == nil {
				require.True(t, json.Valid(out), "%d %v", depth, provider)
			}
			_, _, err = (&Conversion{client: Claude, provider: provider}).Stream().Event([]byte(strings.Repeat("[", depth)))
			require.Error(t, err)
		}
	}
}

func drawRequest(t *rapid.T) *request {
	text := func(name string) string { return rapid.StringMatching(`[a-zé<>"\\\\]{1,8}`).Draw(t, name) }
	q := &request{model: "m", stream: rapid.Bool().Draw(t, "stream"), stopField: "stop"}
	for range rapid.IntRange(0, 1).Draw(t, "system") {
		q.system = append(q.system, text("system"))
	}
	content := func() (out []part) {
		for range rapid.IntRange(1, 2).Draw(t, "parts") {
			out = append(out, part{kind: textPart, text: text("text")})
		}
		return out
	}
	q.turns = append(q.turns, turn{user, content()})
	if rapid.Bool().Draw(t, "image") {
		q.turns[0].parts = append(q.turns[0].parts, part{kind: imagePart, media: "image/png", data: "aGk="})
	}
	for i := range rapid.IntRange(0, 3).Draw(t, "turns") {
		said, results := turn{role: assistant}, turn{role: user}
		if rapid.Bool().Draw(t, "says something") {
			said.parts = content()
		}
		for j := range rapid.IntRange(0, 3).Draw(t, "calls") {
			id, name := fmt.Sprintf("call_%d_%d", i, j), rapid.SampledFrom([]string{"f", "g"}).Draw(t, "tool")
			said.parts = append(said.parts, part{kind: callPart, id: id, name: name, args: fmt.Sprintf(`{"n":%d}`, j)})
			results.parts = append(results.parts, part{kind: resultPart, id: id, name: name, content: []part{{kind: textPart, text: text("result")}}})
		}
		if len(said.parts) > 0 {
			results.parts = append(results.parts, content()...)
			q.turns = append(q.turns, said, results)
		}
	}
	for i := range rapid.IntRange(0, 2).Draw(t, "tools") {
		q.tools = append(q.tools, tool{name: fmt.Sprint("t", i), description: text("description"), schema: `{"type":"object","properties":{}}`})
	}
	if len(q.tools) > 0 {
		q.choice.mode = rapid.SampledFrom([]choiceMode{chooseDefault, chooseAuto, chooseNone, chooseAny, chooseTool}).Draw(t, "choice")
		if q.choice.mode == chooseTool {
			q.choice.name = "t0"
		}
	}
	q.maxTokens = number{raw: fmt.Sprint(rapid.IntRange(1, 99).Draw(t, "max"))}
	if rapid.Bool().Draw(t, "temperature") {
		q.temperature = number{raw: "0.5"}
	}
	for range rapid.IntRange(0, 4).Draw(t, "stops") {
		q.stop = append(q.stop, text("stop"))
	}
	if rapid.Bool().Draw(t, "schema") {
		q.format = format{json: true, schema: `{"type":"object"}`}
	}
	return q
}

// What is written for a provider means the same when a client had written it.
func TestRequestsKeepTheirMeaning(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := drawRequest(t)
		for f := range Format(3) {
			out, err := protocols[f].write(want)
			require.NoError(t, err)
			r := &reader{provider: f}
			got := protocols[f].read(r, gjson.ParseBytes(marshal(out)))
			require.NoError(t, r.err)
			require.NoError(t, got.arrange("turns"))
			require.Equal(t, meaning(want), meaning(got), "%v", f)
		}
	})
}

// meaning is a request without what is a protocol's own: names of fields, ids.
func meaning(q *request) string {
	var out strings.Builder
	fmt.Fprintln(&out, q.system, q.choice, q.maxTokens.raw, q.temperature.raw, q.stop, q.format.json, q.format.schema)
	for _, tl := range q.tools {
		fmt.Fprintln(&out, tl)
	}
	for _, turn := range q.turns {
		for _, p := range turn.parts {
			fmt.Fprintln(&out, turn.role, p.kind, p.text, p.media, p.data, p.args, p.texts())
		}
	}
	return out.String()
}
