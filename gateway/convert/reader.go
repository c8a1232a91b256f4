package convert

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"github.com/tidwall/gjson"
)

// reader reads a client's request and keeps the first thing that is wrong.
type reader struct {
	provider Format
	shared   bool // see Options.Shared
	err      error
}

func (r *reader) refuse(field, why string, args ...any) {
	if r.err == nil {
		r.err = &FieldError{field, fmt.Sprintf(why, args...)}
	}
}

// unable refuses a field that is right but cannot be said to the provider.
func (r *reader) unable(field string) {
	r.refuse(field, "cannot be converted for a %v provider: leave it out, or choose a provider of your own protocol", r.provider)
}

// object goes through the fields of an object, null ones excepted; a field that
// take does not know is refused.
func (r *reader) object(path string, o gjson.Result, take func(field, key string, v gjson.Result) bool) {
	if !o.IsObject() {
		r.refuse(orBody(path), "is not an object")
		return
	}
	o.ForEach(func(k, v gjson.Result) bool {
		field := join(path, k.Str)
		if v.Type != gjson.Null && !take(field, k.Str, v) {
			r.unable(field)
		}
		return r.err == nil
	})
}

// list goes through an array.
func (r *reader) list(path string, a gjson.Result, take func(field string, v gjson.Result)) {
	if !a.IsArray() {
		r.refuse(path, "is not an array")
		return
	}
	i := 0
	a.ForEach(func(_, v gjson.Result) bool {
		take(join(path, strconv.Itoa(i)), v)
		i++
		return r.err == nil
	})
}

func (r *reader) text(field string, v gjson.Result) string {
	if v.Type != gjson.String {
		r.refuse(field, "is not a string")
	}
	return v.Str
}

// textParts is a text as parts of a turn; an empty one is none.
func textParts(field, s string) []part {
	if s == "" {
		return nil
	}
	return []part{{kind: textPart, field: field, text: s}}
}

func (r *reader) flag(field string, v gjson.Result) bool {
	if v.Type != gjson.True && v.Type != gjson.False {
		r.refuse(field, "is not true or false")
	}
	return v.Type == gjson.True
}

func (r *reader) number(field string, v gjson.Result) number {
	if v.Type != gjson.Number {
		r.refuse(field, "is not a number")
	}
	return number{v.Raw, field}
}

// only refuses every value but one.
func (r *reader) only(field string, v gjson.Result, want string) {
	if v.Raw != want {
		r.unable(field)
	}
}

// rawObject is the text of an object.
func (r *reader) rawObject(field string, v gjson.Result) string {
	if !v.IsObject() {
		r.refuse(field, "is not an object")
	}
	return v.Raw
}

func (r *reader) texts(field string, v gjson.Result) (out []string) {
	r.list(field, v, func(field string, v gjson.Result) { out = append(out, r.text(field, v)) })
	return out
}

func join(path, key string) string {
	if key == "" { // it has to be named all the same
		key = `""`
	}
	if path == "" {
		return key
	}
	return path + "." + key
}

func orBody(path string) string {
	if path == "" {
		return "body"
	}
	return path
}

// marshal writes what was built of maps, slices and raw JSON. That fails, with
// nothing written, only where raw JSON in its new place is nested too deeply.
func marshal(v any) []byte {
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(v)
	return bytes.TrimRight(buf.Bytes(), "\n")
}

// object is a JSON object to be written.
type object = map[string]any

func rawJSON(s string) json.RawMessage { return json.RawMessage(s) }

// put writes a number where it is given.
func (n number) put(o object, key string) {
	if n.set() {
		o[key] = rawJSON(n.raw)
	}
}

// newID makes an id for what has none, in the style of its protocol.
func newID(prefix string) string {
	var b [12]byte
	_, _ = rand.Read(b[:]) // never fails
	return prefix + hex.EncodeToString(b[:])
}

var plainID = regexp.MustCompile(`^[a-zA-Z0-9_-]{1,40}$`)

// portableID is an id of a call that every provider takes: as it is where
// possible, else one that follows from it, so that call and result still match.
func portableID(id string) string {
	if plainID.MatchString(id) {
		return id
	}
	sum := sha256.Sum256([]byte(id))
	return "call_" + hex.EncodeToString(sum[:12])
}

// callID is the id of a call that a provider made, or a new one.
func callID(id string) string {
	if id == "" {
		return newID("call_")
	}
	return portableID(id)
}

// validArgs is the arguments of a call as an object; none at all is an empty one.
// They must not be so deep that they cannot be written inside something else.
func validArgs(s string) (string, bool) {
	if strings.TrimSpace(s) == "" {
		return "{}", true
	}
	const open, shut = "[[[[[[[[[[[[[[[[", "]]]]]]]]]]]]]]]]"
	return s, json.Valid([]byte(s)) && json.Valid([]byte(open+s+shut)) && gjson.Parse(s).IsObject()
}

// sse is one server-sent event.
func sse(name string, v any) []byte {
	var buf bytes.Buffer
	if name != "" {
		buf.WriteString("event: " + name + "\n")
	}
	buf.WriteString("data: ")
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(v) // with a line end
	buf.WriteByte('\n')
	return buf.Bytes()
}

// sseText is an event of which only one text differs from event to event, which is
// what nearly all events of a stream are: begin and end are the JSON around it.
func sseText(begin, text, end string) []byte {
	quoted := marshal(text)
	out := make([]byte, 0, len(begin)+len(quoted)+len(end)+2)
	out = append(append(append(out, begin...), quoted...), end...)
	return append(out, "\n\n"...)
}
