package convert

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/tidwall/gjson"
	"pgregory.net/rapid"
)

// dataOf is the data of server-sent events.
func dataOf(stream []byte) (out [][]byte) {
	for line := range bytes.Lines(stream) {
		if data, ok := bytes.CutPrefix(line, []byte("data: ")); ok {
			out = append(out, bytes.TrimSpace(data))
		}
	}
	return out
}

// whole puts a stream of a format together again, as its clients do.
func whole(t require.TestingT, f Format, stream []byte) *answer {
	d := protocols[f].decoder()
	var events []event
	for _, data := range dataOf(stream) {
		if string(data) == "[DONE]" {
			break
		}
		made, err := d.decode(gjson.ParseBytes(data))
		require.NoError(t, err)
		events = append(events, made...)
	}
	last, err := d.end(false)
	require.NoError(t, err)
	a := &answer{}
	for _, e := range append(events, last...) {
		switch n := len(a.parts) - 1; e.kind {
		case evText:
			if n >= 0 && a.parts[n].kind == textPart {
				a.parts[n].text += e.text
			} else {
				a.parts = append(a.parts, part{kind: textPart, text: e.text})
			}
		case evThought:
			if n >= 0 && a.parts[n].kind == thoughtPart {
				a.parts[n].text += e.text
			} else {
				a.parts = append(a.parts, part{kind: thoughtPart, text: e.text})
			}
		case evCall:
			a.parts = append(a.parts, part{kind: callPart, id: e.id, name: e.name})
		case evArgs:
			a.parts[n].args += e.text
		case evEnd:
			a.finish, a.stopped, a.usage = e.finish, e.stopped, e.usage
		}
	}
	return a
}

func drawAnswer(t *rapid.T) *answer {
	a := &answer{id: "id", model: "m", finish: rapid.SampledFrom([]finishReason{finishStop, finishLength, finishFilter}).Draw(t, "finish")}
	if s := rapid.StringN(0, 20, -1).Draw(t, "text"); strings.TrimSpace(s) != "" {
		a.parts = append(a.parts, part{kind: textPart, text: strings.ToValidUTF8(s, "?")})
	}
	for i := range rapid.IntRange(0, 3).Draw(t, "calls") {
		args := string(marshal(object{"k": rapid.String().Draw(t, "arg"), "n": rapid.Int().Draw(t, "number")}))
		a.parts = append(a.parts, part{kind: callPart, id: fmt.Sprint("call_", i), name: "f", args: args})
		if a.finish == finishStop {
			a.finish = finishTools
		}
	}
	in := rapid.Int64Range(0, 1000).Draw(t, "in")
	out := rapid.Int64Range(0, 1000).Draw(t, "out")
	a.usage = usage{in: in, cached: rapid.Int64Range(0, in).Draw(t, "cached"), out: out}
	return a
}

// Whatever a provider answers, whole or in pieces, a client of any protocol gets
// the same answer.
func TestAnswersKeepTheirContent(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a := drawAnswer(t)
		for client := range Format(4) {
			for provider := range Format(4) {
				c := &Conversion{client: client, provider: provider, usage: true}
				body := marshal(protocols[provider].encode(a))
				got, err := c.Answer(body)
				require.NoError(t, err)
				read, err := protocols[client].decode(gjson.ParseBytes(got))
				require.NoError(t, err)
				equal(t, a, read)

				var stream []byte // of the provider
				enc := protocols[provider].encoder(true)
				for _, e := range pieces(a.events()) {
					made, err := enc.encode(e)
					require.NoError(t, err)
					stream = append(stream, bytes.Join(made, nil)...)
				}
				s := c.Stream()
				var converted []byte
				ended := false
				for _, data := range dataOf(stream) {
					require.False(t, ended)
					var events [][]byte
					events, ended, err = s.Event(data)
					require.NoError(t, err)
					converted = append(converted, bytes.Join(events, nil)...)
				}
				if !ended {
					require.Equal(t, Gemini, provider)
					events, err := s.End()
					require.NoError(t, err)
					converted = append(converted, bytes.Join(events, nil)...)
				}
				equal(t, a, whole(t, client, converted))

				events, err := c.AnswerAsStream(body)
				require.NoError(t, err)
				equal(t, a, whole(t, client, bytes.Join(events, nil)))
			}
		}
	})
}

