package convert

import (
	"fmt"
	"strings"
)

// request is what all three protocols can ask for. Every value that a provider
// may be unable to take knows the name of the client's field.
type request struct {
	model  string
	stream bool
	usage  bool // the client's stream ends with the usage

	system []string
	turns  []turn
	tools  []tool
	choice choice
	// single says that the model may call one tool at a time only.
	single flag

	maxTokens, temperature, topP, topK number
	seed, presence, frequency          number
	stop                               []string
	stopField                          string
	format                             format
	thinking                           thinking
}

// number is a number as the client wrote it; empty: not given.
type number struct{ raw, field string }

func (n number) set() bool { return n.raw != "" }

type flag struct {
	on    bool
	field string
}

type role int

const (
	user role = iota
	assistant
)

type turn struct {
	role  role
	parts []part
}

type partKind int

const (
	textPart partKind = iota
	imagePart
	callPart
	resultPart
)

// part is a piece of a turn or of an answer.
type part struct {
	kind  partKind
	field string // the client's name of it
	text  string
	// of an image: base64 data and its type, or an address
	media, data, url string
	// of a call and of its result
	id, name string
	args     string // JSON object
	failed   bool   // the result is an error
	content  []part // of a result
	// signature is what Gemini wants back with a call that it made.
	signature string
}

// texts joins the text of a result.
func (p part) texts() string {
	var out []string
	for _, c := range p.content {
		out = append(out, c.text)
	}
	return strings.Join(out, "\n")
}

type tool struct {
	name, description string
	schema            string // JSON Schema, an object
	strict            bool
}

type choiceMode int

const (
	chooseDefault choiceMode = iota
	chooseAuto
	chooseNone
	chooseAny
	chooseTool
)

type choice struct {
	mode choiceMode
	name string
}

// format is JSON as the form of the answer, with a schema or without.
type format struct {
	json          bool
	schema, field string
}

// answer is what all three protocols can answer.
type answer struct {
	id, model string
	parts     []part
	finish    finishReason
	usage     usage
}

// finishReason is why an answer ends; empty while it does not.
type finishReason string

const (
	finishStop   finishReason = "stop"
	finishLength finishReason = "length"
	finishTools  finishReason = "tools"
	finishFilter finishReason = "filter"
)

// usage counts tokens: cached and created (written to a cache) are part of in,
// reasoning of out.
type usage struct{ in, cached, created, out, reasoning int64 }

type eventKind int

const (
	evNone eventKind = iota
	evStart
	evText
	evCall // begins
	evArgs // more of the arguments of the call that began last
	evEnd
)

// follows reports whether an event of this kind may come after one of kind last.
func (k eventKind) follows(last eventKind) bool {
	switch k {
	case evStart:
		return last == evNone
	case evArgs:
		return last == evCall || last == evArgs
	}
	return last != evNone && last != evEnd
}

// event is a piece of a streamed answer.
type event struct {
	kind      eventKind
	id, model string // of a start; of a call
	name      string
	text      string
	signature string
	finish    finishReason
	usage     usage
}

// events is a whole answer as a stream.
func (a *answer) events() []event {
	out := []event{{kind: evStart, id: a.id, model: a.model, usage: a.usage}}
	for _, p := range a.parts {
		if p.kind == callPart {
			out = append(out, event{kind: evCall, id: p.id, name: p.name, signature: p.signature}, event{kind: evArgs, text: p.args})
		} else {
			out = append(out, event{kind: evText, text: p.text})
		}
	}
	return append(out, event{kind: evEnd, finish: a.finish, usage: a.usage})
}

// arrange brings the turns into the form that every protocol takes: neighbours of
// one role are one turn, results come first in theirs, in the order of the calls
// of the turn before, and know the name of their tool.
func (q *request) arrange(field string) error {
	var turns []turn
	for _, t := range q.turns {
		if len(t.parts) == 0 {
			continue
		}
		if n := len(turns); n > 0 && turns[n-1].role == t.role {
			turns[n-1].parts = append(turns[n-1].parts, t.parts...)
		} else {
			turns = append(turns, t)
		}
	}
	if len(turns) == 0 {
		return &FieldError{field, "there is nothing to answer"}
	}
	var calls []part // of the turn before
	for i := range turns {
		if err := turns[i].pair(calls); err != nil {
			return err
		}
		calls = nil
		for _, p := range turns[i].parts {
			if p.kind == callPart {
				calls = append(calls, p)
			}
		}
	}
	if last := turns[len(turns)-1]; last.role == assistant {
		return &FieldError{last.parts[len(last.parts)-1].field, "the last message is the model's own: that it should be continued cannot be converted"}
	}
	q.turns = turns
	return nil
}

// pair puts the results of a turn into the order of calls.
func (t *turn) pair(calls []part) error {
	var results, rest []part
	for _, p := range t.parts {
		if p.kind == resultPart {
			results = append(results, p)
		} else {
			rest = append(rest, p)
		}
	}
	used := make([]bool, len(results))
	of := make([]int, len(calls)) // result of each call, from 1
	match := func(same func(c, r part) bool) {
		for i, c := range calls {
			for j, r := range results {
				if of[i] == 0 && !used[j] && same(c, r) {
					of[i], used[j] = j+1, true
				}
			}
		}
	}
	match(func(c, r part) bool { return r.id == c.id })
	match(func(c, r part) bool { return r.name == c.name }) // Gemini's need no id
	var sorted []part
	for i, c := range calls {
		if of[i] == 0 {
			return &FieldError{c.field, fmt.Sprintf("the next message has no result for this call of tool %q", c.name)}
		}
		r := results[of[i]-1]
		r.id, r.name = c.id, c.name
		sorted = append(sorted, r)
	}
	for j, r := range results {
		if !used[j] {
			return &FieldError{r.field, "there is no call in the message before that this is the result of"}
		}
	}
	t.parts = append(sorted, rest...)
	return nil
}
