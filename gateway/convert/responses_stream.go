package convert

import (
	"strings"

	"github.com/tidwall/gjson"
)

// responsesDecoder reads a stream of the Responses API.
type responsesDecoder struct {
	started, done bool
	queue         callQueue
	calls         map[int64]*pendingCall // by the index of their item
	custom        map[int64]*strings.Builder
	thought       bool           // deltas of what it thinks came
	said          map[int64]bool // items of which text came
}

func (d *responsesDecoder) decode(v gjson.Result) (out []event, err error) {
	index := v.Get("output_index").Int()
	switch typ := v.Get("type").Str; typ {
	case "error":
		return nil, &UpstreamError{v.Get("message").Str + v.Get("error.message").Str}
	case "response.failed":
		return nil, &UpstreamError{v.Get("response.error.message").String()}
	case "response.created", "response.in_progress":
		if !d.started {
			d.started = true
			out = append(out, event{kind: evStart, id: v.Get("response.id").Str, model: v.Get("response.model").Str})
		}
	case "response.output_text.delta", "response.refusal.delta":
		if s := v.Get("delta").Str; s != "" {
			d.saidOf(index)
			out = d.queue.other(event{kind: evText, text: s})
		}
	case "response.reasoning_summary_text.delta", "response.reasoning_text.delta":
		if s := v.Get("delta").Str; s != "" {
			d.thought = true
			out = d.queue.other(event{kind: evThought, text: s})
		}
	case "response.output_item.added":
		out = d.begin(index, v.Get("item"))
	case "response.function_call_arguments.delta":
		if c := d.calls[index]; c != nil {
			return d.queue.more(c, v.Get("delta").Str)
		}
	case "response.custom_tool_call_input.delta":
		if text := d.custom[index]; text != nil {
			text.WriteString(v.Get("delta").Str)
		}
	case "response.function_call_arguments.done": // some say them here alone
		if c := d.calls[index]; c != nil && c.args.Len() == 0 {
			return d.queue.more(c, v.Get("arguments").Str)
		}
	case "response.output_item.done":
		return d.itemDone(index, v.Get("item"))
	case "response.completed", "response.incomplete":
		return d.finish(v.Get("response"))
	}
	return out, err
}

func (d *responsesDecoder) saidOf(index int64) {
	if d.said == nil {
		d.said = map[int64]bool{}
	}
	d.said[index] = true
}

func (d *responsesDecoder) begin(index int64, item gjson.Result) (out []event) {
	typ := item.Get("type").Str
	if typ != "function_call" && typ != "custom_tool_call" || d.calls[index] != nil {
		return nil
	}
	if d.calls == nil {
		d.calls, d.custom = map[int64]*pendingCall{}, map[int64]*strings.Builder{}
	}
	if typ == "custom_tool_call" {
		d.custom[index] = &strings.Builder{}
	}
	d.calls[index], out = d.queue.begin(event{id: callID(item.Get("call_id").Str), name: item.Get("name").Str})
	return out
}

// itemDone takes what an item says at its end and no delta has said before.
func (d *responsesDecoder) itemDone(index int64, item gjson.Result) ([]event, error) {
	out := d.begin(index, item)
	if c := d.calls[index]; c != nil {
		args := ""
		if text := d.custom[index]; text != nil {
			if s := item.Get("input").Str; s != "" {
				text.Reset()
				text.WriteString(s)
			}
			args = customArgs(text.String())
		} else if c.args.Len() == 0 {
			args, _ = argsOf(item.Get("arguments"))
		}
		events, err := d.queue.more(c, args)
		return append(out, events...), err
	}
	if text := messageText(item); text != "" && item.Get("type").Str == "message" && !d.said[index] { // no delta said it
		d.saidOf(index)
		out = append(out, d.queue.other(event{kind: evText, text: text})...)
	}
	if item.Get("type").Str == "reasoning" && !d.thought {
		if text := reasoningText(item); text != "" {
			out = append(out, d.queue.other(event{kind: evThought, text: text})...)
		}
	}
	if own := sealedItem(item); own != nil {
		out = append(out, d.queue.other(event{kind: evSeal, seal: own})...)
	}
	return out, nil
}

func (d *responsesDecoder) finish(v gjson.Result) (out []event, err error) {
	if !d.started {
		d.started = true
		out = append(out, event{kind: evStart, id: v.Get("id").Str, model: v.Get("model").Str})
	}
	d.done = true
	if len(d.said) == 0 && len(d.calls) == 0 { // no event before has told anything
		for i, item := range v.Get("output").Array() {
			made, err := d.itemDone(int64(i), item)
			if out = append(out, made...); err != nil {
				return out, err
			}
		}
	}
	out = append(out, d.queue.flush(true)...)
	finish, err := responsesFinish(v, len(d.calls) > 0)
	if err == nil && finish != finishLength {
		err = d.queue.checked()
	}
	if err != nil {
		return out, err
	}
	return append(out, event{kind: evEnd, finish: finish, usage: responsesUsage(v.Get("usage"))}), nil
}

