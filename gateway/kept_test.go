package gateway

import (
	"context"
	"net/http"
	"strings"
	"testing"

	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/option"
	oairesponses "github.com/openai/openai-go/v3/responses"
	"github.com/stretchr/testify/require"
	"github.com/tidwall/gjson"

	"holdfast/gateway/convert"
)

// A client goes on from a response that a pool of another protocol gave, over another
// gateway and an outage of the provider's memory: the whole conversation is sent.
func TestGoOnFromAResponse(t *testing.T) {
	for _, fam := range families {
		t.Run(fam.name, func(t *testing.T) {
			f := newFixture(t)
			up := fam.start(t)
			f.add(fam, "a", up.URL)
			g, other := f.start(), f.start()
			ask := func(g *started, former string, stream bool) oairesponses.Response {
				client := openai.NewClient(option.WithBaseURL(g.url+"/"+fam.typ+"/v1"), option.WithAPIKey(clientKey), option.WithMaxRetries(0))
				p := oairesponses.ResponseNewParams{Model: fam.model, Input: oairesponses.ResponseNewParamsInputUnion{OfString: openai.String("question after " + former)}}
				if former != "" {
					p.PreviousResponseID = openai.String(former)
				}
				if !stream {
					r, err := client.Responses.New(t.Context(), p)
					require.NoError(t, err)
					return *r
				}
				s := client.Responses.NewStreaming(t.Context(), p)
				defer s.Close()
				var last oairesponses.Response
				for s.Next() {
					last = s.Current().Response
				}
				require.NoError(t, s.Err())
				return last
			}
			first := ask(g, "", false)
			require.True(t, strings.HasPrefix(first.ID, convert.KeptPrefix), first.ID)
			second := ask(other, first.ID, true)
			require.Equal(t, first.ID, second.PreviousResponseID)
			third := ask(g, second.ID, false)
			_, body, _ := up.seen()
			for _, said := range []string{"question after ", "question after " + first.ID, "question after " + second.ID} {
				require.Contains(t, string(body), said+`"`)
			}
			require.Equal(t, 2, strings.Count(string(body), strings.Split(first.OutputText(), "\n")[0]), "both answers are in it: %s", body)

			status, got, _ := g.do(t, http.MethodGet, "/v1/responses/"+third.ID, "")
			require.Equal(t, 200, status)
			require.Equal(t, third.ID, gjson.Get(got, "id").Str)
			require.True(t, gjson.Get(got, "store").Bool())
			status, got, _ = g.do(t, http.MethodGet, "/v1/responses/"+third.ID+"/input_items?order=asc&limit=2", "")
			require.Equal(t, 200, status)
			require.Equal(t, int64(2), gjson.Get(got, "data.#").Int())
			require.True(t, gjson.Get(got, "has_more").Bool())
			status, got, _ = g.do(t, http.MethodGet, "/v1/responses/"+third.ID+"/input_items?order=asc&after="+gjson.Get(got, "last_id").Str, "")
			require.Equal(t, 200, status)
			require.Equal(t, int64(3), gjson.Get(got, "data.#").Int(), got)
			status, _, _ = g.do(t, http.MethodDelete, "/v1/responses/"+third.ID, "")
			require.Equal(t, 200, status)
			status, got, _ = g.do(t, http.MethodGet, "/v1/responses/"+third.ID, "")
			require.Equal(t, 404, status, got)
			require.Greater(t, f.client.TTL(context.Background(), "aiclient:responses:"+first.ID).Val().Hours(), 23.0)
		})
	}
}

// What is not kept is an error with OpenAI's own code; a provider that speaks the
// protocol keeps its own, and gets its ids as they are.
func TestFormerResponsesThatAreNotKept(t *testing.T) {
	f := newFixture(t)
	up, native := newChat(t), newProvider(t)
	native.set(func(w http.ResponseWriter, _ *http.Request, _ []byte) bool {
		sendJSON(w, 200, `{"id":"resp_1","object":"response","status":"completed","output":[]}`)
		return true
	})
	f.add(families[0], "a", up.URL)
	f.account("openaiResponses-custom", "b", native.URL, "")
	g := f.start()
	for _, id := range []string{"resp_elsewhere", convert.KeptPrefix + "0"} {
		status, body, _ := g.do(t, http.MethodPost, "/openai-custom/v1/responses", `{"model":"gpt-test","input":"hi","previous_response_id":"`+id+`"}`)
		require.Equal(t, 400, status)
		require.Equal(t, "previous_response_not_found", gjson.Get(body, "error.code").Str, body)
		require.Equal(t, "previous_response_id", gjson.Get(body, "error.param").Str)
	}
	const asked = `{"model":"m","input":"hi",  "previous_response_id":"resp_elsewhere"}`
	status, _, _ := g.do(t, http.MethodPost, "/openaiResponses-custom/v1/responses", asked)
	require.Equal(t, 200, status)
	_, body, _ := native.seen()
	require.Equal(t, asked, string(body))
	status, got, _ := g.do(t, http.MethodPost, "/openai-custom/v1/responses", `{"model":"gpt-test","input":"hi","store":false}`)
	require.Equal(t, 200, status)
	require.False(t, gjson.Get(got, "store").Bool())
	keys, err := f.client.Keys(t.Context(), "aiclient:responses:*").Result()
	require.NoError(t, err)
	require.Empty(t, keys)

	f.server.Kill()
	status, got, _ = g.do(t, http.MethodPost, "/openai-custom/v1/responses", `{"model":"gpt-test","input":"hi"}`)
	require.Equal(t, 200, status, "answers go on without Redis")
	require.False(t, gjson.Get(got, "store").Bool(), "and say that they are not kept: %s", got)
	status, _, h := g.do(t, http.MethodGet, "/v1/responses/"+convert.KeptPrefix+"0", "")
	require.Equal(t, 503, status)
	require.NotEmpty(t, h.Get("Retry-After"))
	f.server.Start() // the counts that wait are delivered
}
