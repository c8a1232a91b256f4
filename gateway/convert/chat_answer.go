package convert

import (
	"fmt"
	"strings"
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
	if thought := chatThought(m); thought != "" {
		a.parts = append(a.parts, part{kind: thoughtPart, text: thought})
	}
	for _, field := range []string{"content", "refusal"} {
		a.parts = append(a.parts, textParts("", chatText(m.Get(field)))...)
	}
	calls := m.Get("tool_calls").Array()
	if f := m.Get("function_call"); f.IsObject() && len(calls) == 0 { // before there were tools
		calls = gjson.Parse(`[{"function":` + f.Raw + `}]`).Array()
	}
	for _, c := range calls {
		args, ok := argsOf(c.Get("function.arguments"))
		if !ok && v.Get("choices.0.finish_reason").Str == "length" {
			continue // the limit cut it, and the end of the answer says so
		}
		if !ok {
			return nil, fmt.Errorf("%w: the arguments of a call are no JSON object", errMalformed)
		}
		a.parts = append(a.parts, part{
			kind: callPart, id: callID(c.Get("id").Str), name: c.Get("function.name").Str, args: args,
			signature: c.Get("extra_content.google.thought_signature").Str,
		})
	}
	a.finish = chatFinish(v.Get("choices.0.finish_reason").Str, len(calls) > 0)
	return a, nil
}

// chatText is the text of a content: a string, or an array of parts.
func chatText(v gjson.Result) string {
	if !v.IsArray() {
		return v.Str
	}
	var out strings.Builder
	for _, p := range v.Array() {
		if typ := p.Get("type").Str; typ == "text" || typ == "output_text" || typ == "" {
			out.WriteString(p.Get("text").Str)
		}
	}
	return out.String()
}

