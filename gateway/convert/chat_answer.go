package convert

import (
	"fmt"
	"time"

	"github.com/tidwall/gjson"
)

// decodeChat reads a chat completion.
func decodeChat(v gjson.Result) (*answer, error) {
	if e := v.Get("error"); e.IsObject() {
		return nil, &UpstreamError{e.Get("message").String()}
	}
	m := v.Get("choices.0.message")
	if !m.IsObject() {
		return nil, fmt.Errorf("%w: it has no choice", errMalformed)
	}
	a := &answer{id: v.Get("id").Str, model: v.Get("model").Str, usage: chatUsage(v.Get("usage"))}
	for _, field := range []string{"content", "refusal"} {
		if s := m.Get(field).Str; s != "" {
			a.parts = append(a.parts, part{kind: textPart, text: s})
		}
	}
	for _, c := range m.Get("tool_calls").Array() {
		args, ok := validArgs(c.Get("function.arguments").Str)
		if !ok {
			return nil, fmt.Errorf("%w: the arguments of a call are no JSON object", errMalformed)
		}
		a.parts = append(a.parts, part{kind: callPart, id: callID(c.Get("id").Str), name: c.Get("function.name").Str, args: args})
	}
	a.finish = chatFinish(v.Get("choices.0.finish_reason").Str, len(m.Get("tool_calls").Array()) > 0)
	return a, nil
}

func chatUsage(u gjson.Result) usage {
	return usage{
		in: u.Get("prompt_tokens").Int(), cached: u.Get("prompt_tokens_details.cached_tokens").Int(),
		out: u.Get("completion_tokens").Int(), reasoning: u.Get("completion_tokens_details.reasoning_tokens").Int(),
	}
}

// chatFinish: a call that was forced ends with stop.
func chatFinish(reason string, called bool) finishReason {
	switch {
	case reason == "length":
		return finishLength
	case reason == "content_filter":
		return finishFilter
	case called:
		return finishTools
	}
	return finishStop
}

var chatReasons = map[finishReason]string{finishStop: "stop", finishLength: "length", finishTools: "tool_calls", finishFilter: "content_filter"}

// encodeChat makes a chat completion.
func encodeChat(a *answer) map[string]any {
	m := object{"role": "assistant", "content": nil, "refusal": nil}
	text := ""
	var calls []any
	for _, p := range a.parts {
		if p.kind == callPart {
			c := object{"id": p.id, "type": "function", "function": object{"name": p.name, "arguments": p.args}}
			sign(c, p.signature)
			calls = append(calls, c)
		} else {
			text += p.text
		}
	}
	if text != "" || len(calls) == 0 {
		m["content"] = text
	}
	if len(calls) > 0 {
		m["tool_calls"] = calls
	}
	return object{
		"id": "chatcmpl-" + orNew(a.id), "object": "chat.completion", "created": time.Now().Unix(), "model": a.model,
		"choices": []any{object{"index": 0, "message": m, "logprobs": nil, "finish_reason": chatReasons[a.finish]}},
		"usage":   a.usage.chat(),
	}
}

// sign adds what Gemini wants to see again with its call, where Google's own
// OpenAI endpoint has it.
func sign(call object, signature string) {
	if signature != "" {
		call["extra_content"] = object{"google": object{"thought_signature": signature}}
	}
}

func (u usage) chat() object {
	return object{
		"prompt_tokens": u.in, "completion_tokens": u.out, "total_tokens": u.in + u.out,
		"prompt_tokens_details":     object{"cached_tokens": u.cached},
		"completion_tokens_details": object{"reasoning_tokens": u.reasoning},
	}
}

// orNew is an id or a new one.
func orNew(id string) string {
	if id == "" {
		return newID("")
	}
	return id
}

// chatDecoder reads a stream of chunks.
type chatDecoder struct {
	started, ended bool
	calls          int // begun
	index          int // of the last one, as the provider counts
	id             string
	reason         string
	usage          usage
}