// pieces cuts texts and arguments in two.
func pieces(events []event) (out []event) {
	for _, e := range events {
		if e.kind == evText || e.kind == evArgs {
			runes := []rune(e.text)
			first, second := e, e
			first.text, second.text = string(runes[:len(runes)/2]), string(runes[len(runes)/2:])
			out = append(out, first, second)
			continue
		}
		out = append(out, e)
	}
	return out
}

func equal(t require.TestingT, want, got *answer) {
	require.Equal(t, want.finish, got.finish)
	require.Equal(t, want.usage, got.usage)
	require.Len(t, got.parts, len(want.parts))
	for i, p := range want.parts {
		require.Equal(t, p.kind, got.parts[i].kind)
		require.Equal(t, p.text, got.parts[i].text)
		require.Equal(t, p.name, got.parts[i].name)
		require.Equal(t, p.id, got.parts[i].id)
		if p.kind == callPart {
			require.JSONEq(t, p.args, got.parts[i].args)
		}
	}
}

func TestAnswersOfTheWire(t *testing.T) {
	for _, tc := range []struct {
		name             string
		client, provider Format
		answer, want     string // want: paths and values
	}{
		{"refusal", Claude, Chat, `{"id":"i","model":"m","choices":[{"message":{"content":null,"refusal":"no"},"finish_reason":"stop"}],"usage":{"prompt_tokens":5,"completion_tokens":2,"prompt_tokens_details":{"cached_tokens":4}}}`,
			`{"content.0.text":"no","stop_reason":"end_turn","usage.input_tokens":1,"usage.cache_read_input_tokens":4,"type":"message","role":"assistant","model":"m"}`},
		{"forced call ends with stop", Claude, Chat, `{"choices":[{"message":{"tool_calls":[{"id":"a","function":{"name":"f","arguments":"{\"x\":1}"}}]},"finish_reason":"stop"}]}`,
			`{"content.0.input":{"x":1},"stop_reason":"tool_use"}`},
		{"content filter", Gemini, Chat, `{"choices":[{"message":{"content":"x"},"finish_reason":"content_filter"}]}`, `{"candidates.0.finishReason":"SAFETY"}`},
		{"thinking is left out", Chat, Claude, `{"type":"message","content":[{"type":"thinking","thinking":"hm"},{"type":"text","text":"a"},{"type":"text","text":"b"}],"stop_reason":"stop_sequence","usage":{"input_tokens":1,"cache_creation_input_tokens":2,"cache_read_input_tokens":3,"output_tokens":4}}`,
			`{"choices.0.message.content":"ab","choices.0.finish_reason":"stop","usage.prompt_tokens":6,"usage.total_tokens":10,"usage.prompt_tokens_details.cached_tokens":3}`},
		{"refusal of Claude", Gemini, Claude, `{"content":[],"stop_reason":"refusal"}`, `{"candidates.0.finishReason":"SAFETY"}`},
		{"blocked prompt", Chat, Gemini, `{"promptFeedback":{"blockReason":"SAFETY"},"usageMetadata":{"promptTokenCount":3}}`, `{"choices.0.finish_reason":"content_filter","choices.0.message.content":"","usage.prompt_tokens":3}`},
		{"signature", Chat, Gemini, `{"candidates":[{"content":{"parts":[{"text":"x","thought":true},{"functionCall":{"name":"f","args":{}},"thoughtSignature":"c2ln"}]},"finishReason":"STOP"}],"usageMetadata":{"promptTokenCount":3,"candidatesTokenCount":2,"thoughtsTokenCount":5}}`,
			`{"choices.0.message.tool_calls.0.extra_content.google.thought_signature":"c2ln","choices.0.finish_reason":"tool_calls","choices.0.message.content":null,"usage.completion_tokens":7,"usage.completion_tokens_details.reasoning_tokens":5}`},
		{"length", Claude, Gemini, `{"candidates":[{"content":{"parts":[{"text":"x"}]},"finishReason":"MAX_TOKENS"}]}`, `{"stop_reason":"max_tokens"}`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := &Conversion{client: tc.client, provider: tc.provider}
			got, err := c.Answer([]byte(tc.answer))
			require.NoError(t, err)
			gjson.Parse(tc.want).ForEach(func(path, want gjson.Result) bool {
				require.JSONEq(t, want.Raw, gjson.GetBytes(got, path.Str).Raw, "%s of %s", path.Str, got)
				return true
			})
		})
	}
	c := &Conversion{client: Chat, provider: Gemini} // calls of Gemini have ids that differ
	seen := map[string]bool{}
	for range 2 {
		got, err := c.Answer([]byte(`{"candidates":[{"content":{"parts":[{"functionCall":{"name":"f"}},{"functionCall":{"name":"f"}}]},"finishReason":"STOP"}]}`))
		require.NoError(t, err)
		for _, id := range gjson.GetBytes(got, "choices.0.message.tool_calls.#.id").Array() {
			require.False(t, seen[id.Str] || id.Str == "")
			seen[id.Str] = true
		}
	}
}

