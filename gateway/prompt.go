package gateway

import (
	"encoding/json"
	"path"
	"strings"

	"github.com/tidwall/gjson"
	"github.com/tidwall/sjson"
)

// systemPrompt is what the configuration does to the system prompts of clients.
type systemPrompt struct {
	file     string // SYSTEM_PROMPT_FILE_PATH
	text     string // what is in it; "": nothing is added
	mode     string // append, prepend or overwrite
	replaced []replacement
}

// maxPrompt bounds the file of a system prompt.
const maxPrompt = 1 << 20

type replacement struct{ old, new string }

func parsePrompt(cfg gjson.Result) systemPrompt {
	p := systemPrompt{file: strings.TrimSpace(cfg.Get("SYSTEM_PROMPT_FILE_PATH").String()), mode: strings.ToLower(cfg.Get("SYSTEM_PROMPT_MODE").String())}
	for _, r := range cfg.Get("SYSTEM_PROMPT_REPLACEMENTS").Array() {
		if old := r.Get("old").String(); old != "" {
			p.replaced = append(p.replaced, replacement{old, r.Get("new").String()})
		}
	}
	return p
}

// promptFiles are the names that a prompt's file may have below the configuration
// directory, as migrate keeps it: the path without that directory, or the last part.
func promptFiles(file string) []string {
	file = path.Clean(strings.ReplaceAll(file, `\`, "/"))
	if file == "." {
		return nil
	}
	names := []string{}
	if i := strings.LastIndex("/"+file, "/configs/"); i >= 0 {
		names = append(names, ("/" + file)[i+len("/configs/"):])
	} else if !path.IsAbs(file) && !strings.HasPrefix(file, "..") {
		names = append(names, file)
	}
	if base := path.Base(file); len(names) == 0 || names[0] != base {
		names = append(names, base)
	}
	return names
}

// replace applies the replacements, one after another.
func (p systemPrompt) replace(text string) string {
	for _, r := range p.replaced {
		text = strings.ReplaceAll(text, r.old, r.new)
	}
	return text
}

// join is the system prompt that comes of the client's.
func (p systemPrompt) join(own string) string {
	own = p.replace(own)
	switch {
	case p.text == "":
		return own
	case own == "" || p.mode == "overwrite":
		return p.replace(p.text)
	case p.mode == "prepend":
		return p.replace(p.text) + "\n" + own
	}
	return own + "\n" + p.replace(p.text)
}

// systemField is where the system prompt is in the bodies of a protocol, and the field
// of the text in its parts.
type systemField struct{ field, parts string }

var systemFields = map[wire]systemField{
	wireClaude: {"system", ""}, wireResponses: {"instructions", ""}, wireGemini: {"systemInstruction", "parts"},
}

// applyPrompt changes the system prompt as the configuration says, and nothing else
// of the body.
func (c *call) applyPrompt() {
	p := c.settings.prompt
	if p.text == "" && len(p.replaced) == 0 || c.op != opGenerate && c.op != opCount {
		return
	}
	if c.dialect.wire() == wireChat {
		c.chatPrompt(p)
		return
	}
	at, ok := systemFields[c.dialect.wire()]
	if !ok {
		return
	}
	field := at.field
	if v := gjson.GetBytes(c.body, "system_instruction"); field == "systemInstruction" && v.Exists() {
		field = "system_instruction"
	}
	own := gjson.GetBytes(c.body, field)
	if at.parts != "" && own.IsObject() {
		field += "." + at.parts
		own = own.Get(at.parts)
	} else if at.parts != "" { // a text alone, or nothing
		c.setRaw(field, `{"parts":[`+textPart("", p.join(own.String()))+`]}`, p.join(own.String()) != "")
		return
	}
	c.promptAt(p, field, own, map[bool]string{true: "text"}[at.parts == ""])
}

// promptAt changes a prompt that is a text, a list of parts, or not there.
func (c *call) promptAt(p systemPrompt, field string, own gjson.Result, kind string) {
	if !own.IsArray() && !own.IsObject() {
		if text := p.join(own.Str); text != own.Str {
			c.setText(field, text)
		}
		return
	}
	var parts []string
	changed := p.text != ""
	if p.mode != "overwrite" || p.text == "" {
		for _, part := range own.Array() {
			raw := part.Raw
			if text := part.Get("text"); text.Type == gjson.String && p.replace(text.Str) != text.Str {
				raw, _ = sjson.Set(raw, "text", p.replace(text.Str))
				changed = true
			}
			parts = append(parts, raw)
		}
	}
	if p.text != "" {
		mine := textPart(kind, p.replace(p.text))
		if p.mode == "prepend" {
			parts = append([]string{mine}, parts...)
		} else {
			parts = append(parts, mine)
		}
	}
	c.setRaw(field, "["+strings.Join(parts, ",")+"]", changed)
}

// chatPrompt is the same for Chat Completions, where the prompt is the messages of
// system and developer.
func (c *call) chatPrompt(p systemPrompt) {
	messages := gjson.GetBytes(c.body, "messages")
	if !messages.IsArray() {
		return
	}
	var out []string
	told := p.text == ""
	for _, m := range messages.Array() {
		role := m.Get("role").Str
		if role != "system" && role != "developer" {
			out = append(out, m.Raw)
			continue
		}
		if p.mode == "overwrite" && p.text != "" {
			continue
		}
		one := call{body: []byte(m.Raw)}
		rest := p
		if told {
			rest.text = "" // it is in the first of them
		}
		told = true
		one.promptAt(rest, "content", m.Get("content"), "text")
		out = append(out, string(one.body))
	}
	if !told {
		quoted, _ := json.Marshal(p.join("")) // a string cannot fail
		out = append([]string{`{"role":"system","content":` + string(quoted) + `}`}, out...)
	}
	c.setRaw("messages", "["+strings.Join(out, ",")+"]", true)
}

func textPart(kind, text string) string {
	quoted, _ := json.Marshal(text) // a string cannot fail
	if kind == "" {
		return `{"text":` + string(quoted) + `}`
	}
	return `{"type":"` + kind + `","text":` + string(quoted) + `}`
}

func (c *call) setText(field, text string) {
	quoted, _ := json.Marshal(text) // a string cannot fail
	c.setRaw(field, string(quoted), true)
}

// setRaw puts JSON in the place of a field, or adds it. The body is an object, which
// was checked before.
func (c *call) setRaw(field, raw string, wanted bool) {
	if !wanted {
		return
	}
	if body, err := sjson.SetRawBytes(c.body, field, []byte(raw)); err == nil {
		c.body = body
	}
}
