package convert

import (
	"fmt"
	"slices"
	"strings"

	"github.com/tidwall/gjson"
)

// geminiPieces reads what is in a response or in a piece of one.
func geminiPieces(v gjson.Result) (parts []part, f finishReason, err error) {
	if e := v.Get("error"); e.IsObject() {
		return nil, f, &UpstreamError{e.Get("message").String()}
	}
	if v.Get("promptFeedback.blockReason").Exists() {
		return nil, finishFilter, nil
	}
	c := v.Get("candidates.0")
	for _, p := range c.Get("content.parts").Array() {
		switch call := p.Get("functionCall"); {
		case p.Get("thought").Bool():
			parts = append(parts, part{kind: thoughtPart, text: p.Get("text").Str})
		case call.Exists():
			args, ok := argsOf(call.Get("args"))
			if !ok {
				return nil, f, fmt.Errorf("%w: the arguments of a call are no object", errMalformed)
			}
			parts = append(parts, part{kind: callPart, id: callID(call.Get("id").Str), name: call.Get("name").Str, args: args, signature: p.Get("thoughtSignature").Str})
		case p.Get("text").Exists():
			if s := p.Get("text").Str; s != "" {
				parts = append(parts, part{kind: textPart, text: s})
			}
		case p.Get("thoughtSignature").Exists():
		default:
			return nil, f, fmt.Errorf("%w: a part that is neither text nor a call", errMalformed)
		}
	}
	return parts, geminiFinish(c.Get("finishReason").Str), nil
}

// geminiFinish reads a finish reason; none is not an end. With one that is not in the
// list, and those of a model that failed to say more (MALFORMED_FUNCTION_CALL, OTHER
// and the like), what it said ends here: asking another account would not mend that,
// and it is paid for.
func geminiFinish(reason string) finishReason {
	switch reason {
	case "", "FINISH_REASON_UNSPECIFIED":
		return ""
	case "MAX_TOKENS":
		return finishLength
	case "SAFETY", "RECITATION", "LANGUAGE", "BLOCKLIST", "PROHIBITED_CONTENT", "SPII", "IMAGE_SAFETY", "IMAGE_PROHIBITED_CONTENT", "IMAGE_RECITATION", "IMAGE_OTHER", "NO_IMAGE", "MODEL_ARMOR":
		return finishFilter
	}
	return finishStop
}

func geminiUsage(v gjson.Result) usage {
	u := usage{
		in:     v.Get("promptTokenCount").Int() + v.Get("toolUsePromptTokenCount").Int(),
		cached: v.Get("cachedContentTokenCount").Int(), reasoning: v.Get("thoughtsTokenCount").Int(),
	}
	u.out = v.Get("candidatesTokenCount").Int() + u.reasoning
	return u
}

func (u usage) gemini() object {
	return object{
		"promptTokenCount": u.in, "candidatesTokenCount": u.out - u.reasoning, "thoughtsTokenCount": u.reasoning,
		"cachedContentTokenCount": u.cached, "totalTokenCount": u.in + u.out,
	}
}

// decodeGemini reads a generateContent response.
func decodeGemini(v gjson.Result) (*answer, error) {
	parts, f, err := geminiPieces(v)
	if err != nil {
		return nil, err
	}
	if f == "" {
		return nil, ErrIncomplete
	}
	if f == finishStop && slices.ContainsFunc(parts, func(p part) bool { return p.kind == callPart }) {
		f = finishTools
	}
	return &answer{id: v.Get("responseId").Str, model: v.Get("modelVersion").Str, parts: parts, finish: f, usage: geminiUsage(v.Get("usageMetadata"))}, nil
}

var geminiReasons = map[finishReason]string{finishStop: "STOP", finishTools: "STOP", finishLength: "MAX_TOKENS", finishFilter: "SAFETY"}