func (d *responsesDecoder) end(bool) ([]event, error) {
	if !d.done {
		return nil, ErrIncomplete
	}
	return nil, nil
}

// responsesEncoder makes a stream of the Responses API. The last event has the
// whole response, so the items are kept.
type responsesEncoder struct {
	response object
	output   []any // items that are done
	open     eventKind
	item     object // the one that is open
	text     strings.Builder
	sequence int
	out      [][]byte
	keep     func(id string, response []byte) bool // see Conversion.Keep
	former   string
}

func (s *responsesEncoder) say(name string, fields object) {
	fields["type"], fields["sequence_number"] = name, s.sequence
	s.sequence++
	s.out = append(s.out, sse(name, fields))
}

func (s *responsesEncoder) encode(e event) ([][]byte, error) {
	s.out = nil
	if s.open != evNone && e.kind != evArgs && (e.kind != s.open || e.kind == evCall) {
		s.close()
	}
	switch e.kind {
	case evStart:
		s.response = s.newResponse(e.id, e.model)
		s.say("response.created", object{"response": s.response})
		s.say("response.in_progress", object{"response": s.response})
	case evText, evThought, evCall:
		if s.open == evNone {
			s.begin(e)
		}
		s.delta(e.text)
	case evArgs:
		s.delta(e.text)
	case evEnd:
		output := s.output
		if output == nil {
			output = []any{}
		}
		name := finishResponse(s.response, output, e)
		s.keeps()
		s.say(name, object{"response": s.response})
	}
	return s.out, nil
}

// begin opens an item.
func (s *responsesEncoder) begin(e event) {
	s.open = e.kind
	at := len(s.output)
	switch {
	case e.kind == evText:
		s.item = object{"id": newID("msg_"), "type": "message", "role": "assistant", "status": "in_progress", "content": []any{}}
	case e.kind == evThought:
		s.item = object{"id": newID("rs_"), "type": "reasoning", "summary": []any{}}
	case e.custom:
		s.item = object{"id": newID("ctc_"), "type": "custom_tool_call", "status": "in_progress", "call_id": e.id, "name": e.name, "input": ""}
	default:
		s.item = object{"id": newID("fc_"), "type": "function_call", "status": "in_progress", "call_id": e.id, "name": e.name, "arguments": ""}
	}
	s.say("response.output_item.added", object{"output_index": at, "item": s.item})
	switch e.kind {
	case evText:
		s.say("response.content_part.added", s.place(object{"content_index": 0, "part": outputText("")}))
	case evThought:
		s.say("response.reasoning_summary_part.added", s.place(object{"summary_index": 0, "part": object{"type": "summary_text", "text": ""}}))
	}
}

func outputText(text string) object {
	return object{"type": "output_text", "text": text, "annotations": []any{}, "logprobs": []any{}}
}

// place adds where in the response an event belongs.
func (s *responsesEncoder) place(fields object) object {
	fields["item_id"], fields["output_index"] = s.item["id"], len(s.output)
	return fields
}

// delta adds text to the open item.
func (s *responsesEncoder) delta(text string) {
	if text == "" {
		return
	}
	s.text.WriteString(text)
	switch {
	case s.open == evText:
		s.say("response.output_text.delta", s.place(object{"content_index": 0, "delta": text, "logprobs": []any{}}))
	case s.open == evThought:
		s.say("response.reasoning_summary_text.delta", s.place(object{"summary_index": 0, "delta": text}))
	case s.item["type"] == "function_call":
		s.say("response.function_call_arguments.delta", s.place(object{"delta": text}))
	}
}

// close ends the open item.
func (s *responsesEncoder) close() {
	text := s.text.String()
	s.text.Reset()
	switch {
	case s.open == evText:
		part := outputText(text)
		s.item["content"] = []any{part}
		s.say("response.output_text.done", s.place(object{"content_index": 0, "text": text, "logprobs": []any{}}))
		s.say("response.content_part.done", s.place(object{"content_index": 0, "part": part}))
	case s.open == evThought:
		part := object{"type": "summary_text", "text": text}
		s.item["summary"] = []any{part}
		s.say("response.reasoning_summary_text.done", s.place(object{"summary_index": 0, "text": text}))
		s.say("response.reasoning_summary_part.done", s.place(object{"summary_index": 0, "part": part}))
	case s.item["type"] == "custom_tool_call":
		input := customInput(text)
		s.item["input"] = input
		s.say("response.custom_tool_call_input.delta", s.place(object{"delta": input}))
		s.say("response.custom_tool_call_input.done", s.place(object{"input": input}))
	default:
		if text == "" {
			text = "{}"
		}
		s.item["arguments"] = text
		s.say("response.function_call_arguments.done", s.place(object{"arguments": text, "name": s.item["name"]}))
	}
	if s.open != evThought {
		s.item["status"] = "completed"
	}
	s.say("response.output_item.done", object{"output_index": len(s.output), "item": s.item})
	s.output = append(s.output, s.item)
	s.item, s.open = nil, evNone
}
