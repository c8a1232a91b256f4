package convert

import (
	"crypto/sha256"
	"encoding/hex"
	"regexp"
	"slices"
)

// A tool's name is taken by OpenAI and Gemini with up to 64 characters, by Claude
// with up to 128. What is longer, or has other characters, travels under a name
// that follows from it, so that a history still matches its tools.
var (
	otherCharacters = regexp.MustCompile(`[^a-zA-Z0-9_-]`)
	longestName     = map[Format]int{Chat: 64, Responses: 64, Claude: 128, Gemini: 64}
)

// toolNames knows the client's name of each tool that travels under another.
type toolNames map[string]string

// portable is the name under which a tool travels.
func (n toolNames) portable(provider Format, name string) string {
	out, longest := otherCharacters.ReplaceAllString(name, "_"), longestName[provider]
	if provider == Gemini && out != "" && (out[0] == '-' || out[0] >= '0' && out[0] <= '9') {
		out = "_" + out
	}
	if out == name && len(out) <= longest {
		return name
	}
	sum := sha256.Sum256([]byte(name))
	out = out[:min(len(out), longest-9)] + "_" + hex.EncodeToString(sum[:4])
	n[out] = name
	return out
}

// original is the client's name of a tool that the provider calls.
func (n toolNames) original(name string) string {
	if given, ok := n[name]; ok {
		return given
	}
	return name
}

// rename gives every tool, call and result the name under which it travels.
func (q *request) rename(provider Format) toolNames {
	names := toolNames{}
	offered := map[string]bool{}
	q.tools = slices.DeleteFunc(q.tools, func(t tool) bool { // the same tool of two servers
		twice := offered[t.name]
		offered[t.name] = true
		return twice
	})
	for i := range q.tools {
		q.tools[i].name = names.portable(provider, q.tools[i].name)
	}
	if q.choice.mode == chooseTool {
		q.choice.name = names.portable(provider, q.choice.name)
	}
	for _, t := range q.turns {
		for i := range t.parts {
			if t.parts[i].name != "" {
				t.parts[i].name = names.portable(provider, t.parts[i].name)
			}
		}
	}
	return names
}
