package convert

import (
	"regexp"
	"strconv"
)

// abilities is what a model takes of the settings that are hints: what one does
// not take is left out or brought into its limits, as a refusal by the provider
// would make the request useless and the answer is of the same kind without.
type abilities struct {
	efforts    []string // words for how hard to think, from the least; none: it takes no word
	budget     [2]int   // least and most tokens to think; {0, 0}: it takes no number
	canStop    bool     // thinking can be switched off
	adaptive   bool     // Claude: it is told to think, not how long
	noSampling bool     // temperature, top_p, top_k and penalties are refused
	oneOfTwo   bool     // temperature or top_p, not both
	maxTokens  int      // of an answer; 0: not known
	thinksBack bool     // it wants back what it thought
	signs      bool     // Gemini behind Chat Completions: its calls have signatures
}

// row is what is known of the models whose names match.
type row struct {
	name *regexp.Regexp
	abilities
}

func model(pattern string, a abilities) row { return row{regexp.MustCompile(pattern), a} }

var (
	low4        = []string{"minimal", "low", "medium", "high"}
	low3        = []string{"low", "medium", "high"}
	none4       = []string{"none", "low", "medium", "high"}
	none5       = []string{"none", "low", "medium", "high", "xhigh"}
	low3x       = []string{"low", "medium", "high", "xhigh"}
	claudeWords = []string{"low", "medium", "high", "max"}
)

// models are the tables of the three families, from their public documentation;
// the first row that matches counts. What no row knows gets no hints.
var models = map[Format][]row{
	Chat: {
		model(`(^|/)gpt-5\.1-codex-max|(^|/)gpt-5\.[2-9].*codex`, abilities{efforts: low3x, noSampling: true}),
		model(`(^|/)gpt-5\.[2-9]|(^|/)gpt-[6-9]`, abilities{efforts: none5, noSampling: true}),
		model(`(^|/)gpt-5\.1`, abilities{efforts: none4, noSampling: true}),
		model(`(^|/)gpt-5.*(chat)`, abilities{}),
		model(`(^|/)gpt-5.*(codex)`, abilities{efforts: low3, noSampling: true}),
		model(`(^|/)gpt-5`, abilities{efforts: low4, noSampling: true}),
		model(`(^|/)o\d`, abilities{efforts: low3, noSampling: true}),
		model(`(^|/)codex`, abilities{efforts: low3, noSampling: true}),
		model(`gpt-oss`, abilities{efforts: low3}),
		model(`grok-3-mini`, abilities{efforts: []string{"low", "high"}}),
		model(`gemini-`, abilities{efforts: low3, signs: true}),
		model(`deepseek|kimi|glm-|minimax|mimo`, abilities{thinksBack: true}),
	},
	Claude: {
		model(`claude-(opus|sonnet|haiku)-4-[7-9]|claude-[a-z]+-[5-9]`, abilities{efforts: claudeWords, adaptive: true, canStop: true, noSampling: true, maxTokens: 128000}),
		model(`claude-(opus|sonnet|haiku)-4-6`, abilities{efforts: claudeWords, adaptive: true, canStop: true, oneOfTwo: true, maxTokens: 64000}),
		model(`claude-(sonnet|haiku)-4-5`, abilities{budget: [2]int{1024, 63999}, canStop: true, oneOfTwo: true, maxTokens: 64000}),
		model(`claude-opus-4-5`, abilities{budget: [2]int{1024, 63999}, canStop: true, oneOfTwo: true, maxTokens: 64000}),
		model(`claude-opus-4-1`, abilities{budget: [2]int{1024, 31999}, canStop: true, oneOfTwo: true, maxTokens: 32000}),
		model(`claude-opus-4`, abilities{budget: [2]int{1024, 31999}, canStop: true, maxTokens: 32000}),
		model(`claude-sonnet-4`, abilities{budget: [2]int{1024, 63999}, canStop: true, maxTokens: 64000}),
		model(`claude-3-7`, abilities{budget: [2]int{1024, 63999}, canStop: true, maxTokens: 64000}),
		model(`claude-3-5`, abilities{maxTokens: 8192}),
		model(`claude-3`, abilities{maxTokens: 4096}),
	},
	Gemini: {
		model(`gemini-3.*flash`, abilities{efforts: low4}),
		model(`gemini-[3-9]`, abilities{efforts: []string{"low", "high"}}),
		model(`gemini-2\.5-flash-lite`, abilities{budget: [2]int{512, 24576}, canStop: true}),
		model(`gemini-2\.5-flash`, abilities{budget: [2]int{1, 24576}, canStop: true}),
		model(`gemini-2\.5`, abilities{budget: [2]int{128, 32768}}),
	},
}

// abilitiesOf looks a model up.
func abilitiesOf(provider Format, name string) abilities {
	if provider == Responses {
		provider = Chat
	}
	for _, r := range models[provider] {
		if r.name.MatchString(name) {
			return r.abilities
		}
	}
	return abilities{}
}

// effort is how hard to think in a word that the model knows; "" if there is
// nothing to say.
func (a abilities) effort(t thinking) string {
	if !t.set() || len(a.efforts) == 0 {
		return ""
	}
	want, best := rank(t.inWords()), ""
	for _, word := range a.efforts {
		if best == "" || rank(word) <= want {
			best = word
		}
	}
	return best
}

// ranks order the words of all families.
var ranks = []string{"none", "minimal", "low", "medium", "high", "xhigh", "max"}

func rank(effort string) int {
	for i, word := range ranks {
		if word == effort {
			return i
		}
	}
	return 3 // a word that nobody knows is the usual one
}

// tokens is how long to think within the model's limits; 0 switches it off,
// -1 says nothing.
func (a abilities) tokens(t thinking) int {
	if !t.set() || a.budget[1] == 0 {
		return -1
	}
	n, err := strconv.Atoi(t.inTokens())
	if err != nil || n < 0 {
		return -1
	}
	if n == 0 && a.canStop {
		return 0
	}
	return min(max(n, a.budget[0]), a.budget[1])
}
