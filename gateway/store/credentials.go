package store

import (
	"encoding/json"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/tidwall/gjson"
)

// The names that token files use, camelCase and snake_case. The first one that
// is there and not empty counts.
var (
	accessNames  = []string{"accessToken", "access_token"}
	refreshNames = []string{"refreshToken", "refresh_token"}
	idNames      = []string{"idToken", "id_token"}
	expiryNames  = []string{"expiresAt", "expires_at", "expiryDate", "expiry_date", "expired", "expiry"}
	lastNames    = []string{"lastRefresh", "last_refresh"}
)

// secondsBelow tells seconds from milliseconds: as seconds it is the year 5138,
// as milliseconds it is 1973.
const secondsBelow = 100_000_000_000

// isoForm is how times are written, as JavaScript does.
const isoForm = "2006-01-02T15:04:05.000Z"

// Credentials are what a token's JSON says. They are secrets.
type Credentials struct {
	Access, Refresh string
	Expiry          time.Time // zero: not known
	// TokenURI, ClientID and ClientSecret are for refreshing, where the file has
	// its own.
	TokenURI, ClientID, ClientSecret string
}

// ParseCredentials reads a token's JSON. Text that is no JSON object gives none.
func ParseCredentials(raw []byte) Credentials {
	if !ValidObject(raw) {
		return Credentials{}
	}
	c := Credentials{
		Access: firstString(raw, accessNames...), Refresh: firstString(raw, refreshNames...),
		TokenURI:     firstString(raw, "tokenUri", "token_uri"),
		ClientID:     firstString(raw, "clientId", "client_id"),
		ClientSecret: firstString(raw, "clientSecret", "client_secret"),
	}
	for _, name := range expiryNames {
		if v, ok := Member(raw, name); ok && c.Expiry.IsZero() {
			c.Expiry, _ = readTime(v)
		}
	}
	return c
}

func firstString(raw []byte, names ...string) string {
	for _, name := range names {
		if v, ok := Member(raw, name); ok && v.Type == gjson.String && v.String() != "" {
			return v.String()
		}
	}
	return ""
}

// timeForm is how a time is written in a token's JSON.
type timeForm struct{ iso, quoted, seconds bool }

// readTime reads a time: ISO, or seconds or milliseconds as a number or as its
// text. What is none of these, null included, is the zero time.
func readTime(v gjson.Result) (time.Time, timeForm) {
	form := timeForm{quoted: v.Type == gjson.String}
	if v.Type != gjson.Number && v.Type != gjson.String {
		return time.Time{}, form
	}
	text := strings.TrimSpace(v.String())
	if v.Type == gjson.Number {
		text = v.Raw
	}
	if n, err := strconv.ParseFloat(text, 64); err == nil {
		form.seconds = n < secondsBelow
		if form.seconds {
			n *= 1000
		}
		if n <= 0 || math.IsNaN(n) || n >= 1<<53 {
			return time.Time{}, form
		}
		return time.UnixMilli(int64(n)), form
	}
	form.iso = true
	for _, layout := range []string{time.RFC3339, "2006-01-02T15:04:05", time.DateTime} {
		if at, err := time.Parse(layout, text); err == nil {
			return at, form
		}
	}
	return time.Time{}, form
}

// write is a time in that form; the zero time is null, which readers take for
// not known.
func (f timeForm) write(at time.Time) []byte {
	if at.IsZero() {
		return []byte("null")
	}
	text := strconv.FormatInt(at.UnixMilli(), 10)
	switch {
	case f.iso:
		text = at.UTC().Format(isoForm)
	case f.seconds:
		text = strconv.FormatInt(at.Unix(), 10)
	}
	if f.quoted {
		text = `"` + text + `"`
	}
	return []byte(text)
}

// Renewal is what a token endpoint answered. It holds secrets.
type Renewal struct {
	Access, Refresh, ID string    // "" where the answer has none
	Expiry              time.Time // zero: the answer does not say
	At                  time.Time // when it was answered
}

// Apply puts a renewal into a token's JSON: under the names, and with times in
// the form, that the JSON has. Every other byte stays.
func (r Renewal) Apply(raw []byte) []byte {
	camel := false
	for _, name := range []string{refreshNames[0], accessNames[0]} {
		_, has := Member(raw, name)
		camel = camel || has
	}
	raw = setNamed(raw, accessNames, camel, r.Access)
	if r.Refresh != "" {
		raw = setNamed(raw, refreshNames, camel, r.Refresh)
	}
	if r.ID != "" {
		raw = setPresent(raw, idNames, func(gjson.Result) []byte { return quote(r.ID) })
	}
	raw = setPresent(raw, lastNames, func(v gjson.Result) []byte {
		_, form := readTime(v)
		return form.write(r.At)
	})
	had := false
	raw = setPresent(raw, expiryNames, func(v gjson.Result) []byte {
		had = true
		_, form := readTime(v)
		if v.Type == gjson.Null {
			form = timeForm{iso: camel, quoted: camel}
		}
		return form.write(r.Expiry)
	})
	switch {
	case had || r.Expiry.IsZero():
	case camel:
		raw = SetMember(raw, "expiresAt", timeForm{iso: true, quoted: true}.write(r.Expiry))
	default:
		raw = SetMember(raw, "expiry_date", timeForm{}.write(r.Expiry))
	}
	return raw
}

// setNamed sets every one of names that is there; where none is, the camelCase
// or the snake_case one is added.
func setNamed(raw []byte, names []string, camel bool, value string) []byte {
	had := false
	raw = setPresent(raw, names, func(gjson.Result) []byte { had = true; return quote(value) })
	if had {
		return raw
	}
	name := names[1]
	if camel {
		name = names[0]
	}
	return SetMember(raw, name, quote(value))
}

// setPresent sets those of names that are there. What is neither text, number nor
// null is something else of the same name and stays.
func setPresent(raw []byte, names []string, value func(gjson.Result) []byte) []byte {
	for _, name := range names {
		old, ok := Member(raw, name)
		if ok && (old.Type == gjson.String || old.Type == gjson.Number || old.Type == gjson.Null) {
			raw = SetMember(raw, name, value(old))
		}
	}
	return raw
}

func quote(s string) []byte {
	out, _ := json.Marshal(s) // a string cannot fail
	return out
}
