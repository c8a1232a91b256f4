package convert

import (
	"fmt"
	"slices"
	"strings"
)

// request is what all protocols can ask for. Every value that a provider
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
	cut                                []string // stop sequences that the provider does not take
	format                             format
	thinking                           thinking
	ids                                map[string]bool // of all calls
	// hosted is the first tool that the client's provider would run itself; no
	// other provider has it. It is left out where the client has tools of its own
	// to go on with, and refused where it is all that was asked for.
	hosted string
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
	filePart // a document, or audio: what its media type says
	thoughtPart
	callPart
	resultPart
)

// part is a piece of a turn or of an answer.
type part struct {
	kind  partKind
	field string // the client's name of it
	text  string
	// of an image and of a file: base64 data and its type, or an address
	media, data, url string
	filename         string
	// of a call and of its result
	id, name string
	args     string // JSON object
	failed   bool   // the result is an error
	content  []part // of a result
	// signature is what Gemini wants back with a call that it made.
	signature string
	// own marks a thought that the provider made: it can be shown to it again.
	own *sealed
	// custom marks a call of a tool that takes text instead of an object; args is
	// {"input": text} then, as other protocols have no such tools.
	custom bool
}

// isMedia reports whether a part is no text, call, result or thought.
func (p part) isMedia() bool { return p.kind == imagePart || p.kind == filePart }

// dataURL is the data of a part with its type in front.
func (p part) dataURL() string { return "data:" + p.media + ";base64," + p.data }

// texts joins the text of a result.
func (p part) texts() string {
	var out []string
	for _, c := range p.content {
		if c.kind == textPart {
			out = append(out, c.text)
		}
	}
	return strings.Join(out, "\n")
}

// mediaParts is what is in a result besides text.
func (p part) mediaParts() (out []part) {
	for _, c := range p.content {
		if c.isMedia() {
			out = append(out, c)
		}
	}
	return out
}

type tool struct {
	name, description string
	schema            string // JSON Schema, an object
	strict            bool
	custom            bool // takes text; see part.custom
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

// answer is what all protocols can answer.
type answer struct {
	id, model string
	parts     []part
	finish    finishReason
	stopped   string // by this stop sequence, where that is known
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
	evThought // more of what the model thinks
	evCall    // begins
	evArgs    // more of the arguments of the call that began last
	evEnd
	evSeal // of what it thought last; no client sees it
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
	seal      *sealed // of a seal
	custom    bool    // of a call; see part.custom
	finish    finishReason
	stopped   string // of an end; see answer.stopped
	usage     usage
}

// events is a whole answer as a stream.
func (a *answer) events() []event {
	out := []event{{kind: evStart, id: a.id, model: a.model, usage: a.usage}}
	for _, p := range a.parts {
		switch p.kind {
		case callPart:
			out = append(out, event{kind: evCall, id: p.id, name: p.name, signature: p.signature, custom: p.custom}, event{kind: evArgs, text: p.args})
		case thoughtPart:
			if p.text != "" {
				out = append(out, event{kind: evThought, text: p.text})
			}
			if p.own != nil {
				out = append(out, event{kind: evSeal, seal: p.own})
			}
		default:
			out = append(out, event{kind: evText, text: p.text})
		}
	}
	return append(out, event{kind: evEnd, finish: a.finish, stopped: a.stopped, usage: a.usage})
}

// offerHosted notes a tool that the client's own provider would run.
func (q *request) offerHosted(field string) {
	if q.hosted == "" {
		q.hosted = field
	}
}

// allow leaves only the named tools, if there are names.
func (q *request) allow(names []string) {
	if len(names) > 0 {
		q.tools = slices.DeleteFunc(q.tools, func(t tool) bool { return !slices.Contains(names, t.name) })
	}
}

// arrange brings the turns into the form that every protocol takes: neighbours of
// one role are one turn, results come first in theirs, in the order of the calls
// of the turn before, and know the name of their tool.
func (q *request) arrange(field string) error {
	var turns []turn
	for _, t := range q.turns {
		if !slices.ContainsFunc(t.parts, func(p part) bool { return p.kind != thoughtPart }) {
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
	q.renumber()
	return nil
}

// renumber gives a call whose id another had before an id of its own: some providers
// count anew in each answer, and others refuse a history with one id twice.
func (q *request) renumber() {
	used := map[string]bool{}
	for i, t := range q.turns {
		for j, p := range t.parts {
			if p.kind != callPart {
				continue
			}
			id := p.id
			for n := 2; used[id]; n++ {
				id = portableID(fmt.Sprintf("%s/%d", p.id, n))
			}
			used[id] = true
			if id != p.id {
				t.parts[j].id = id
				q.turns[i+1].parts[t.callsBefore(j)].id = id // results are in the order of the calls
			}
		}
	}
	q.ids = used
}

// callsBefore is the number of calls in front of a part.
func (t turn) callsBefore(place int) (n int) {
	for _, p := range t.parts[:place] {
		if p.kind == callPart {
			n++
		}
	}
	return n
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
