package store

import (
	"bytes"
	"encoding/json"
	"math/big"
	"strconv"
	"strings"

	"github.com/tidwall/gjson"
)

var bom = []byte("\xef\xbb\xbf")

// TrimBOM drops a UTF-8 byte order mark. Values are stored with theirs, so
// everybody who looks into one trims it first.
func TrimBOM(raw []byte) []byte { return bytes.TrimPrefix(raw, bom) }

// ValidObject reports whether raw is one JSON object, a byte order mark allowed.
func ValidObject(raw []byte) bool {
	raw = bytes.TrimSpace(TrimBOM(raw))
	return len(raw) > 0 && raw[0] == '{' && json.Valid(raw)
}

// Member finds a member of the JSON object raw. Of duplicate keys the last one
// counts, as in every JSON reader that builds a map. The result's Index is the
// place of its bytes in raw.
func Member(raw []byte, name string) (value gjson.Result, ok bool) {
	Members(raw, func(key string, v gjson.Result) {
		if key == name {
			value, ok = v, true
		}
	})
	return value, ok
}

// Members calls visit for each member of the JSON object raw, in order.
func Members(raw []byte, visit func(key string, value gjson.Result)) {
	skip := len(raw) - len(TrimBOM(raw))
	doc := gjson.ParseBytes(raw[skip:])
	if !doc.IsObject() {
		return
	}
	lead := bytes.IndexByte(raw, '{')
	doc.Index = 0
	doc.ForEach(func(key, v gjson.Result) bool {
		v.Index += lead
		visit(key.String(), v)
		return true
	})
}

// SetMember gives back the JSON object raw with one member set to the JSON text
// value; every other byte stays. Of duplicate keys the last one is set; an
// absent member is added at the end. raw that is no object comes back as it is.
func SetMember(raw []byte, name string, value []byte) []byte {
	if old, ok := Member(raw, name); ok {
		return splice(raw, old.Index, old.Index+len(old.Raw), value)
	}
	end := bytes.LastIndexByte(raw, '}')
	if end < 0 || !gjson.ParseBytes(TrimBOM(raw)).IsObject() {
		return raw
	}
	at := len(bytes.TrimRight(raw[:end], " \t\r\n"))
	key, _ := json.Marshal(name)
	add := append(append(key, ':'), value...)
	if raw[at-1] != '{' {
		add = append([]byte{','}, add...)
	}
	return splice(raw, at, at, add)
}

func splice(raw []byte, from, to int, value []byte) []byte {
	out := make([]byte, 0, len(raw)-(to-from)+len(value))
	out = append(out, raw[:from]...)
	out = append(out, value...)
	return append(out, raw[to:]...)
}

// addToMember adds delta to a numeric member of raw. A member that is absent or
// no number counts as 0; integers of any size stay exact.
func addToMember(raw []byte, name string, delta int64) []byte {
	if delta == 0 {
		return raw
	}
	sum := big.NewInt(delta)
	if v, ok := Member(raw, name); ok {
		sum.Add(sum, integer(v))
	}
	return SetMember(raw, name, []byte(sum.String()))
}

// maxDigits bounds a number's text, so that no entry can make us compute for long.
const maxDigits = 64

func integer(v gjson.Result) *big.Int {
	text := strings.TrimSpace(v.String())
	if v.Type == gjson.Number {
		text = v.Raw
	}
	if n, ok := new(big.Int).SetString(text, 10); ok && len(text) <= maxDigits {
		return n
	}
	if f, err := strconv.ParseFloat(text, 64); err == nil && f < 1<<62 && f > -(1<<62) {
		return big.NewInt(int64(f))
	}
	return new(big.Int)
}
