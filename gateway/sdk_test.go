package gateway

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/anthropics/anthropic-sdk-go"
	claudeoption "github.com/anthropics/anthropic-sdk-go/option"
	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/option"
	"github.com/openai/openai-go/v3/shared"
	"github.com/stretchr/testify/require"
	"google.golang.org/genai"
)

// family is a protocol as an upstream: its pool and its strict fake.
type family struct {
	name, typ, key, url string
	model               string
	in                  int64 // tokens that the fake counts
	start               func(*testing.T) *provider
}

var families = []family{
	{"chat", "openai-custom", "OPENAI_API_KEY", "OPENAI_BASE_URL", "gpt-test", 11, newChat},
	{"claude", "claude-custom", "CLAUDE_API_KEY", "CLAUDE_BASE_URL", "claude-test", 14, newClaude},
	{"gemini", "gemini-custom", "GEMINI_API_KEY", "GEMINI_BASE_URL", "gemini-test", 11, newGemini},
}

// add stores an account of a family.
func (f *fixture) add(fam family, uuid, baseURL string) {
	f.t.Helper()
	f.addWith(fam, uuid, baseURL, "")
}

// addWith stores an account with more JSON fields, each with a comma in front.
func (f *fixture) addWith(fam family, uuid, baseURL, extra string) {
	f.t.Helper()
	entry := fmt.Sprintf(`{"uuid":%q,%q:"sk-account-%s",%q:%q%s}`, uuid, fam.key, uuid, fam.url, baseURL, extra)
	require.NoError(f.t, f.client.HSet(f.t.Context(), "aiclient:pools:"+fam.typ, uuid, entry).Err())
	require.NoError(f.t, f.client.SAdd(f.t.Context(), "aiclient:pool-types", fam.typ).Err())
}

// dialogue is what a client says, in no protocol.
type dialogue struct {
	system, user string
	image        bool
	tool         bool       // get_weather is offered
	forced       bool       // and has to be called
	calls        []toolCall // what the model called before
	results      []string   // and what came of it
}

// reply is what a client's SDK understood.
type reply struct {
	text    string
	calls   []toolCall
	stop    string // stop, tools or length
	in, out int64
}

// sdkClient asks one question with a real SDK.
type sdkClient struct {
	name string
	ask  func(ctx context.Context, url, model string, d dialogue, stream bool) (reply, error)
	// failure takes the SDK's own error apart.
	failure func(error) (status int, message string)
}

var sdkClients = []sdkClient{{"chat", askChat, chatFailure}, {"claude", askClaude, claudeFailure}, {"gemini", askGemini, geminiFailure}}

// pixel is an image.
var pixel = []byte{0x89, 'P', 'N', 'G', 1, 2, 3}

var weatherProperties = map[string]any{"city": map[string]any{"type": "string", "description": "where"}}

func askChat(ctx context.Context, url, model string, d dialogue, stream bool) (reply, error) {
	client := openai.NewClient(option.WithBaseURL(url+"/v1"), option.WithAPIKey(clientKey), option.WithMaxRetries(0))
	p := openai.ChatCompletionNewParams{Model: model, MaxCompletionTokens: openai.Int(100), Temperature: openai.Float(0.5), Stop: openai.ChatCompletionNewParamsStopUnion{OfString: openai.String("END")}}
	if d.system != "" {
		p.Messages = append(p.Messages, openai.SystemMessage(d.system))
	}
	user := []openai.ChatCompletionContentPartUnionParam{openai.TextContentPart(d.user)}
	if d.image {
		user = append(user, openai.ImageContentPart(openai.ChatCompletionContentPartImageImageURLParam{URL: "data:image/png;base64," + base64.StdEncoding.EncodeToString(pixel)}))
	}
	p.Messages = append(p.Messages, openai.UserMessage(user))
	if d.tool {
		p.Tools = []openai.ChatCompletionToolUnionParam{openai.ChatCompletionFunctionTool(shared.FunctionDefinitionParam{
			Name: "get_weather", Description: openai.String("tells the weather"),
			Parameters: shared.FunctionParameters{"type": "object", "properties": weatherProperties, "required": []string{"city"}, "additionalProperties": false},
		})}
	}
	if d.forced {
		p.ToolChoice = openai.ToolChoiceOptionFunctionToolChoice(openai.ChatCompletionNamedToolChoiceFunctionParam{Name: "get_weather"})
	}
	if len(d.calls) > 0 {
		var said openai.ChatCompletionAssistantMessageParam
		for _, c := range d.calls {
			said.ToolCalls = append(said.ToolCalls, openai.ChatCompletionMessageToolCallUnionParam{OfFunction: &openai.ChatCompletionMessageFunctionToolCallParam{
				ID: c.id, Function: openai.ChatCompletionMessageFunctionToolCallFunctionParam{Name: c.name, Arguments: c.args},
			}})
		}
		p.Messages = append(p.Messages, openai.ChatCompletionMessageParamUnion{OfAssistant: &said})
		for i, r := range d.results {
			p.Messages = append(p.Messages, openai.ToolMessage(r, d.calls[i].id))
		}
	}
	var got *openai.ChatCompletion
	var err error
	if stream {
		p.StreamOptions.IncludeUsage = openai.Bool(true)
		s := client.Chat.Completions.NewStreaming(ctx, p)
		defer s.Close()
		var acc openai.ChatCompletionAccumulator
		for s.Next() {
			if !acc.AddChunk(s.Current()) {
				return reply{}, fmt.Errorf("chunk does not fit: %s", s.Current().RawJSON())
			}
		}
		got, err = &acc.ChatCompletion, s.Err()
	} else {
		got, err = client.Chat.Completions.New(ctx, p)
	}
	if err != nil || len(got.Choices) == 0 {
		return reply{}, err
	}
	out := reply{text: got.Choices[0].Message.Content, in: got.Usage.PromptTokens, out: got.Usage.CompletionTokens}
	for _, c := range got.Choices[0].Message.ToolCalls {
		out.calls = append(out.calls, toolCall{c.ID, c.Function.Name, c.Function.Arguments})
	}
	out.stop = map[string]string{"stop": "stop", "tool_calls": "tools", "length": "length"}[got.Choices[0].FinishReason]
	return out, nil
}

