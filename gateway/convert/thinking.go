package convert

import "strconv"

// thinking is how hard the model shall think: a word, or a number of tokens;
// neither: not said.
type thinking struct {
	effort string
	budget string // a whole number
	field  string
	show   bool // the client has a place for what the model thinks
}

func (t thinking) set() bool { return t.effort != "" || t.budget != "" }

// levels are Google's equivalents of OpenAI's words, from its notes on
// compatibility with OpenAI's API.
var levels = []struct {
	effort string
	budget int
}{{"none", 0}, {"low", 1024}, {"medium", 8192}, {"high", 24576}}

// inWords is the effort, for protocols with words: the least that has at least
// the budget.
func (t thinking) inWords() string {
	if t.effort != "" {
		return t.effort
	}
	n, err := strconv.Atoi(t.budget)
	for _, l := range levels {
		if err == nil && n <= l.budget {
			return l.effort
		}
	}
	return "high"
}

// inTokens is the budget, for protocols with numbers.
func (t thinking) inTokens() string {
	if t.budget != "" {
		return t.budget
	}
	effort := t.effort
	switch effort {
	case "minimal":
		effort = "low"
	case "xhigh", "max":
		effort = "high"
	}
	for _, l := range levels {
		if l.effort == effort {
			return strconv.Itoa(l.budget)
		}
	}
	return ""
}