func TestAnswersThatAreNone(t *testing.T) {
	for _, tc := range []struct {
		provider Format
		body     string
		want     string // of the text
	}{
		{Chat, `<html>`, "not of its protocol"},
		{Chat, `{"choices":[]}`, "not of its protocol"},
		{Chat, `{"error":{"message":"quota"}}`, "quota"},
		{Chat, `{"choices":[{"message":{"tool_calls":[{"id":"a","function":{"name":"f","arguments":"{\"x"}}]}}]}`, "not of its protocol"},
		{Claude, `{"type":"error","error":{"message":"overloaded"}}`, "overloaded"},
		{Claude, `{"content":[{"type":"server_tool_use"}],"stop_reason":"end_turn"}`, "server_tool_use"},
		{Claude, `{"content":[],"stop_reason":null}`, "before its end"},
		{Responses, `{"status":"failed","output":[],"error":{"message":"quota"}}`, "quota"},
		{Responses, `{"status":"completed"}`, "not of its protocol"},
		{Responses, `{"status":"in_progress","output":[]}`, "before its end"},
		{Gemini, `{"candidates":[{"content":{"parts":[{"text":"x"}]}}]}`, "before its end"},
		{Gemini, `{"candidates":[{"content":{"parts":[{"inlineData":{}}]},"finishReason":"STOP"}]}`, "neither text nor a call"},
	} {
		for client := range Format(4) {
			_, err := (&Conversion{client: client, provider: tc.provider}).Answer([]byte(tc.body))
			require.ErrorContains(t, err, tc.want)
			_, err = (&Conversion{client: client, provider: tc.provider}).AnswerAsStream([]byte(tc.body))
			require.ErrorContains(t, err, tc.want)
		}
	}
}