func (d *chatDecoder) decode(v gjson.Result) (out []event, _ error) {
	if e := v.Get("error"); e.IsObject() {
		return nil, &UpstreamError{e.Get("message").String()}
	}
	if !d.started {
		d.started = true
		out = append(out, event{kind: evStart, id: v.Get("id").Str, model: v.Get("model").Str})
	}
	if u := v.Get("usage"); u.IsObject() {
		d.usage = chatUsage(u)
	}
	c := v.Get("choices.0")
	for _, field := range []string{"delta.content", "delta.refusal"} {
		if s := c.Get(field).Str; s != "" {
			out = append(out, event{kind: evText, text: s})
		}
	}
	for _, call := range c.Get("delta.tool_calls").Array() {
		events, err := d.call(call)
		if err != nil {
			return out, err
		}
		out = append(out, events...)
	}
	if reason := c.Get("finish_reason").Str; reason != "" {
		d.reason = reason
	}
	return out, nil
}

// call reads a piece of a call: a new index, or without any index a name, begins
// the next one. So does a name with another id: some count every call as the first.
func (d *chatDecoder) call(v gjson.Result) (out []event, _ error) {
	index, name, id := indexOf(v.Get("index")), v.Get("function.name").Str, v.Get("id").Str
	switch {
	case d.calls == 0, index > d.index, index < 0 && name != "", index == d.index && name != "" && id != "" && id != d.id:
		if index < 0 {
			index = d.calls
		}
		d.calls++
		d.index, d.id = index, id
		out = append(out, event{kind: evCall, id: callID(id), name: name})
	case index >= 0 && index < d.index:
		return nil, fmt.Errorf("%w: pieces of calls are mixed", errMalformed)
	}
	if args := v.Get("function.arguments").Str; args != "" {
		out = append(out, event{kind: evArgs, text: args})
	}
	return out, nil
}

// end is complete with a reason to finish, or with [DONE]: some leave one out.
func (d *chatDecoder) end(told bool) ([]event, error) {
	if d.ended {
		return nil, nil
	}
	if told && d.reason == "" {
		d.reason = "stop"
	}
	if !d.started || d.reason == "" {
		return nil, ErrIncomplete
	}
	d.ended = true
	return []event{{kind: evEnd, finish: chatFinish(d.reason, d.calls > 0), usage: d.usage}}, nil
}

// chatEncoder makes a stream of chunks.
type chatEncoder struct {
	usage bool
	head  object
	calls int
}

func (c *chatEncoder) encode(e event) (out [][]byte, _ error) {
	switch e.kind {
	case evStart:
		c.head = object{"id": "chatcmpl-" + orNew(e.id), "object": "chat.completion.chunk", "created": time.Now().Unix(), "model": e.model}
		return c.chunk(object{"role": "assistant", "content": ""}, nil), nil
	case evText:
		return c.chunk(object{"content": e.text}, nil), nil
	case evCall:
		call := object{"index": c.calls, "id": e.id, "type": "function", "function": object{"name": e.name, "arguments": ""}}
		sign(call, e.signature)
		c.calls++
		return c.chunk(object{"tool_calls": []any{call}}, nil), nil
	case evArgs:
		return c.chunk(object{"tool_calls": []any{object{"index": c.calls - 1, "function": object{"arguments": e.text}}}}, nil), nil
	}
	out = c.chunk(object{}, chatReasons[e.finish])
	if c.usage {
		c.head["choices"], c.head["usage"] = []any{}, e.usage.chat()
		out = append(out, sse("", c.head))
	}
	return append(out, []byte("data: [DONE]\n\n")), nil
}

func (c *chatEncoder) chunk(delta object, finish any) [][]byte {
	c.head["choices"] = []any{object{"index": 0, "delta": delta, "logprobs": nil, "finish_reason": finish}}
	return [][]byte{sse("", c.head)}
}
