package convert

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/tidwall/gjson"
)

// Format is a protocol.
type Format int

// The protocols.
const (
	Chat      Format = iota // OpenAI Chat Completions
	Claude                  // Anthropic Messages
	Gemini                  // Gemini generateContent
	Responses               // OpenAI Responses
)

func (f Format) String() string {
	return [...]string{"OpenAI", "Claude", "Gemini", "OpenAI Responses"}[f]
}

// FieldError is a request that cannot be converted because of one of its fields.
type FieldError struct{ Field, Why string }

func (e *FieldError) Error() string { return "field " + e.Field + ": " + e.Why }

// UpstreamError is an error that the provider told of within its answer.
type UpstreamError struct{ Message string }

func (e *UpstreamError) Error() string { return "provider answers with an error: " + e.Message }

// ErrIncomplete is a stream that ended before the provider said that it is done.
var ErrIncomplete = errors.New("the provider's stream ended before its end")

// errMalformed is an answer that is not what its protocol says.
var errMalformed = errors.New("the provider's answer is not of its protocol")

// Conversion is one request on its way to a provider of another protocol.
type Conversion struct {
	client, provider Format
	usage            bool // a stream of the client ends with the usage
	thoughts         bool // the client has a place for what the model thinks
	count            bool // only the number of tokens is asked for
	names            toolNames
	model            string          // of an answer that does not name its own
	custom           map[string]bool // the client's tools that take text
	stops            []string        // sequences at which the answer is cut here
	ids              map[string]bool // of calls that there were

	// Keep, if set, is given a response of the Responses API before the client gets its
	// end, and reports whether the client can go on from it. Former is the id of the
	// response that this one goes on from.
	Keep   func(id string, response []byte) bool
	Former string

	// Recalls are the keys of the calls with whose results the model works: what was
	// kept under them goes into Options.Seals of another conversion.
	Recalls []string
	plain   bool // the provider wants plain thoughts back
	seals   map[string][]byte
}

// Seals are what has to be kept of an answer that was converted, by the key of the
// call it belongs to. It is the account's that gave it.
func (c *Conversion) Seals() map[string][]byte { return c.seals }

// protocol is what each format can do.
type protocol struct {
	turns string // the field with the turns
	read  func(*reader, gjson.Result) *request
	write func(*request) (map[string]any, error)
	// decode reads a whole answer, encode makes one.
	decode func(gjson.Result) (*answer, error)
	encode func(*answer) map[string]any
	// decoder and encoder are for one stream.
	decoder func() decoder
	encoder func(usage bool) encoder
}

var protocols = [...]protocol{
	Chat:      {"messages", readChat, writeChat, decodeChat, encodeChat, func() decoder { return &chatDecoder{} }, func(u bool) encoder { return &chatEncoder{usage: u} }},
	Claude:    {"messages", readClaude, writeClaude, decodeClaude, encodeClaude, func() decoder { return &claudeDecoder{} }, func(bool) encoder { return &claudeEncoder{} }},
	Gemini:    {"contents", readGemini, writeGemini, decodeGemini, encodeGemini, func() decoder { return &geminiDecoder{} }, func(bool) encoder { return &geminiEncoder{} }},
	Responses: {"input", readResponses, writeResponses, decodeResponses, encodeResponses, func() decoder { return &responsesDecoder{} }, func(bool) encoder { return &responsesEncoder{} }},
}

// Options are a client's request and what to make of it.
type Options struct {
	Client, Provider Format
	// Body must be a JSON object that json.Valid takes, which bounds its depth: much
	// in here recurses.
	Body   []byte
	Model  string // of the provider
	Stream bool
	// Shared says that more than one account may get the request: signatures that the
	// client holds are left out, as they may be of another.
	Shared bool
	// Seals are what the account that gets the request gave with former calls, by the
	// keys of Conversion.Recalls.
	Seals map[string][]byte
}

// New converts a client's request for a provider's model. An error is a FieldError.
func New(client, provider Format, body []byte, model string, stream bool) (*Conversion, []byte, error) {
	return Convert(Options{Client: client, Provider: provider, Body: body, Model: model, Stream: stream})
}

// Convert is New with all options.
func Convert(o Options) (*Conversion, []byte, error) {
	client, provider := o.Client, o.Provider
	r := &reader{provider: provider, shared: o.Shared}
	q := protocols[client].read(r, gjson.ParseBytes(o.Body))
	if r.err == nil {
		q.model, q.stream = o.Model, o.Stream
		r.err = q.arrange(protocols[client].turns)
	}
	if r.err == nil && q.hosted != "" && len(q.tools) == 0 {
		r.unable(q.hosted)
	}
	if r.err != nil {
		return nil, nil, r.err
	}
	custom := map[string]bool{}
	for _, t := range q.tools {
		if t.custom {
			custom[t.name] = true
		}
	}
	can := abilitiesOf(provider, o.Model)
	var recalls []string
	if provider != Chat || can.thinksBack || can.signs {
		recalls = q.recalls()
		q.restore(o.Seals)
	}
	names := q.rename(provider)
	out, err := protocols[provider].write(q)
	if err != nil {
		return nil, nil, err
	}
	converted := marshal(out)
	if len(converted) == 0 {
		return nil, nil, &FieldError{"body", "is nested too deeply"}
	}
	return &Conversion{
		client: client, provider: provider, model: o.Model, usage: q.usage, thoughts: q.thinking.show, names: names, custom: custom, stops: q.cut,
		ids: q.ids, Recalls: recalls, plain: can.thinksBack,
	}, converted, nil
}

