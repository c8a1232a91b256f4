package convert

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/tidwall/gjson"
)

// stopFields is stop sequences as each client says them.
func stopFields(client Format, stops string) string {
	return map[Format]string{
		Chat:   `{"model":"m","messages":[{"role":"user","content":"hi"}],"stop":` + stops + `}`,
		Claude: `{"model":"m","max_tokens":9,"messages":[{"role":"user","content":"hi"}],"stop_sequences":` + stops + `}`,
		Gemini: `{"contents":[{"role":"user","parts":[{"text":"hi"}]}],"generationConfig":{"stopSequences":` + stops + `}}`,
	}[client]
}

// Providers get the sequences that they take; the others end the answer here.
func TestStopSequencesThatAProviderDoesNotTake(t *testing.T) {
	for _, tc := range []struct {
		provider     Format
		model, stops string
		path, passed string
		cut          []string
	}{
		{Responses, "m", `["END","STOP"]`, "stop", "", []string{"END", "STOP"}},
		{Chat, "m", `["1","2","3","4","5"]`, "stop", `["1","2","3","4"]`, []string{"5"}},
		{Chat, "gpt-5", `["END"]`, "stop", "", []string{"END"}},
		{Claude, "m", `["\n","END",""]`, "stop_sequences", `["END"]`, []string{"\n"}},
		{Gemini, "m", `["1","2","3","4","5","6"]`, "generationConfig.stopSequences", `["1","2","3","4","5"]`, []string{"6"}},
	} {
		for _, client := range []Format{Chat, Claude, Gemini} {
			if client == tc.provider {
				continue
			}
			c, body, err := New(client, tc.provider, []byte(stopFields(client, tc.stops)), tc.model, false)
			require.NoError(t, err)
			require.Equal(t, tc.passed, gjson.GetBytes(body, tc.path).Raw, "%v to %v", client, tc.provider)
			require.Equal(t, tc.cut, c.stops)
		}
	}
	for _, stops := range []string{`["` + strings.Repeat("x", maxStopLength+1) + `"]`, `[` + strings.Repeat(`"x",`, maxStops) + `"y"]`} {
		_, _, err := New(Chat, Responses, []byte(stopFields(Chat, stops)), "m", false)
		require.ErrorContains(t, err, "field stop")
	}
}

// The answer ends in front of the first sequence, however its text is cut into pieces,
// with the reason for it where the client has one; what came after it is left out.
func TestAnswerEndsAtAStopSequence(t *testing.T) {
	const text = "one two EN END three STOP"
	c, _, err := New(Claude, Responses, []byte(stopFields(Claude, `["STOP","END"]`)), "m", true)
	require.NoError(t, err)
	for size := 1; size <= len(text); size++ {
		s := c.Stream()
		var out []byte
		say := func(data string) {
			made, _, err := s.Event([]byte(data))
			require.NoError(t, err)
			out = append(out, bytes.Join(made, nil)...)
		}
		say(`{"type":"response.created","response":{"id":"r","model":"m"}}`)
		for rest := text; rest != ""; {
			n := min(size, len(rest))
			say(fmt.Sprintf(`{"type":"response.output_text.delta","output_index":0,"delta":%q}`, rest[:n]))
			rest = rest[n:]
		}
		say(`{"type":"response.output_item.done","output_index":1,"item":{"type":"function_call","call_id":"c","name":"f","arguments":"{}"}}`)
		say(`{"type":"response.completed","response":{"id":"r","model":"m","status":"completed","usage":{"input_tokens":3,"output_tokens":9}}}`)
		got := whole(t, Claude, out)
		require.Equal(t, []part{{kind: textPart, text: "one two EN "}}, got.parts, "pieces of %d", size)
		require.Equal(t, finishStop, got.finish)
		require.Equal(t, "END", got.stopped)
		require.Equal(t, int64(9), got.usage.out)
	}
	body, err := c.Answer([]byte(`{"id":"r","status":"completed","output":[{"type":"message","content":[{"type":"output_text","text":"END"}]},{"type":"function_call","call_id":"c","name":"f","arguments":"{}"}]}`))
	require.NoError(t, err)
	require.JSONEq(t, `{"r":"stop_sequence","s":"END","c":[]}`, fmt.Sprintf(`{"r":%s,"s":%s,"c":%s}`,
		gjson.GetBytes(body, "stop_reason").Raw, gjson.GetBytes(body, "stop_sequence").Raw, gjson.GetBytes(body, "content").Raw))
}

// What may be the beginning of a sequence is held back, and passes when it is none.
func TestStopSequenceThatDoesNotCome(t *testing.T) {
	s := &stopper{stops: []string{"END"}}
	require.Equal(t, []event{{kind: evText, text: "a "}}, s.pass(event{kind: evText, text: "a EN"}))
	require.Equal(t, []event{{kind: evText, text: "EN"}, {kind: evCall, name: "f"}}, s.pass(event{kind: evCall, name: "f"}))
	require.Equal(t, []event{{kind: evEnd, finish: finishTools}}, s.pass(event{kind: evEnd, finish: finishTools}))
}
