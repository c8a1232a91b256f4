package gateway

import (
	"fmt"
	"net/http"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/tidwall/gjson"
	"google.golang.org/genai"

	"github.com/openai/openai-go/v3"
)

// vectors is a provider of embeddings in both protocols: of each text, its length.
func vectors(t *testing.T) *provider {
	p := newProvider(t)
	p.set(func(w http.ResponseWriter, r *http.Request, body []byte) bool {
		list := ""
		if r.URL.Path == "/v1/embeddings" {
			inputs := gjson.GetBytes(body, "input").Array()
			for i := range inputs { // the last one first
				n := len(inputs) - 1 - i
				list += fmt.Sprintf(`,{"object":"embedding","index":%d,"embedding":[%d,0.5]}`, n, len(inputs[n].Str))
			}
			sendJSON(w, 200, `{"object":"list","model":"e","data":[`+list[1:]+`],"usage":{"prompt_tokens":3,"total_tokens":3}}`)
			return true
		}
		assert.Equal(t, "/v1beta/models/g-embed:batchEmbedContents", r.URL.Path)
		for _, req := range gjson.GetBytes(body, "requests").Array() {
			assert.Equal(t, "models/g-embed", req.Get("model").Str)
			list += fmt.Sprintf(`,{"values":[%d,0.5]}`, len(req.Get("content.parts.0.text").Str))
		}
		sendJSON(w, 200, `{"embeddings":[`+list[1:]+`]}`)
		return true
	})
	return p
}

// Vectors come from the pool that has the model, in the form of the client.
func TestEmbeddingsOfTheOtherProtocol(t *testing.T) {
	f, p := newFixture(t), vectors(t)
	f.account("openai-custom", "a", p.URL, `,"supportedModels":["o-embed"]`)
	f.addWith(families[2], "b", p.URL, `,"supportedModels":["g-embed"]`)
	g := f.start()
	client := sdk(g)
	for _, model := range []string{"o-embed", "g-embed"} {
		got, err := client.Embeddings.New(t.Context(), openai.EmbeddingNewParams{Model: model, Dimensions: openai.Int(2), Input: openai.EmbeddingNewParamsInputUnion{OfArrayOfStrings: []string{"abc", "z"}}})
		require.NoError(t, err)
		require.Len(t, got.Data, 2)
		for _, d := range got.Data {
			require.Equal(t, []float64{map[int64]float64{0: 3, 1: 1}[d.Index], 0.5}, d.Embedding)
		}
		gem, err := genai.NewClient(t.Context(), &genai.ClientConfig{APIKey: clientKey, HTTPOptions: genai.HTTPOptions{BaseURL: g.url}})
		require.NoError(t, err)
		out, err := gem.Models.EmbedContent(t.Context(), model, []*genai.Content{genai.NewContentFromText("abc", "user"), genai.NewContentFromText("z", "user")}, &genai.EmbedContentConfig{TaskType: "RETRIEVAL_QUERY", OutputDimensionality: genai.Ptr[int32](2)})
		require.NoError(t, err)
		require.Len(t, out.Embeddings, 2)
		require.Equal(t, []float32{3, 0.5}, out.Embeddings[0].Values)
		require.Equal(t, []float32{1, 0.5}, out.Embeddings[1].Values)
	}
	_, body, _ := p.seen()
	require.EqualValues(t, 2, gjson.GetBytes(body, "requests.0.outputDimensionality").Int())
	status, out, _ := g.do(t, http.MethodPost, "/v1/embeddings", `{"model":"g-embed","input":"abc","encoding_format":"base64"}`)
	require.Equal(t, 200, status, out)
	require.Equal(t, "AABAQAAAAD8=", gjson.Get(out, "data.0.embedding").Str)
	status, out, _ = g.do(t, http.MethodPost, "/v1beta/models/o-embed:embedContent", `{"content":{"parts":[{"text":"abcd"}]}}`)
	require.Equal(t, 200, status, out)
	require.Equal(t, `{"embedding":{"values":[4,0.5]}}`, out)
	for path, bodies := range map[string]map[string]string{
		"/v1/embeddings": {`{"model":"g-embed","input":[[1,2]]}`: "input.0", `{"model":"g-embed"}`: "input", `{"model":"g-embed","input":"a","task":"x"}`: "task"},
		"/v1beta/models/o-embed:batchEmbedContents": {`{}`: "requests", `{"requests":[{"content":{"parts":[{"inlineData":{}}]}}]}`: "requests.0.content.parts"},
	} {
		for body, field := range bodies {
			status, out, _ := g.do(t, http.MethodPost, path, body)
			assert.Equal(t, 400, status, body)
			assert.Contains(t, out, field)
		}
	}
	p.ok200("application/json", `{"embeddings":[]}`)
	status, _, _ = g.do(t, http.MethodPost, "/v1/embeddings", `{"model":"g-embed","input":"abc"}`)
	require.Equal(t, 502, status)
}
