package convert

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/tidwall/gjson"
)

// decodeClaude reads a message.
func decodeClaude(v gjson.Result) (*answer, error) {
	if v.Get("type").Str == "error" {
		return nil, &UpstreamError{v.Get("error.message").String()}
	}
	if c := v.Get("content"); c.Type == gjson.String { // some providers like Claude's
		return &answer{id: v.Get("id").Str, model: v.Get("model").Str, parts: textParts("", c.Str), finish: finishStop, usage: claudeUsage(v)}, nil
	} else if !c.IsArray() {
		return nil, fmt.Errorf("%w: it has no content", errMalformed)
	}
	a := &answer{id: v.Get("id").Str, model: v.Get("model").Str, usage: claudeUsage(v)}
	for _, b := range v.Get("content").Array() {
		switch typ := b.Get("type").Str; typ {
		case "text":
			a.parts = append(a.parts, part{kind: textPart, text: b.Get("text").Str})
		case "tool_use":
			args, ok := argsOf(b.Get("input"))
			if !ok {
				return nil, fmt.Errorf("%w: the input of a tool is no object", errMalformed)
			}
			a.parts = append(a.parts, part{kind: callPart, id: b.Get("id").Str, name: b.Get("name").Str, args: args})
		case "thinking":
			thought := part{kind: thoughtPart, text: b.Get("thinking").Str}
			if s := b.Get("signature").Str; s != "" {
				thought.own = &sealed{Text: thought.text, Signature: s}
			}
			a.parts = append(a.parts, thought)
		case "redacted_thinking":
			a.parts = append(a.parts, part{kind: thoughtPart, own: &sealed{Data: b.Get("data").Str}})
		default:
			return nil, fmt.Errorf("%w: content of type %.40q", errMalformed, typ)
		}
	}
	a.finish, a.stopped = claudeFinish(v.Get("stop_reason").Str), v.Get("stop_sequence").Str
	if a.finish == "" {
		return nil, ErrIncomplete
	}
	return a, nil
}

func claudeUsage(v gjson.Result) (u usage) {
	u.addClaude(v.Get("usage"))
	return u
}

// claudeFinish reads why a message ended; "" says that it did not. A reason that is new
// is an end all the same, and what was said is paid for.
func claudeFinish(reason string) finishReason {
	switch reason {
	case "":
		return ""
	case "max_tokens", "model_context_window_exceeded":
		return finishLength
	case "tool_use":
		return finishTools
	case "refusal":
		return finishFilter
	}
	return finishStop
}

var claudeReasons = map[finishReason]string{finishStop: "end_turn", finishLength: "max_tokens", finishTools: "tool_use", finishFilter: "refusal"}

// addClaude takes over what a usage says; its counts are sums so far.
func (u *usage) addClaude(v gjson.Result) {
	fresh := u.in - u.cached - u.created
	for _, f := range []struct {
		to   *int64
		name string
	}{
		{&fresh, "input_tokens"}, {&u.cached, "cache_read_input_tokens"}, {&u.created, "cache_creation_input_tokens"},
		{&u.out, "output_tokens"}, {&u.reasoning, "output_tokens_details.reasoning_tokens"},
	} {
		if n := v.Get(f.name); n.Type == gjson.Number {
			*f.to = n.Int()
		}
	}
	u.in = fresh + u.cached + u.created
}

func (u usage) claude() object {
	return object{
		"input_tokens": u.in - u.cached - u.created, "output_tokens": u.out,
		"cache_read_input_tokens": u.cached, "cache_creation_input_tokens": u.created,
	}
}

// encodeClaude makes a message.
func encodeClaude(a *answer) map[string]any {
	content := []any{}
	for _, p := range a.parts {
		switch {
		case p.kind == thoughtPart:
			content = append(content, object{"type": "thinking", "thinking": p.text, "signature": ""})
		case p.kind == callPart:
			content = append(content, object{"type": "tool_use", "id": p.id, "name": p.name, "input": rawJSON(p.args)})
		case strings.TrimSpace(p.text) != "": // Claude takes no other back
			content = append(content, object{"type": "text", "text": p.text})
		}
	}
	return object{
		"id": "msg_" + orNew(a.id), "type": "message", "role": "assistant", "model": a.model,
		"content": content, "stop_reason": claudeReason(a.finish, a.stopped), "stop_sequence": orNull(a.stopped), "usage": a.usage.claude(),
	}
}

// claudeReason is why a message ended; by a stop sequence only where that is known.
func claudeReason(f finishReason, stopped string) string {
	if stopped != "" && f == finishStop {
		return "stop_sequence"
	}
	return claudeReasons[f]
}

func orNull(s string) any {
	if s == "" {
		return nil
	}
	return s
}

// claudeDecoder reads a stream of Anthropic's events.
type claudeDecoder struct {
	usage   usage
	finish  finishReason
	stopped string
	inCall  bool
	args    bool // the call that is open has some
	done    bool
}

