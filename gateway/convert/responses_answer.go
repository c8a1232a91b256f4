package convert

import (
	"fmt"
	"time"

	"github.com/tidwall/gjson"
)

// decodeResponses reads a response.
func decodeResponses(v gjson.Result) (*answer, error) {
	if e := v.Get("error"); e.IsObject() {
		return nil, &UpstreamError{e.Get("message").String()}
	}
	if !v.Get("output").IsArray() {
		return nil, fmt.Errorf("%w: it has no output", errMalformed)
	}
	a := &answer{id: v.Get("id").Str, model: v.Get("model").Str, usage: responsesUsage(v.Get("usage"))}
	called := false
	for _, item := range v.Get("output").Array() {
		switch item.Get("type").Str {
		case "message":
			a.parts = append(a.parts, textParts("", messageText(item))...)
		case "function_call", "custom_tool_call":
			p, err := responsesCall(item)
			if err != nil && v.Get("status").Str == "incomplete" {
				continue // the limit cut it, and the end of the answer says so
			}
			if err != nil {
				return nil, err
			}
			called = true
			a.parts = append(a.parts, p)
		case "reasoning":
			if text, own := reasoningText(item), sealedItem(item); text != "" || own != nil {
				a.parts = append(a.parts, part{kind: thoughtPart, text: text, own: own})
			}
		}
	}
	var err error
	a.finish, err = responsesFinish(v, called)
	return a, err
}

func messageText(item gjson.Result) (text string) {
	for _, c := range item.Get("content").Array() {
		text += c.Get("text").Str + c.Get("refusal").Str
	}
	return text
}

func responsesCall(item gjson.Result) (part, error) {
	p := part{kind: callPart, id: callID(item.Get("call_id").Str), name: item.Get("name").Str}
	if item.Get("type").Str == "custom_tool_call" {
		p.args = customArgs(item.Get("input").Str)
		return p, nil
	}
	var ok bool
	if p.args, ok = argsOf(item.Get("arguments")); !ok {
		return p, fmt.Errorf("%w: the arguments of a call are no JSON object", errMalformed)
	}
	return p, nil
}

func reasoningText(item gjson.Result) (text string) {
	for _, s := range append(item.Get("summary").Array(), item.Get("content").Array()...) {
		text += s.Get("text").Str
	}
	return text
}

// sealedItem is what only the provider can read of a reasoning item.
func sealedItem(item gjson.Result) *sealed {
	data := item.Get("encrypted_content").Str
	if data == "" {
		return nil
	}
	return &sealed{Text: reasoningText(item), Data: data, ID: item.Get("id").Str}
}

// responsesFinish reads how a response ended.
func responsesFinish(v gjson.Result, called bool) (finishReason, error) {
	switch status := v.Get("status").Str; status {
	case "failed", "cancelled":
		return "", &UpstreamError{"the response is " + status}
	case "in_progress", "queued":
		return "", ErrIncomplete
	case "incomplete":
		if v.Get("incomplete_details.reason").Str == "content_filter" {
			return finishFilter, nil
		}
		return finishLength, nil
	}
	if called {
		return finishTools, nil
	}
	return finishStop, nil
}

func responsesUsage(u gjson.Result) usage {
	return usage{
		in: u.Get("input_tokens").Int(), cached: u.Get("input_tokens_details.cached_tokens").Int(),
		out: u.Get("output_tokens").Int(), reasoning: u.Get("output_tokens_details.reasoning_tokens").Int(),
	}
}

func (u usage) responses() object {
	return object{
		"input_tokens": u.in, "output_tokens": u.out, "total_tokens": u.in + u.out,
		"input_tokens_details":  object{"cached_tokens": u.cached},
		"output_tokens_details": object{"reasoning_tokens": u.reasoning},
	}
}

// encodeResponses makes a response.
func encodeResponses(a *answer) map[string]any { return (&Conversion{}).encodeResponses(a) }

func (c *Conversion) encodeResponses(a *answer) map[string]any {
	s := c.responsesEncoder()
	for _, e := range a.events() {
		_, _ = s.encode(e) // keeps each item, and cannot fail
	}
	return s.response
}

// KeptPrefix is what the ids of responses begin with that are kept by the gateway.
const KeptPrefix = "resp_hf"

func (c *Conversion) responsesEncoder() *responsesEncoder {
	return &responsesEncoder{keep: c.Keep, former: c.Former}
}

// keeps lets a response be kept, and says in it if that is so.
func (s *responsesEncoder) keeps() {
	if s.keep == nil {
		return
	}
	s.response["store"] = true
	id, _ := s.response["id"].(string)
	if !s.keep(id, marshal(s.response)) {
		s.response["store"] = false
	}
}

// newResponse is a response before anything was said.
func (s *responsesEncoder) newResponse(id, model string) object {
	id = "resp_" + orNew(id)
	if s.keep != nil { // the provider's may not be its only one
		id = newID(KeptPrefix)
	}
	return object{
		"id": id, "object": "response", "created_at": time.Now().Unix(), "status": "in_progress",
		"model": model, "output": []any{}, "error": nil, "incomplete_details": nil, "instructions": nil, "metadata": object{},
		"parallel_tool_calls": true, "previous_response_id": orNull(s.former), "store": s.keep != nil, "temperature": nil, "top_p": nil,
		"text": object{"format": object{"type": "text"}}, "tool_choice": "auto", "tools": []any{}, "truncation": "disabled", "usage": nil,
	}
}

// finishResponse ends a response and names the event that tells of it.
func finishResponse(response object, output []any, e event) string {
	response["status"], response["output"], response["usage"] = "completed", output, e.usage.responses()
	switch e.finish {
	case finishLength:
		response["status"], response["incomplete_details"] = "incomplete", object{"reason": "max_output_tokens"}
	case finishFilter:
		response["status"], response["incomplete_details"] = "incomplete", object{"reason": "content_filter"}
	}
	return "response." + response["status"].(string)
}
