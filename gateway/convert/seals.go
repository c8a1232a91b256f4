package convert

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"slices"
	"strings"
)

// A provider wants some of what its model thought back with the calls that followed
// it: Claude its signed blocks, OpenAI its sealed items, Gemini a signature of the
// call, others the plain text. Most clients of another protocol have no place for it.
// So it is kept under the call that it belongs to (Conversion.Seals), and put back in
// front of it while the model still works with its result (Options.Seals). It is for
// the account that gave it and no other.

// seal is what belongs to one call.
type seal struct {
	Thoughts []sealed `json:"thoughts,omitempty"` // in front of the call, in order
	Call     string   `json:"call,omitempty"`     // signature of the call itself
}

// sealed is one thought as its provider wants to see it again.
type sealed struct {
	Text      string `json:"text,omitempty"`
	Signature string `json:"signature,omitempty"` // Claude's
	Data      string `json:"data,omitempty"`      // what only the provider can read
	ID        string `json:"id,omitempty"`        // of OpenAI's item
}

// maxSeal bounds what is kept of one answer: what is larger is not kept.
const maxSeal = 512 << 10

// sealKey names a call: as the client knows it, whatever way it writes the arguments.
// Some providers count their calls anew in each answer, so the id alone is not enough.
func sealKey(id, name, args string) string {
	var v any
	if json.Unmarshal([]byte(args), &v) == nil {
		args = string(marshal(v)) // keys sorted
	}
	sum := sha256.Sum256([]byte(portableID(id) + "\x00" + name + "\x00" + args))
	return hex.EncodeToString(sum[:16])
}

// sealer collects what has to be kept of one answer.
type sealer struct {
	text     strings.Builder // thought since the last seal or call
	thoughts []sealed
	open     *sealedCall
	calls    []*sealedCall
	size     int
}

type sealedCall struct {
	seal
	id, name string
	args     strings.Builder
}

// take notes an event; plain says that the provider wants plain thoughts back.
func (s *sealer) take(e event, plain bool) {
	s.size += len(e.text)
	if s.size > maxSeal && e.kind != evText {
		*s = sealer{size: s.size}
		return
	}
	switch e.kind {
	case evText:
		s.size -= len(e.text) // nothing of it is held
	case evThought:
		s.text.WriteString(e.text)
	case evSeal:
		t := *e.seal
		if t.Text == "" {
			t.Text = s.text.String()
		}
		s.text.Reset()
		s.size += len(t.Signature) + len(t.Data)
		s.thoughts = append(s.thoughts, t)
	case evCall:
		if text := s.text.String(); plain && text != "" {
			s.thoughts = append(s.thoughts, sealed{Text: text})
		}
		s.text.Reset()
		s.open = nil
		if len(s.thoughts) > 0 || e.signature != "" {
			s.open = &sealedCall{seal: seal{s.thoughts, e.signature}, id: e.id, name: e.name}
			s.calls, s.thoughts = append(s.calls, s.open), nil
		}
	case evArgs:
		if s.open != nil {
			s.open.args.WriteString(e.text)
		}
	}
}

// done gives what has to be kept, by the key of its call.
func (s *sealer) done() map[string][]byte {
	if len(s.calls) == 0 {
		return nil
	}
	out := map[string][]byte{}
	for _, c := range s.calls {
		out[sealKey(c.id, c.name, c.args.String())] = marshal(c.seal)
	}
	s.calls = nil
	return out
}

// sealsOf is the same for a whole answer.
func sealsOf(a *answer, plain bool) map[string][]byte {
	if !plain && !slices.ContainsFunc(a.parts, func(p part) bool { return p.own != nil || p.signature != "" }) {
		return nil
	}
	s := &sealer{}
	for _, e := range a.events() {
		s.take(e, plain)
	}
	return s.done()
}

// loop is the turns in which the model works: from the last words of the user that
// are not beside the result of a call.
func (q *request) loop() []turn {
	for i := len(q.turns) - 1; i >= 0; i-- {
		t := q.turns[i]
		if t.role == user && !slices.ContainsFunc(t.parts, func(p part) bool { return p.kind == resultPart }) {
			return q.turns[i+1:]
		}
	}
	return q.turns
}

// maxRecalls bounds the calls that are looked for, the newest first.
const maxRecalls = 256

// recalls are the keys of the calls in the loop.
func (q *request) recalls() (keys []string) {
	for _, t := range slices.Backward(q.loop()) {
		for _, p := range slices.Backward(t.parts) {
			if p.kind == callPart && len(keys) < maxRecalls {
				keys = append(keys, sealKey(p.id, p.name, p.args))
			}
		}
	}
	return keys
}

// restore puts what was kept in front of the calls that it belongs to.
func (q *request) restore(seals map[string][]byte) {
	loop := q.loop()
	for i := range loop {
		t := &loop[i]
		var parts []part
		for _, p := range t.parts {
			var s seal
			if p.kind != callPart || json.Unmarshal(seals[sealKey(p.id, p.name, p.args)], &s) != nil {
				parts = append(parts, p)
				continue
			}
			var own []part
			for _, th := range s.Thoughts {
				own = append(own, part{kind: thoughtPart, field: p.field, text: th.Text, own: &th})
			}
			if len(own) > 0 && !slices.ContainsFunc(parts, func(p part) bool { return p.kind == callPart }) {
				parts = slices.DeleteFunc(parts, func(p part) bool { return p.kind == thoughtPart })
				parts = append(own, parts...) // it thought before it spoke
			} else {
				parts = append(parts, own...)
			}
			p.signature = s.Call
			parts = append(parts, p)
		}
		t.parts = parts
	}
}

// sealedLoop reports whether each call in the loop has the thoughts in front of it
// that it came with, so that the model can go on to think.
func (q *request) sealedLoop() bool {
	for _, t := range q.loop() {
		if t.role == assistant && (len(t.parts) == 0 || t.parts[0].own == nil) {
			return false
		}
	}
	return true
}
