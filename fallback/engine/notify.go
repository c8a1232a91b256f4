package engine

import (
	"fmt"
	"strings"
)

// eventClass is a class of keyspace events, as the letters of notify-keyspace-events
// name them.
type eventClass uint16

const (
	eventKeyspace eventClass = 1 << iota // K: published by key
	eventKeyevent                        // E: published by event
	eventGeneric                         // g
	eventString                          // $
	eventList                            // l
	eventSet                             // s
	eventHash                            // h
	eventZset                            // z
	eventExpired                         // x
	eventEvicted                         // e
	eventStream                          // t
	eventMiss                            // m
	eventModule                          // d
	eventNew                             // n

	eventAll = eventGeneric | eventString | eventList | eventSet | eventHash | eventZset |
		eventExpired | eventEvicted | eventStream | eventModule // A
)

const eventLetters = "KEg$lshzxetmdn"

// parseEvents reads the value of notify-keyspace-events.
func parseEvents(s string) (f eventClass, ok bool) {
	for i := range len(s) {
		at := strings.IndexByte(eventLetters, s[i])
		switch {
		case s[i] == 'A':
			f |= eventAll
		case at < 0:
			return 0, false
		default:
			f |= 1 << at
		}
	}
	return f, true
}

// String is the value as CONFIG GET gives it.
func (f eventClass) String() string {
	var out []byte
	rest := f
	if f&eventAll == eventAll {
		out, rest = append(out, 'A'), f&^eventAll
	}
	for _, i := range []int{2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 13, 0, 1, 11} {
		if rest&(1<<i) != 0 {
			out = append(out, eventLetters[i])
		}
	}
	return string(out)
}

// keyEvent is something that happened to a key.
type keyEvent struct {
	db        int
	name, key string
}

// SetEvents says which keyspace events Config.Notify is told of, as the value of
// notify-keyspace-events does.
func (e *Engine) SetEvents(classes string) error {
	f, ok := parseEvents(classes)
	if !ok {
		return fmt.Errorf("notify-keyspace-events %q: unknown class of events, use those of %s and A", classes, eventLetters)
	}
	e.events = f
	return nil
}

// notify is event of the class that the command's family has.
func (c *call) notify(name, key string) {
	class := eventGeneric
	if c.spec != nil && !genericEvents[name] {
		class = c.spec.class
	}
	c.e.event(class, name, c.db, key)
}

// genericEvents are of that class whatever command brings them about.
var genericEvents = map[string]bool{"del": true, "expire": true, "persist": true}

// streamEvents are the events of the commands on streams.
var streamEvents = map[string]string{"XADD": "xadd", "XDEL": "xdel", "XTRIM": "xtrim", "XSETID": "xsetid",
	"XGROUP CREATE": "xgroup-create", "XGROUP DESTROY": "xgroup-destroy", "XGROUP SETID": "xgroup-setid",
	"XGROUP CREATECONSUMER": "xgroup-createconsumer", "XGROUP DELCONSUMER": "xgroup-delconsumer"}

// notifyStream notes the event of a command on a stream that has changed it.
func (c *call) notifyStream() {
	name := strings.ToUpper(c.args[0])
	if name == "XGROUP" {
		name += " " + strings.ToUpper(c.args[1])
	}
	if keys := c.keys(); streamEvents[name] != "" && len(keys) > 0 {
		c.notify(streamEvents[name], keys[0])
		if name == "XADD" && c.hasTrimmed {
			c.notify("xtrim", keys[0])
		}
	}
}

// isNew notes that a key that does not exist is about to be made.
func (c *call) isNew(key string) {
	if c.e.events&eventNew != 0 && c.e.find(c.db, key) == nil {
		c.e.event(eventNew, "new", c.db, key)
	}
}

// noteMisses notes the keys of a read that do not exist.
func (c *call) noteMisses() {
	name := strings.ToUpper(c.args[0])
	if name == "GET" || name == "OBJECT" {
		return // the one does it itself, the other does not look
	}
	for _, key := range c.keys() {
		if c.e.find(c.db, key) == nil {
			c.missed(key)
		}
	}
}

// event tells Config.Notify of something that happened to a key, if the configuration
// asks for it: at the end of the command, and not at all if that fails.
func (e *Engine) event(class eventClass, name string, db int, key string) {
	if e.events&class == 0 || e.cfg.Notify == nil {
		return
	}
	e.happened = append(e.happened, keyEvent{db, name, key})
	if !e.executing {
		e.tell()
	}
}

// tell passes on what happened.
func (e *Engine) tell() {
	for _, ev := range e.happened {
		e.cfg.Notify(ev.db, ev.name, ev.key, e.events&eventKeyspace != 0, e.events&eventKeyevent != 0)
	}
	clear(e.happened)
	e.happened = e.happened[:0]
}
