package store

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestEqualInMeaning(t *testing.T) {
	for _, c := range []struct {
		a, b string
		same bool
	}{
		{`{"a":1,"b":[1,{"c":null}]}`, "\xef\xbb\xbf{ \"b\" : [ 1.0, {\"c\":null} ],\r\n\"a\":10e-1}", true},
		{`{"a":1e3,"b":0.10,"z":-0.0}`, `{"z":0,"b":1e-1,"a":1000}`, true},
		{`{"a":"\u0041\/é"}`, `{"a":"A/\u00e9"}`, true},
		{`{"a":1,"a":2}`, `{"a":2}`, true},
		{`{"n":12345678901234567890}`, `{"n":12345678901234567000}`, false},
		{`{"n":9007199254740993}`, `{"n":9007199254740992}`, false},
		{`{"n":1e999999999999999999999}`, `{"n":1e999999999999999999998}`, false},
		{`{"n":1e400}`, `{"n":10e399}`, true},
		{`{"n":"1"}`, `{"n":1}`, false},
		{`{"n":true}`, `{"n":false}`, false},
		{`{"n":null}`, `{}`, false},
		{`{"n":[]}`, `{"n":{}}`, false},
		{`[1,2]`, `[2,1]`, false},
		{`[1,2]`, `[1]`, false},
		{`[ ]`, `[]`, true},
		{"plain ", "plain", false},
		{"1", "1.0", false}, // a password, not a document
		{`{"a":1`, `{ "a":1`, false},
		{`{}`, ``, false},
	} {
		assert.Equal(t, c.same, Equal([]byte(c.a), []byte(c.b)), "%s %s", c.a, c.b)
		assert.Equal(t, c.same, Equal([]byte(c.b), []byte(c.a)), "%s %s", c.b, c.a)
	}
	deep := strings.Repeat("[", 100_000) + strings.Repeat("]", 100_000)
	assert.False(t, Equal([]byte(deep), []byte(" "+deep)), "and the stack holds")
}
