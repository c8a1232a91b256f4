package store

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

func TestParseCredentials(t *testing.T) {
	at := time.Date(2026, 2, 3, 4, 5, 6, 0, time.UTC)
	for raw, want := range map[string]Credentials{
		`{"accessToken":"a","refreshToken":"r","expiresAt":"2026-02-03T04:05:06Z","clientId":"c","clientSecret":"s"}`: {Access: "a", Refresh: "r", Expiry: at, ClientID: "c", ClientSecret: "s"},
		`{"accessToken":"a","refreshToken":"r","expiresAt":1770091506000,"x":{"accessToken":"no"}}`:                   {Access: "a", Refresh: "r", Expiry: at},
		"\ufeff" + `{"access_token":"a","refresh_token":"r","expiry_date":1770091506000,"token_uri":"http://t"}`:      {Access: "a", Refresh: "r", Expiry: at, TokenURI: "http://t"},
		`{"access_token":"a","refresh_token":"r","expiry_date":"1770091506000"}`:                                      {Access: "a", Refresh: "r", Expiry: at},
		`{"access_token":"a","refresh_token":"r","expires_at":1770091506}`:                                            {Access: "a", Refresh: "r", Expiry: at},
		`{"access_token":"a","refresh_token":"","expired":"2026-02-03T12:05:06+08:00"}`:                               {Access: "a", Expiry: at},
		`{"accessToken":"a","expiryDate":null,"expiry_date":"soon"}`:                                                  {Access: "a"},
		`{"access_token":"a","expiry_date":-1}`:                                                                       {Access: "a"},
		`{"access_token":"","accessToken":"a","refresh_token":5}`:                                                     {Access: "a"},
		`["access_token"]`: {},
		``:                 {},
	} {
		got := ParseCredentials([]byte(raw))
		assert.True(t, want.Expiry.Equal(got.Expiry), "%s: %v", raw, got.Expiry)
		got.Expiry, want.Expiry = time.Time{}, time.Time{}
		assert.Equal(t, want, got, raw)
	}
}

func TestRenewalKeepsEveryOtherByte(t *testing.T) {
	at := time.Date(2026, 2, 3, 4, 5, 6, 7e6, time.UTC)
	full := Renewal{Access: "A", Refresh: "R", ID: "I", Expiry: at.Add(time.Hour), At: at}
	for _, c := range []struct {
		name, raw, want string
		renewal         Renewal
	}{
		{"T1", `{ "accessToken":"a","refreshToken":"r", "profileArn":"p/\u0041","expiresAt":"2025-01-01T00:00:00Z","big":12345678901234567890 }`,
			`{ "accessToken":"A","refreshToken":"R", "profileArn":"p/\u0041","expiresAt":"2026-02-03T05:05:06.007Z","big":12345678901234567890 }`, full},
		{"T3", `{"accessToken":"a","refreshToken":"r","expiresAt":1,"x":{"y":[]},"expiresAt":1769000000000}`,
			`{"accessToken":"A","refreshToken":"R","expiresAt":1,"x":{"y":[]},"expiresAt":1770095106007}`, full},
		{"T4", `{"access_token":"a","scope":"s","id_token":"i","refresh_token":"r","expiry_date":1769000000000}`,
			`{"access_token":"A","scope":"s","id_token":"I","refresh_token":"R","expiry_date":1770095106007}`, full},
		{"T5 without an expiry", `{"access_token":"a","refresh_token":"r"}`, `{"access_token":"A","refresh_token":"R","expiry_date":1770095106007}`, full},
		{"T7 text", `{"access_token":"a","refresh_token":"r","expiry_date":"1769000000000"}`, `{"access_token":"A","refresh_token":"R","expiry_date":"1770095106007"}`, full},
		{"seconds", `{"access_token":"a","refresh_token":"r","expires_at":1769000000}`, `{"access_token":"A","refresh_token":"R","expires_at":1770095106}`, full},
		{"T8", `{"id_token":"i","access_token":"a","refresh_token":"r","last_refresh":"2025-01-01T00:00:00Z","expired":"2025-01-01T00:00:00+08:00"}`,
			`{"id_token":"I","access_token":"A","refresh_token":"R","last_refresh":"2026-02-03T04:05:06.007Z","expired":"2026-02-03T05:05:06.007Z"}`, full},
		{"not rotated, no end", `{"access_token":"a","refresh_token":"r","expiry_date":1769000000000}`, `{"access_token":"A","refresh_token":"r","expiry_date":null}`, Renewal{Access: "A"}},
		{"again", `{"accessToken":"a","refreshToken":"r","expiresAt":null}`, `{"accessToken":"A","refreshToken":"R","expiresAt":"2026-02-03T05:05:06.007Z"}`, full},
		{"a flag is no time", `{"access_token":"a","refresh_token":"r","expired":false,"expiry":{"x":1}}`, `{"access_token":"A","refresh_token":"R","expired":false,"expiry":{"x":1},"expiry_date":1770095106007}`, full},
		{"refresh token only", `{"refresh_token":"r"}`, `{"refresh_token":"R","access_token":"A","expiry_date":1770095106007}`, full},
		{"quotes", `{"refreshToken":"r"}`, `{"refreshToken":"r","accessToken":"\"\\"}`, Renewal{Access: `"\`}},
	} {
		assert.Equal(t, c.want, string(c.renewal.Apply([]byte(c.raw))), c.name)
	}
}