func chatFailure(err error) (int, string) {
	if e, ok := err.(*openai.Error); ok { //nolint:errorlint // the SDK gives it bare
		return e.StatusCode, e.Message
	}
	return 0, err.Error()
}

func askClaude(ctx context.Context, url, model string, d dialogue, stream bool) (reply, error) {
	client := anthropic.NewClient(claudeoption.WithBaseURL(url), claudeoption.WithAPIKey(clientKey), claudeoption.WithMaxRetries(0), claudeoption.WithHTTPClient(http.DefaultClient))
	p := anthropic.MessageNewParams{Model: model, MaxTokens: 100, Temperature: anthropic.Float(0.5), StopSequences: []string{"END"}}
	if d.system != "" {
		p.System = []anthropic.TextBlockParam{{Text: d.system}}
	}
	user := []anthropic.ContentBlockParamUnion{anthropic.NewTextBlock(d.user)}
	if d.image {
		user = append(user, anthropic.NewImageBlockBase64("image/png", base64.StdEncoding.EncodeToString(pixel)))
	}
	p.Messages = append(p.Messages, anthropic.NewUserMessage(user...))
	if d.tool {
		tool := anthropic.ToolUnionParamOfTool(anthropic.ToolInputSchemaParam{Properties: weatherProperties, Required: []string{"city"}}, "get_weather")
		tool.OfTool.Description = anthropic.String("tells the weather")
		p.Tools = []anthropic.ToolUnionParam{tool}
	}
	if d.forced {
		p.ToolChoice = anthropic.ToolChoiceParamOfTool("get_weather")
	}
	if len(d.calls) > 0 {
		var calls, results []anthropic.ContentBlockParamUnion
		for i, c := range d.calls {
			calls = append(calls, anthropic.NewToolUseBlock(c.id, json.RawMessage(c.args), c.name))
			results = append(results, anthropic.NewToolResultBlock(c.id, d.results[i], false))
		}
		p.Messages = append(p.Messages, anthropic.NewAssistantMessage(calls...), anthropic.NewUserMessage(results...))
	}
	var got *anthropic.Message
	var err error
	if stream {
		s := client.Messages.NewStreaming(ctx, p)
		defer s.Close()
		got = &anthropic.Message{}
		for s.Next() {
			if err := got.Accumulate(s.Current()); err != nil {
				return reply{}, err
			}
		}
		err = s.Err()
	} else {
		got, err = client.Messages.New(ctx, p)
	}
	if err != nil {
		return reply{}, err
	}
	out := reply{in: got.Usage.InputTokens + got.Usage.CacheReadInputTokens, out: got.Usage.OutputTokens}
	for _, b := range got.Content {
		switch b.Type {
		case "text":
			out.text += b.Text
		case "tool_use":
			out.calls = append(out.calls, toolCall{b.ID, b.Name, string(b.Input)})
		}
	}
	out.stop = map[string]string{"end_turn": "stop", "tool_use": "tools", "max_tokens": "length"}[string(got.StopReason)]
	return out, nil
}

func claudeFailure(err error) (int, string) {
	if e, ok := err.(*anthropic.Error); ok { //nolint:errorlint // the SDK gives it bare
		return e.StatusCode, e.RawJSON()
	}
	return 0, err.Error()
}