// A stream that ends before the provider said so is never a complete answer.
func TestStreamsThatAreNotWhole(t *testing.T) {
	text := &answer{id: "i", model: "m", parts: []part{{kind: textPart, text: "hello"}, {kind: callPart, id: "c", name: "f", args: `{"a":1}`}}, finish: finishTools}
	for provider := range Format(4) {
		var stream []byte
		enc := protocols[provider].encoder(true)
		for _, e := range pieces(text.events()) {
			made, err := enc.encode(e)
			require.NoError(t, err)
			stream = append(stream, bytes.Join(made, nil)...)
		}
		events := dataOf(stream)
		for client := range Format(4) {
			for cut := range len(events) - 1 {
				s := (&Conversion{client: client, provider: provider}).Stream()
				var got []byte
				for _, data := range events[:cut] {
					made, end, err := s.Event(data)
					require.NoError(t, err)
					require.False(t, end)
					got = append(got, bytes.Join(made, nil)...)
				}
				if provider == Chat && cut >= len(events)-2 || provider == Claude && cut == len(events)-1 {
					continue // the finish reason was there; only the end was not
				}
				_, err := s.End()
				require.True(t, errors.Is(err, ErrIncomplete), "%v after %d events: %v", provider, cut, err)
				for _, mark := range []string{"[DONE]", "message_stop", "finishReason\":\"", "finish_reason\":\""} {
					require.NotContains(t, string(got), mark)
				}
			}
		}
	}
	for _, tc := range []struct {
		provider Format
		data     string
	}{
		{Chat, `{"error":{"message":"why"}}`}, {Claude, `{"type":"error","error":{"type":"overloaded_error","message":"why"}}`}, {Gemini, `{"error":{"code":500,"message":"why"}}`},
	} {
		s := (&Conversion{client: Chat, provider: tc.provider}).Stream()
		_, _, err := s.Event([]byte(tc.data))
		var upstream *UpstreamError
		require.True(t, errors.As(err, &upstream))
		require.Equal(t, "why", upstream.Message)
	}
	s := (&Conversion{client: Gemini, provider: Chat}).Stream() // arguments that are no JSON when they are whole
	_, _, err := s.Event([]byte(`{"choices":[{"delta":{"tool_calls":[{"index":0,"id":"a","function":{"name":"f","arguments":"{\"x"}}]},"finish_reason":"tool_calls"}]}`))
	require.NoError(t, err)
	_, _, err = s.Event([]byte("[DONE]"))
	require.ErrorIs(t, err, errMalformed)
	s = (&Conversion{client: Claude, provider: Chat}).Stream()
	_, _, err = s.Event([]byte("{"))
	require.ErrorIs(t, err, errMalformed)
}

// Calls of a provider that gives no index to their pieces, or the same to all.
func TestCallsWithoutAnIndexOfTheirOwn(t *testing.T) {
	for _, index := range []string{"", `"index":0,`} {
		s := (&Conversion{client: Claude, provider: Chat}).Stream()
		var out []byte
		for _, data := range []string{
			`{"id":"i","model":"m","choices":[{"delta":{"tool_calls":[{@"id":"a","function":{"name":"f","arguments":"{\"x\":"}}]}}]}`,
			`{"choices":[{"delta":{"tool_calls":[{@"function":{"arguments":"1}"}}]}}]}`,
			`{"choices":[{"delta":{"tool_calls":[{@"id":"b","function":{"name":"f","arguments":"{}"}}]},"finish_reason":"tool_calls"}]}`,
			`[DONE]`,
		} {
			events, _, err := s.Event([]byte(strings.ReplaceAll(data, "@", index)))
			require.NoError(t, err)
			out = append(out, bytes.Join(events, nil)...)
		}
		a := whole(t, Claude, out)
		require.Equal(t, []part{{kind: callPart, id: "a", name: "f", args: `{"x":1}`}, {kind: callPart, id: "b", name: "f", args: `{}`}}, a.parts)
	}
}

// Nothing that a client or a provider sends makes the package panic.
func FuzzConvert(f *testing.F) {
	for _, body := range same {
		f.Add([]byte(body))
	}
	f.Add([]byte(`{"choices":[{"delta":{"tool_calls":[{"index":-1,"function":{"arguments":"x"}}]}}]}`))
	f.Add([]byte(`{"type":"content_block_delta","delta":{"type":"input_json_delta","partial_json":"x"}}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		if !gjson.ValidBytes(body) || !gjson.ParseBytes(body).IsObject() {
			return
		}
		for client := range Format(4) {
			for provider := range Format(4) {
				if _, out, err := New(client, provider, body, "m", true); err == nil {
					require.True(t, gjson.ValidBytes(out), "%s", out)
				}
				c := &Conversion{client: client, provider: provider, usage: true}
				_, _ = c.Answer(body)
				s := c.Stream()
				_, _, _ = s.Event(body)
				_, _ = s.End()
			}
		}
	})
}