// toClient gives a call the name and the kind that the client knows it by, and an id
// that none of the conversation had before: clients tell calls apart by it.
// given are those of this answer.
func (c *Conversion) toClient(name, id *string, custom *bool, given map[string]bool) {
	if *name == "" {
		return
	}
	*name = c.names.original(*name)
	*custom = c.custom[*name]
	if portable := portableID(*id); c.ids[portable] || given[portable] {
		*id = newID("call_")
	}
	given[portableID(*id)] = true
}

// Answer converts a whole answer.
func (c *Conversion) Answer(body []byte) ([]byte, error) {
	if c.count {
		return c.countAnswer(body)
	}
	a, err := c.decode(body)
	if err != nil {
		return nil, err
	}
	made := protocols[c.client].encode
	if c.client == Responses {
		made = c.encodeResponses
	}
	out := marshal(made(a))
	if len(out) == 0 {
		return nil, fmt.Errorf("%w: it is nested too deeply", errMalformed)
	}
	return out, nil
}

func (c *Conversion) decode(body []byte) (*answer, error) {
	if !json.Valid(body) || !gjson.ParseBytes(body).IsObject() {
		return nil, fmt.Errorf("%w: no JSON object", errMalformed)
	}
	a, err := protocols[c.provider].decode(gjson.ParseBytes(body))
	if err != nil {
		return nil, err
	}
	a.model = cmp.Or(a.model, c.model)
	a.stopAt(c.stops)
	given := map[string]bool{}
	for i := range a.parts {
		c.toClient(&a.parts[i].name, &a.parts[i].id, &a.parts[i].custom, given)
	}
	c.seals = sealsOf(a, c.plain)
	a.parts = slices.DeleteFunc(a.parts, func(p part) bool { return p.kind == thoughtPart && (!c.thoughts || p.text == "") })
	for i := range a.parts {
		a.parts[i].own = nil
	}
	return a, nil
}

// AnswerAsStream makes a stream of a whole answer, for a provider that was asked
// for a stream and gave none.
func (c *Conversion) AnswerAsStream(body []byte) ([][]byte, error) {
	a, err := c.decode(body)
	if err != nil {
		return nil, err
	}
	s := c.Stream()
	var out [][]byte
	for _, e := range a.events() {
		events, err := s.out.encode(e)
		if err != nil {
			return nil, err
		}
		out = append(out, events...)
	}
	return out, nil
}

// Stream converts one stream. Not safe for concurrent use.
type Stream struct {
	conversion *Conversion
	in         decoder
	out        encoder
	stops      stopper
	sealer     sealer
	given      map[string]bool // ids of calls
	last       eventKind       // evNone: nothing came yet
}

// decoder reads a provider's stream, event by event; end is what is said when
// there are no more, told that the provider had [DONE] for it.
type decoder interface {
	decode(data gjson.Result) ([]event, error)
	end(told bool) ([]event, error)
}

// encoder makes a client's stream. Each result is one server-sent event.
type encoder interface {
	encode(event) ([][]byte, error)
}

// Stream begins a stream of the answer.
func (c *Conversion) Stream() *Stream {
	out := protocols[c.client].encoder(c.usage)
	if c.client == Responses {
		out = c.responsesEncoder()
	}
	return &Stream{conversion: c, in: protocols[c.provider].decoder(), stops: stopper{stops: c.stops}, out: out, given: map[string]bool{}}
}

// Event converts the data of one event; end says that the answer is complete.
func (s *Stream) Event(data []byte) (out [][]byte, end bool, err error) {
	if len(data) == 0 {
		return nil, false, nil
	}
	var events []event
	if string(data) == "[DONE]" {
		events, err = s.in.end(true)
	} else if !json.Valid(data) {
		err = fmt.Errorf("%w: an event is no JSON", errMalformed)
	} else {
		events, err = s.in.decode(gjson.ParseBytes(data))
	}
	out, err = s.encode(events, err)
	return out, s.last == evEnd, err
}

// End converts the end of the provider's stream.
func (s *Stream) End() ([][]byte, error) {
	events, err := s.in.end(false)
	return s.encode(events, err)
}

// Seals are what has to be kept of the answer so far, once: see Conversion.Seals.
// There are none before the answer is complete.
func (s *Stream) Seals() map[string][]byte {
	if s.last != evEnd {
		return nil
	}
	return s.sealer.done()
}

// encode gives what was converted before an error together with it.
func (s *Stream) encode(events []event, err error) (out [][]byte, _ error) {
	var passed []event
	for _, e := range events {
		passed = append(passed, s.stops.pass(e)...)
	}
	for _, e := range passed {
		s.conversion.toClient(&e.name, &e.id, &e.custom, s.given)
		s.sealer.take(e, s.conversion.plain)
		if e.kind == evSeal || e.kind == evThought && !s.conversion.thoughts {
			continue
		}
		if e.kind == evStart {
			e.model = cmp.Or(e.model, s.conversion.model)
		}
		if !e.kind.follows(s.last) {
			return out, fmt.Errorf("%w: its events are out of order", errMalformed)
		}
		s.last = e.kind
		made, encodeErr := s.out.encode(e)
		out = append(out, made...)
		if encodeErr != nil {
			return out, encodeErr
		}
	}
	return out, err
}
