package gateway

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"regexp"
	"strings"

	"github.com/tidwall/gjson"
)

// openAI is the Chat Completions protocol, as clients and as providers speak it.
type openAI struct{}

var (
	_ dialect = openAI{}
	_ adapter = openAI{}
)

func (openAI) errorBody(e *apiError) []byte {
	var body struct {
		Error struct {
			Message string  `json:"message"`
			Type    string  `json:"type"`
			Param   *string `json:"param"`
			Code    string  `json:"code"`
		} `json:"error"`
	}
	body.Error.Message, body.Error.Type, body.Error.Code = e.message, e.kind, e.code
	out, _ := json.Marshal(body) // plain strings cannot fail
	return out
}

func (openAI) isErrorBody(body []byte) bool {
	return gjson.ValidBytes(body) && gjson.GetBytes(body, "error").IsObject()
}

func (o openAI) streamError(e *apiError) []byte {
	return append(append([]byte("data: "), o.errorBody(e)...), "\n\n"...)
}

func (openAI) streamEnd() []byte { return []byte("data: [DONE]\n\n") }

func (openAI) isStreamEnd(event []byte) bool { return string(eventData(event)) == "[DONE]" }

func (openAI) isStreamError(event []byte) bool {
	data := eventData(event)
	return bytes.Contains(data, []byte(`"error"`)) && gjson.GetBytes(data, "error").IsObject()
}

// versioned recognises a path that already names the version of the API, as in
// /v1 or /api/paas/v4.
var versioned = regexp.MustCompile(`(^|/)v\d+[a-z0-9]*(/|$)`)

// errNoEndpoint is an account whose base URL cannot be used.
var errNoEndpoint = errors.New("base URL is not an http or https URL with a host")

// chatURL is the chat endpoint under a base URL, which may carry its /v1 or
// not, and parameters of its own. The client's own parameters are added, its
// key is not.
func chatURL(base string, params url.Values) (*url.URL, error) {
	u, err := url.Parse(base)
	if err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") {
		return nil, errNoEndpoint // the parser's text would quote the URL
	}
	u.User = nil
	u.Fragment = ""
	path := strings.TrimRight(u.Path, "/")
	switch {
	case strings.HasSuffix(path, "/chat/completions"):
	case versioned.MatchString(path):
		path += "/chat/completions"
	default:
		path += "/v1/chat/completions"
	}
	u.Path, u.RawPath = path, ""
	q := u.Query()
	for name, values := range params {
		if name != "key" && !q.Has(name) {
			q[name] = values
		}
	}
	u.RawQuery = q.Encode()
	return u, nil
}

func (openAI) newRequest(ctx context.Context, a *account, c *call) (*http.Request, error) {
	u, err := chatURL(a.baseURL, c.query)
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, u.String(), bytes.NewReader(c.body))
	if err != nil {
		return nil, errNoEndpoint
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Authorization", "Bearer "+a.key)
	return req, nil
}