// encodeGemini makes a generateContent response.
func encodeGemini(a *answer) map[string]any {
	parts := []any{}
	for _, p := range a.parts {
		switch p.kind {
		case callPart:
			parts = append(parts, geminiCallPart(p.id, p.name, p.args))
		case thoughtPart:
			parts = append(parts, object{"text": p.text, "thought": true})
		default:
			parts = append(parts, object{"text": p.text})
		}
	}
	return object{
		"candidates":    []any{object{"content": object{"role": "model", "parts": parts}, "finishReason": geminiReasons[a.finish], "index": 0}},
		"usageMetadata": a.usage.gemini(), "modelVersion": a.model, "responseId": orNew(a.id),
	}
}

func geminiCallPart(id, name, args string) object {
	return object{"functionCall": object{"id": id, "name": name, "args": rawJSON(args)}}
}

// geminiDecoder reads a stream of responses, each a piece.
type geminiDecoder struct {
	started, called, done bool
	finish                finishReason
	usage                 usage
}

func (d *geminiDecoder) decode(v gjson.Result) (out []event, _ error) {
	parts, f, err := geminiPieces(v)
	if err != nil {
		return nil, err
	}
	if u := v.Get("usageMetadata"); u.Exists() {
		d.usage = geminiUsage(u)
	}
	if !d.started {
		d.started = true
		out = append(out, event{kind: evStart, id: v.Get("responseId").Str, model: v.Get("modelVersion").Str, usage: d.usage})
	}
	for _, p := range parts {
		switch p.kind {
		case callPart:
			d.called = true
			out = append(out, event{kind: evCall, id: p.id, name: p.name, signature: p.signature}, event{kind: evArgs, text: p.args})
		case thoughtPart:
			out = append(out, event{kind: evThought, text: p.text})
		default:
			out = append(out, event{kind: evText, text: p.text})
		}
	}
	if f != "" {
		d.finish = f
	}
	return out, nil
}

// end is where the stream just ends: what the last piece counts is known then.
func (d *geminiDecoder) end(bool) ([]event, error) {
	if d.done {
		return nil, nil
	}
	if d.finish == "" {
		return nil, ErrIncomplete
	}
	d.done = true
	if d.called && d.finish == finishStop {
		d.finish = finishTools
	}
	return []event{{kind: evEnd, finish: d.finish, usage: d.usage}}, nil
}

// geminiEncoder makes a stream of responses. A call has no pieces there: it is
// sent when it is whole.
type geminiEncoder struct {
	id, model string
	call      event
	args      strings.Builder
}

func (g *geminiEncoder) encode(e event) (out [][]byte, _ error) {
	if g.call.name != "" && e.kind != evArgs {
		args, ok := validArgs(g.args.String())
		cut := !ok && e.kind == evEnd && e.finish == finishLength
		if !ok && !cut {
			return nil, fmt.Errorf("%w: the arguments of a call are no JSON object", errMalformed)
		}
		if !cut { // which the end says, and a call here has no pieces
			out = append(out, g.piece(geminiCallPart(g.call.id, g.call.name, args), nil, nil))
		}
		g.call = event{}
		g.args.Reset()
	}
	switch e.kind {
	case evStart:
		g.id, g.model = orNew(e.id), e.model
	case evText:
		out = append(out, g.piece(object{"text": e.text}, nil, nil))
	case evThought:
		out = append(out, g.piece(object{"text": e.text, "thought": true}, nil, nil))
	case evCall:
		g.call = e
	case evArgs:
		g.args.WriteString(e.text)
	case evEnd:
		out = append(out, g.piece(object{"text": ""}, geminiReasons[e.finish], e.usage.gemini()))
	}
	return out, nil
}

func (g *geminiEncoder) piece(part object, reason any, usage object) []byte {
	c := object{"content": object{"role": "model", "parts": []any{part}}, "index": 0}
	if reason != nil {
		c["finishReason"] = reason
	}
	v := object{"candidates": []any{c}, "modelVersion": g.model, "responseId": g.id}
	if usage != nil {
		v["usageMetadata"] = usage
	}
	return sse("", v)
}