func (d *claudeDecoder) decode(v gjson.Result) (out []event, _ error) {
	switch v.Get("type").Str {
	case "error":
		return nil, &UpstreamError{v.Get("error.message").String()}
	case "message_start":
		m := v.Get("message")
		d.usage.addClaude(m.Get("usage"))
		return []event{{kind: evStart, id: m.Get("id").Str, model: m.Get("model").Str, usage: d.usage}}, nil
	case "content_block_start":
		return d.block(v.Get("content_block"))
	case "content_block_delta":
		switch v.Get("delta.type").Str {
		case "text_delta":
			if s := v.Get("delta.text").Str; s != "" {
				out = append(out, event{kind: evText, text: s})
			}
		case "thinking_delta":
			if s := v.Get("delta.thinking").Str; s != "" {
				out = append(out, event{kind: evThought, text: s})
			}
		case "signature_delta":
			if s := v.Get("delta.signature").Str; s != "" {
				out = append(out, event{kind: evSeal, seal: &sealed{Signature: s}})
			}
		case "input_json_delta":
			if s := v.Get("delta.partial_json").Str; s != "" {
				d.args = true
				out = append(out, event{kind: evArgs, text: s})
			}
		}
	case "content_block_stop":
		if d.inCall && !d.args {
			out = append(out, event{kind: evArgs, text: "{}"})
		}
		d.inCall = false
	case "message_delta":
		d.usage.addClaude(v.Get("usage"))
		if v.Get("delta.stop_reason").Type == gjson.String {
			d.stopped = v.Get("delta.stop_sequence").Str
			d.finish = claudeFinish(v.Get("delta.stop_reason").Str)
		}
	case "message_stop":
		return d.end(true)
	}
	return out, nil
}

// block reads the beginning of a block of content.
func (d *claudeDecoder) block(b gjson.Result) (out []event, _ error) {
	switch b.Get("type").Str {
	case "text":
		if s := b.Get("text").Str; s != "" {
			out = append(out, event{kind: evText, text: s})
		}
	case "tool_use":
		d.inCall, d.args = true, false
		out = append(out, event{kind: evCall, id: b.Get("id").Str, name: b.Get("name").Str})
		if args, ok := argsOf(b.Get("input")); ok && args != "{}" { // whole at once
			d.args = true
			out = append(out, event{kind: evArgs, text: args})
		}
	case "thinking":
		if s := b.Get("thinking").Str; s != "" {
			out = append(out, event{kind: evThought, text: s})
		}
	case "redacted_thinking":
		out = append(out, event{kind: evSeal, seal: &sealed{Data: b.Get("data").Str}})
	default:
		return nil, fmt.Errorf("%w: content of type %.40q", errMalformed, b.Get("type").Str)
	}
	return out, nil
}

func (d *claudeDecoder) end(bool) ([]event, error) {
	if d.finish == "" {
		return nil, ErrIncomplete
	}
	if d.done {
		return nil, nil
	}
	d.done = true
	return []event{{kind: evEnd, finish: d.finish, stopped: d.stopped, usage: d.usage}}, nil
}

// claudeEncoder makes a stream of Anthropic's events.
type claudeEncoder struct {
	blocks int
	open   eventKind // evText, evThought or evCall
}

func (c *claudeEncoder) encode(e event) (out [][]byte, _ error) {
	say := func(name string, fields object) {
		fields["type"] = name
		out = append(out, sse(name, fields))
	}
	// A block ends where something else begins.
	if c.open != evNone && (e.kind == evCall || e.kind == evEnd || e.kind != evArgs && e.kind != c.open) {
		if c.open == evThought {
			say("content_block_delta", object{"index": c.blocks - 1, "delta": object{"type": "signature_delta", "signature": ""}})
		}
		say("content_block_stop", object{"index": c.blocks - 1})
		c.open = evNone
	}
	switch e.kind {
	case evStart:
		say("message_start", object{"message": object{
			"id": "msg_" + orNew(e.id), "type": "message", "role": "assistant", "model": e.model, "content": []any{},
			"stop_reason": nil, "stop_sequence": nil, "usage": e.usage.claude(),
		}})
	case evText:
		if c.open != evText {
			c.open = evText
			c.blocks++
			say("content_block_start", object{"index": c.blocks - 1, "content_block": object{"type": "text", "text": ""}})
		}
		out = append(out, sseText(`event: content_block_delta`+"\n"+`data: {"type":"content_block_delta","index":`+strconv.Itoa(c.blocks-1)+`,"delta":{"type":"text_delta","text":`, e.text, "}}"))
	case evThought:
		if c.open != evThought {
			c.open = evThought
			c.blocks++
			say("content_block_start", object{"index": c.blocks - 1, "content_block": object{"type": "thinking", "thinking": "", "signature": ""}})
		}
		say("content_block_delta", object{"index": c.blocks - 1, "delta": object{"type": "thinking_delta", "thinking": e.text}})
	case evCall:
		c.open = evCall
		c.blocks++
		say("content_block_start", object{"index": c.blocks - 1, "content_block": object{"type": "tool_use", "id": e.id, "name": e.name, "input": object{}}})
	case evArgs:
		say("content_block_delta", object{"index": c.blocks - 1, "delta": object{"type": "input_json_delta", "partial_json": e.text}})
	case evEnd:
		say("message_delta", object{"delta": object{"stop_reason": claudeReason(e.finish, e.stopped), "stop_sequence": orNull(e.stopped)}, "usage": e.usage.claude()})
		say("message_stop", object{})
	}
	return out, nil
}