// chatThought is what the model thought, in the two places that providers have
// for it.
func chatThought(m gjson.Result) string {
	if s := m.Get("reasoning_content").Str; s != "" {
		return s
	}
	return m.Get("reasoning").Str
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
	text, thought := "", ""
	var calls []any
	for _, p := range a.parts {
		switch {
		case p.kind == callPart && p.custom:
			calls = append(calls, object{"id": p.id, "type": "custom", "custom": object{"name": p.name, "input": customInput(p.args)}})
		case p.kind == callPart:
			c := object{"id": p.id, "type": "function", "function": object{"name": p.name, "arguments": p.args}}
			sign(c, p.signature)
			calls = append(calls, c)
		case p.kind == thoughtPart:
			thought += p.text
		default:
			text += p.text
		}
	}
	if thought != "" {
		m["reasoning_content"] = thought
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
	queue          callQueue
	calls          []*chatStreamCall
	reason         string
	usage          usage
}

// chatStreamCall is a call as the provider counts it.
type chatStreamCall struct {
	*pendingCall // nil: its name is not known yet
	index        int
	id           string
	early        string // arguments that came before the name
}

func (d *chatDecoder) decode(v gjson.Result) (out []event, _ error) {
	if e := v.Get("error"); e.IsObject() {
		return nil, &UpstreamError{e.Get("message").String()}
	}
	if !d.started && len(v.Get("choices").Array()) > 0 { // before, some say what is none of the answer
		d.started = true
		out = append(out, event{kind: evStart, id: v.Get("id").Str, model: v.Get("model").Str})
	}
	if u := v.Get("usage"); u.IsObject() {
		d.usage = chatUsage(u)
	}
	if !d.started {
		return nil, nil
	}
	c := v.Get("choices.0")
	delta := c.Get("delta")
	if !delta.IsObject() { // whole at once
		delta = c.Get("message")
	}
	if s := chatThought(delta); s != "" {
		out = append(out, d.queue.other(event{kind: evThought, text: s})...)
	}
	for _, field := range []string{"content", "refusal"} {
		if s := chatText(delta.Get(field)); s != "" {
			out = append(out, d.queue.other(event{kind: evText, text: s})...)
		}
	}
	calls := delta.Get("tool_calls").Array()
	if f := delta.Get("function_call"); f.IsObject() {
		calls = append(calls, gjson.Parse(`{"function":`+f.Raw+`}`))
	}
	for _, call := range calls {
		events, err := d.call(call)
		out = append(out, events...)
		if err != nil {
			return out, err
		}
	}
	if reason := strings.TrimSpace(c.Get("finish_reason").Str); reason != "" && reason != "null" {
		d.reason = reason
	}
	return out, nil
}

// call reads a piece of a call: a new index, or without any index a name, begins
// another one. So does a name with another id: some count every call as the first.
func (d *chatDecoder) call(v gjson.Result) (out []event, _ error) {
	index, name, id := indexOf(v.Get("index")), v.Get("function.name").Str, v.Get("id").Str
	var c *chatStreamCall
	for _, known := range d.calls {
		if index >= 0 && known.index == index || index < 0 && id != "" && known.id == id {
			c = known // the newest one with this index
		}
	}
	if index < 0 && c == nil && name == "" && len(d.calls) > 0 {
		c = d.calls[len(d.calls)-1]
	}
	if c == nil || name != "" && id != "" && c.id != "" && id != c.id {
		c = &chatStreamCall{index: index, id: id}
		d.calls = append(d.calls, c)
	}
	args := v.Get("function.arguments")
	text := args.Str
	if args.IsObject() {
		text = args.Raw
	}
	if c.id == "" {
		c.id = id
	}
	if c.pendingCall == nil && name == "" { // some tell it in a later piece
		c.early += text
		return nil, nil
	}
	if c.pendingCall == nil {
		c.pendingCall, out = d.queue.begin(event{
			id: callID(c.id), name: name, signature: v.Get("extra_content.google.thought_signature").Str})
		text = c.early + text
	}
	events, err := d.queue.more(c.pendingCall, text)
	return append(out, events...), err
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
	out := d.queue.flush(true)
	called := false
	for _, c := range d.calls {
		if c.pendingCall == nil && c.early != "" {
			return out, fmt.Errorf("%w: a call has no name", errMalformed)
		}
		called = called || c.pendingCall != nil
	}
	if d.reason != "length" { // one that was cut off is as it is
		if err := d.queue.checked(); err != nil {
			return out, err
		}
	}
	return append(out, event{kind: evEnd, finish: chatFinish(d.reason, called), usage: d.usage}), nil
}

// chatEncoder makes a stream of chunks.
type chatEncoder struct {
	usage  bool
	head   object
	begin  string // of a chunk with a piece of text
	calls  int
	custom bool            // the call that is open takes text
	args   strings.Builder // of it
}

func (c *chatEncoder) encode(e event) (out [][]byte, _ error) {
	if c.custom && e.kind != evArgs {
		c.custom = false
		out = c.callDelta(object{"custom": object{"input": customInput(c.args.String())}})
		c.args.Reset()
	}
	switch e.kind {
	case evStart:
		c.head = object{"id": "chatcmpl-" + orNew(e.id), "object": "chat.completion.chunk", "created": time.Now().Unix(), "model": e.model}
		return append(out, c.chunk(object{"role": "assistant", "content": ""}, nil)...), nil
	case evText:
		return append(out, c.text(e.text)), nil
	case evThought:
		return append(out, c.chunk(object{"reasoning_content": e.text}, nil)...), nil
	case evCall:
		call := object{"index": c.calls, "id": e.id, "type": "function", "function": object{"name": e.name, "arguments": ""}}
		if e.custom {
			c.custom = true
			call = object{"index": c.calls, "id": e.id, "type": "custom", "custom": object{"name": e.name, "input": ""}}
		}
		sign(call, e.signature)
		c.calls++
		return append(out, c.chunk(object{"tool_calls": []any{call}}, nil)...), nil
	case evArgs:
		if c.custom { // its text is known when it is whole
			c.args.WriteString(e.text)
			return nil, nil
		}
		return c.callDelta(object{"function": object{"arguments": e.text}}), nil
	}
	out = append(out, c.chunk(object{}, chatReasons[e.finish])...)
	if c.usage {
		c.head["choices"], c.head["usage"] = []any{}, e.usage.chat()
		out = append(out, sse("", c.head))
	}
	return append(out, []byte("data: [DONE]\n\n")), nil
}

// text is chunk for a piece of text, of which a stream has the most.
func (c *chatEncoder) text(s string) []byte {
	if c.begin == "" {
		delete(c.head, "choices")
		head := marshal(c.head)
		c.begin = "data: " + string(head[:len(head)-1]) + `,"choices":[{"index":0,"delta":{"content":`
	}
	return sseText(c.begin, s, `},"logprobs":null,"finish_reason":null}]}`)
}

func (c *chatEncoder) callDelta(call object) [][]byte {
	call["index"] = c.calls - 1
	return c.chunk(object{"tool_calls": []any{call}}, nil)
}

func (c *chatEncoder) chunk(delta object, finish any) [][]byte {
	c.head["choices"] = []any{object{"index": 0, "delta": delta, "logprobs": nil, "finish_reason": finish}}
	return [][]byte{sse("", c.head)}
}
