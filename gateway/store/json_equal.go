package store

import (
	"bytes"
	"encoding/json"
	"strconv"
	"strings"

	"github.com/tidwall/gjson"
)

// maxEqualDepth bounds how deep two values are compared; what is nested deeper
// counts as different.
const maxEqualDepth = 200

// Equal reports whether two values are the same bytes, or JSON objects or arrays
// of the same meaning: white space, the order of members, the spelling of strings
// and numbers do not matter. Numbers are compared exactly, whatever their size; of
// duplicate keys the last one counts.
func Equal(a, b []byte) bool {
	if bytes.Equal(a, b) {
		return true
	}
	a, b = TrimBOM(a), TrimBOM(b)
	if !json.Valid(a) || !json.Valid(b) {
		return false
	}
	x, y := gjson.ParseBytes(a), gjson.ParseBytes(b)
	return x.Type == gjson.JSON && equal(x, y, 0)
}

func equal(a, b gjson.Result, depth int) bool {
	switch {
	case depth > maxEqualDepth || a.Type != b.Type:
		return false
	case a.Type == gjson.Number:
		return decimal(a.Raw) == decimal(b.Raw)
	case a.Type == gjson.String:
		return a.Str == b.Str
	case a.Type != gjson.JSON:
		return true
	case a.IsArray() != b.IsArray():
		return false
	case a.IsArray():
		x, y := a.Array(), b.Array()
		for i := range x {
			if len(x) != len(y) || !equal(x[i], y[i], depth+1) {
				return false
			}
		}
		return len(x) == len(y)
	}
	x, y := memberMap(a), memberMap(b)
	for key, v := range x {
		if w, ok := y[key]; !ok || !equal(v, w, depth+1) {
			return false
		}
	}
	return len(x) == len(y)
}

func memberMap(v gjson.Result) map[string]gjson.Result {
	out := map[string]gjson.Result{}
	v.ForEach(func(key, member gjson.Result) bool {
		out[key.String()] = member
		return true
	})
	return out
}

// decimal is the one spelling of a number's exact value: digits without zeros at
// either end, and a power of ten. An exponent too large for that stays as it is.
func decimal(raw string) string {
	mantissa, sign := strings.ToLower(raw), ""
	if rest, ok := strings.CutPrefix(mantissa, "-"); ok {
		mantissa, sign = rest, "-"
	}
	mantissa, exponent, _ := strings.Cut(mantissa, "e")
	power := 0
	if exponent != "" {
		var err error
		if power, err = strconv.Atoi(exponent); err != nil {
			return raw
		}
	}
	whole, fraction, _ := strings.Cut(mantissa, ".")
	digits := strings.TrimLeft(whole+fraction, "0")
	power -= len(fraction)
	short := strings.TrimRight(digits, "0")
	if short == "" {
		return "0"
	}
	return sign + short + "e" + strconv.Itoa(power+len(digits)-len(short))
}
