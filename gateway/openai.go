package gateway

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"

	"github.com/tidwall/gjson"
)

// openAI is the Chat Completions protocol, as clients and as providers speak it.
type openAI struct{}

var (
	_ dialect = openAI{}
	_ adapter = openAI{}
)

func (openAI) wire() wire { return wireChat }

func (openAI) errorBody(e *apiError) []byte {
	var body struct {
		Error struct {
			Message string  `json:"message"`
			Type    string  `json:"type"`
			Param   *string `json:"param"`
			Code    string  `json:"code"`
		} `json:"error"`
	}
	if e.param != "" {
		body.Error.Param = &e.param
	}
	body.Error.Message, body.Error.Type, body.Error.Code = e.message, e.kind, e.code
	out, _ := json.Marshal(body) // plain strings cannot fail
	return out
}

func (openAI) isErrorBody(body []byte) bool {
	return gjson.ValidBytes(body) && gjson.GetBytes(body, "error").IsObject()
}

func (o openAI) streamError(e *apiError) []byte {
	body := append(append([]byte("data: "), e.in(o)...), "\n\n"...)
	return append(body, chatDone...)
}

const chatDone = "data: [DONE]\n\n"

// streamEnd is [DONE] whatever came before: many providers leave it out, and some
// the finish reason too.
func (openAI) streamEnd(bool) ([]byte, bool) { return []byte(chatDone), true }

func (openAI) judge(event []byte) eventKind {
	data := eventData(event)
	switch {
	case string(data) == "[DONE]":
		return eventEnd
	case isErrorObject(data):
		return eventError
	case isRole(data):
		return eventPrelude
	}
	return eventPart
}

// isRole reports a chunk that says who speaks, and nothing else.
func isRole(data []byte) bool {
	if !bytes.Contains(data, []byte(`"role"`)) {
		return false
	}
	choices := gjson.GetBytes(data, "choices")
	empty := gjson.GetBytes(data, "usage").Type == gjson.Null
	choices.ForEach(func(_, choice gjson.Result) bool {
		empty = empty && choice.Get("finish_reason").String() == ""
		choice.Get("delta").ForEach(func(name, v gjson.Result) bool {
			empty = empty && (name.Str == "role" || v.Type == gjson.Null || v.Type == gjson.String && v.Str == "")
			return empty
		})
		return empty
	})
	return empty
}

// isErrorObject reports whether data is an object with an error in it.
func isErrorObject(data []byte) bool {
	return bytes.Contains(data, []byte(`"error"`)) && gjson.GetBytes(data, "error").IsObject()
}

func (openAI) keepAlive() []byte { return commentLine }

// commentLine is an event stream's comment, which clients must ignore.
var commentLine = []byte(": keep-alive\n\n")

func (openAI) newRequest(ctx context.Context, a *account, c *call) (*http.Request, error) {
	if c.op == opNamed {
		return c.post(ctx, a, c.namedTarget("/chat/completions"))
	}
	return c.post(ctx, a, target{version: "/v1", ending: "/chat/completions", path: "/chat/completions"})
}