func askGemini(ctx context.Context, url, model string, d dialogue, stream bool) (reply, error) {
	client, err := genai.NewClient(ctx, &genai.ClientConfig{APIKey: clientKey, Backend: genai.BackendGeminiAPI, HTTPClient: http.DefaultClient, HTTPOptions: genai.HTTPOptions{BaseURL: url}})
	if err != nil {
		return reply{}, err
	}
	cfg := &genai.GenerateContentConfig{MaxOutputTokens: 100, Temperature: genai.Ptr[float32](0.5), StopSequences: []string{"END"}}
	if d.system != "" {
		cfg.SystemInstruction = genai.NewContentFromText(d.system, genai.RoleUser)
	}
	user := genai.NewContentFromText(d.user, genai.RoleUser)
	if d.image {
		user.Parts = append(user.Parts, genai.NewPartFromBytes(pixel, "image/png"))
	}
	contents := []*genai.Content{user}
	if d.tool {
		cfg.Tools = []*genai.Tool{{FunctionDeclarations: []*genai.FunctionDeclaration{{
			Name: "get_weather", Description: "tells the weather",
			Parameters: &genai.Schema{Type: genai.TypeObject, Properties: map[string]*genai.Schema{"city": {Type: genai.TypeString, Description: "where"}}, Required: []string{"city"}},
		}}}}
	}
	if d.forced {
		cfg.ToolConfig = &genai.ToolConfig{FunctionCallingConfig: &genai.FunctionCallingConfig{Mode: genai.FunctionCallingConfigModeAny, AllowedFunctionNames: []string{"get_weather"}}}
	}
	if len(d.calls) > 0 {
		said, results := &genai.Content{Role: genai.RoleModel}, &genai.Content{Role: genai.RoleUser}
		for i, c := range d.calls {
			var args map[string]any
			if err := json.Unmarshal([]byte(c.args), &args); err != nil {
				return reply{}, err
			}
			said.Parts = append(said.Parts, genai.NewPartFromFunctionCall(c.name, args))
			results.Parts = append(results.Parts, genai.NewPartFromFunctionResponse(c.name, map[string]any{"output": d.results[i]}))
		}
		contents = append(contents, said, results)
	}
	var out reply
	take := func(r *genai.GenerateContentResponse) {
		if len(r.Candidates) > 0 {
			if c := r.Candidates[0]; c.Content != nil {
				for _, p := range c.Content.Parts {
					switch {
					case p.FunctionCall != nil:
						args, _ := json.Marshal(p.FunctionCall.Args)
						out.calls = append(out.calls, toolCall{p.FunctionCall.ID, p.FunctionCall.Name, string(args)})
					case !p.Thought:
						out.text += p.Text
					}
				}
			}
			if reason := r.Candidates[0].FinishReason; reason != "" {
				out.stop = map[string]string{"STOP": "stop", "MAX_TOKENS": "length"}[string(reason)]
			}
		}
		if u := r.UsageMetadata; u != nil {
			out.in, out.out = int64(u.PromptTokenCount), int64(u.CandidatesTokenCount+u.ThoughtsTokenCount)
		}
	}
	if !stream {
		r, err := client.Models.GenerateContent(ctx, model, contents, cfg)
		if err == nil {
			take(r)
		}
		return out, err
	}
	for r, err := range client.Models.GenerateContentStream(ctx, model, contents, cfg) {
		if err != nil {
			return out, err
		}
		take(r)
	}
	return out, nil
}

func geminiFailure(err error) (int, string) {
	if e, ok := err.(genai.APIError); ok { //nolint:errorlint // the SDK gives it bare
		return e.Code, e.Message
	}
	return 0, err.Error()
}

// talk has every kind of exchange with a real SDK.
func talk(t *testing.T, g *started, c sdkClient, fam family) {
	for _, stream := range []bool{false, true} {
		ask := func(d dialogue) reply {
			t.Helper()
			got, err := c.ask(t.Context(), g.url, fam.typ+":"+fam.model, d, stream)
			require.NoError(t, err)
			return got
		}
		got := ask(dialogue{system: "be brief", user: "hi"})
		require.Equal(t, "hello", got.text)
		require.Equal(t, "stop", got.stop)
		require.EqualValues(t, 7, got.out)
		require.Equal(t, fam.in, got.in)

		require.Equal(t, "hello", ask(dialogue{user: "what is this?", image: true}).text)

		for _, d := range []dialogue{{user: "weather?", tool: true}, {user: "weather?", tool: true, forced: true}, {user: "both, please", tool: true}} {
			got = ask(d)
			want := []string{`{"city":"Paris"}`, `{"city":"Rome"}`}
			if !strings.Contains(d.user, "both") {
				want = want[:1]
			}
			require.Len(t, got.calls, len(want))
			for i, call := range got.calls {
				require.Equal(t, "get_weather", call.name)
				require.JSONEq(t, want[i], call.args)
				require.True(t, c.name == "gemini" || call.id != "")
				d.results = append(d.results, []string{"sunny", "rain"}[i])
			}
			if c.name != "gemini" { // it has no reason of its own for tools
				require.Equal(t, "tools", got.stop)
			}
			d.calls, d.forced = got.calls, false
			got = ask(d)
			require.Equal(t, "result: "+strings.Join(d.results, ""), got.text)
		}
	}
}
