package convert

import (
	"fmt"
	"slices"
	"strings"
)

// Stop sequences that a provider does not take are looked for here: what the model
// says ends in front of the first, as it would at a provider that knows them. The
// provider goes on to its own end, of which the usage tells.
const (
	maxStops      = 64
	maxStopLength = 1 << 10
)

// stopsFor is the stop sequences that go to the provider: as many as it takes, of
// those that it takes. The others are left for a stopper.
func (q *request) stopsFor(limit int, takes func(string) bool) (passed []string, err error) {
	for _, s := range q.stop {
		switch {
		case s == "":
		case len(passed) < limit && takes(s):
			passed = append(passed, s)
		case len(s) > maxStopLength:
			return nil, &FieldError{q.stopField, fmt.Sprintf("has a sequence of more than %d bytes, which the provider does not take", maxStopLength)}
		default:
			q.cut = append(q.cut, s)
		}
	}
	if len(q.cut) > maxStops {
		return nil, &FieldError{q.stopField, fmt.Sprintf("has more sequences than the provider takes and the gateway looks for (%d)", maxStops)}
	}
	return passed, nil
}

func anyStop(string) bool { return true }

// visibleStop: Claude takes no sequence of white space alone.
func visibleStop(s string) bool { return strings.TrimSpace(s) != "" }

// stopper ends what a model says in front of the first of some sequences. It holds
// back no more than what may be the beginning of one. The zero value stops nowhere.
type stopper struct {
	stops []string
	held  string
	hit   string // the sequence that was found; "": none yet
}

// text takes a piece of text and gives what may pass.
func (s *stopper) text(piece string) string {
	all := s.held + piece
	at := -1
	for _, stop := range s.stops {
		if i := strings.Index(all, stop); i >= 0 && (at < 0 || i < at) {
			at, s.hit = i, stop
		}
	}
	if at >= 0 {
		s.held = ""
		return all[:at]
	}
	keep := 0
	for _, stop := range s.stops {
		for n := min(len(stop)-1, len(all)); n > keep; n-- {
			if strings.HasSuffix(all, stop[:n]) {
				keep = n
			}
		}
	}
	s.held = all[len(all)-keep:]
	return all[:len(all)-keep]
}

// pass takes an event and gives those that go on.
func (s *stopper) pass(e event) (out []event) {
	switch {
	case len(s.stops) == 0:
		return []event{e}
	case s.hit == "" && e.kind == evText:
		e.text = s.text(e.text)
		if e.text == "" {
			return nil
		}
		return []event{e}
	case s.hit == "" && s.held != "":
		out = append(out, event{kind: evText, text: s.held})
		s.held = ""
	}
	switch {
	case s.hit == "":
		out = append(out, e)
	case e.kind == evEnd:
		e.finish, e.stopped = finishStop, s.hit
		out = append(out, e)
	}
	return out
}

// stopAt ends a whole answer in front of the first of some sequences.
func (a *answer) stopAt(stops []string) {
	s := &stopper{stops: stops}
	for i := range a.parts {
		p := &a.parts[i]
		if p.kind != textPart {
			continue
		}
		text := s.text(p.text)
		if s.hit == "" {
			s.held = "" // it is a part of this text, and a sequence does not span two
			continue
		}
		p.text = text
		a.parts = slices.DeleteFunc(a.parts[:i+1], func(p part) bool { return p.kind == textPart && p.text == "" })
		a.finish, a.stopped = finishStop, s.hit
		return
	}
}
