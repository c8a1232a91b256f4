package convert

import (
	"bytes"
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/tidwall/gjson"
	"pgregory.net/rapid"
)

// readsSafely reads a request of a client for every provider: whatever is in it, what
// is written is JSON, or an error that names a field.
func readsSafely(f *testing.F, client Format) {
	for _, body := range same {
		f.Add([]byte(body))
	}
	f.Add([]byte(withResult(client, "c1")))
	f.Add([]byte(`{"":""}`))
	f.Add([]byte(stopFields(client, `["A","B"]`)))
	models := map[Format]string{Chat: "gpt-5", Responses: "gpt-5", Claude: "claude-sonnet-4-5", Gemini: "gemini-3-pro"}
	f.Fuzz(func(t *testing.T, body []byte) {
		if !json.Valid(body) || !gjson.ParseBytes(body).IsObject() {
			return
		}
		require.True(t, json.Valid(Estimate(client, body)))
		for provider := range Format(4) {
			c, out, err := New(client, provider, body, models[provider], true)
			if err != nil {
				require.IsType(t, &FieldError{}, err)
				require.NotEmpty(t, err.(*FieldError).Field)
				continue
			}
			require.True(t, json.Valid(out), "%s", out)
			seals := map[string][]byte{}
			for _, key := range c.Recalls {
				seals[key] = []byte(`{"thoughts":[{"text":"t","signature":"s","data":"d"}],"call":"c"}`)
			}
			_, out, err = Convert(Options{Client: client, Provider: provider, Body: body, Model: models[provider], Shared: true, Seals: seals})
			require.True(t, err != nil || json.Valid(out))
			_, out, err = NewCount(client, provider, body, models[provider])
			require.True(t, err != nil || json.Valid(out))
		}
	})
}

func FuzzReadChat(f *testing.F)      { readsSafely(f, Chat) }
func FuzzReadClaude(f *testing.F)    { readsSafely(f, Claude) }
func FuzzReadGemini(f *testing.F)    { readsSafely(f, Gemini) }
func FuzzReadResponses(f *testing.F) { readsSafely(f, Responses) }

// decodesSafely decodes a provider's stream, an event a line, for every client: each
// event that comes of it is whole, and none follows the end.
func decodesSafely(f *testing.F, provider Format) {
	for of, th := range thinkers {
		var stream []byte
		for _, e := range th.events {
			stream = append(append(stream, e...), '\n')
		}
		f.Add(stream)
		if of == provider {
			f.Add(append(stream, stream...))
			f.Add([]byte(th.whole))
		}
	}
	f.Fuzz(func(t *testing.T, stream []byte) {
		for client := range Format(4) {
			c := &Conversion{client: client, provider: provider, usage: true, thoughts: true, plain: true, stops: []string{"so", "END"}}
			s := c.Stream()
			var failed error
			for line := range bytes.Lines(stream) {
				out, end, err := s.Event(bytes.TrimSpace(line))
				wholeEvents(t, out)
				if failed = err; err != nil || end {
					break
				}
			}
			if failed == nil {
				out, _ := s.End()
				wholeEvents(t, out)
			}
			for _, seal := range s.Seals() {
				require.True(t, json.Valid(seal))
			}
			if out, err := c.Answer(stream); err == nil {
				require.True(t, json.Valid(out), "%s", out)
			}
		}
	})
}

func wholeEvents(t *testing.T, events [][]byte) {
	for _, e := range events {
		require.True(t, bytes.HasSuffix(e, []byte("\n\n")), "%q", e)
		for _, data := range dataOf(e) {
			require.True(t, string(data) == "[DONE]" || json.Valid(data), "%q", e)
		}
	}
}

func FuzzStreamChat(f *testing.F)      { decodesSafely(f, Chat) }
func FuzzStreamClaude(f *testing.F)    { decodesSafely(f, Claude) }
func FuzzStreamGemini(f *testing.F)    { decodesSafely(f, Gemini) }
func FuzzStreamResponses(f *testing.F) { decodesSafely(f, Responses) }

// A request goes through any pair of protocols, and back, and loses nothing that both
// can say: stop sequences that Responses cannot say are looked for instead.
func TestRequestsOfEveryPairAndBack(t *testing.T) {
	read := func(t *rapid.T, f Format, body []byte) *request {
		r := &reader{provider: f}
		q := protocols[f].read(r, gjson.ParseBytes(body))
		require.NoError(t, r.err, "%s", body)
		require.NoError(t, q.arrange("turns"))
		return q
	}
	rapid.Check(t, func(t *rapid.T) {
		drawn := drawRequest(t)
		for from := range Format(4) {
			for to := range Format(4) {
				want := *drawn
				if from == Responses || to == Responses {
					want.stop = nil
				}
				asked := want
				written, err := protocols[from].write(&asked)
				require.NoError(t, err)
				_, there, err := New(from, to, marshal(written), "m", false)
				require.NoError(t, err)
				require.Equal(t, meaning(&want), meaning(read(t, to, there)), "%v to %v", from, to)
				_, back, err := New(to, from, there, "m", false)
				require.NoError(t, err)
				require.Equal(t, meaning(&want), meaning(read(t, from, back)), "%v to %v and back", from, to)
			}
		}
	})
}
