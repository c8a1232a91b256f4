package gateway

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/tidwall/gjson"
)

// Two accounts of a model that thinks: what one of them thought goes back to it, with
// the results of its calls, and never to the other, however the pool takes turns.
func TestThoughtsAreTheirAccounts(t *testing.T) {
	f := newFixture(t)
	up := newProvider(t)
	var mu sync.Mutex
	foreign, signed, calls := 0, 0, 0
	up.set(func(w http.ResponseWriter, r *http.Request, body []byte) bool {
		key := r.Header.Get("X-Api-Key")
		mu.Lock()
		defer mu.Unlock()
		gjson.GetBytes(body, "messages.#.content|@flatten|#(type==\"thinking\")#").ForEach(func(_, v gjson.Result) bool {
			signed++
			if v.Get("signature").Str != "sig-of-"+key {
				foreign++
			}
			return true
		})
		calls++
		answer := fmt.Sprintf(`{"id":"m","type":"message","role":"assistant","model":"m","content":[{"type":"thinking","thinking":"hm","signature":"sig-of-%s"},{"type":"tool_use","id":"toolu_%d","name":"f","input":{"n":%d}}],"stop_reason":"tool_use","usage":{"input_tokens":1,"output_tokens":1}}`, key, calls, calls)
		sendJSON(w, 200, answer)
		return true
	})
	fam := family{typ: "claude-custom", key: "CLAUDE_API_KEY", url: "CLAUDE_BASE_URL"}
	f.add(fam, "a", up.URL)
	f.add(fam, "b", up.URL)
	g := f.start()
	var wg sync.WaitGroup
	for range 4 { // conversations
		wg.Go(func() {
			messages := []string{`{"role":"user","content":"go"}`}
			for range 5 {
				body := `{"model":"claude-sonnet-4-5","reasoning_effort":"high","messages":[` + strings.Join(messages, ",") + `],"tools":[{"type":"function","function":{"name":"f","parameters":{"type":"object"}}}]}`
				status, got, _ := g.do(t, http.MethodPost, "/claude-custom/v1/chat/completions", body)
				if status != 200 {
					t.Errorf("%d %s", status, got)
					return
				}
				call := gjson.Get(got, "choices.0.message.tool_calls.0")
				messages = append(messages, `{"role":"assistant","content":null,"tool_calls":[`+call.Raw+`]}`, fmt.Sprintf(`{"role":"tool","tool_call_id":%q,"content":"r"}`, call.Get("id").Str))
			}
		})
	}
	wg.Wait()
	mu.Lock()
	defer mu.Unlock()
	require.Zero(t, foreign, "signatures of another account")
	require.Equal(t, 4*(1+2+3+4), signed, "every thought of every loop went back")
	_, body, _ := up.seen()
	require.Equal(t, "enabled", gjson.GetBytes(body, "thinking.type").Str)
}
