package gateway

import (
	"crypto/sha256"
	"crypto/subtle"
	"net/http"
	"strings"
)

// presentedKeys are the client keys a request carries, in any of the places
// that client libraries put them.
func presentedKeys(r *http.Request) []string {
	var out []string
	for _, v := range r.Header.Values("Authorization") {
		if scheme, token, ok := strings.Cut(v, " "); ok && strings.EqualFold(scheme, "Bearer") {
			out = append(out, strings.TrimSpace(token))
		}
	}
	out = append(out, r.Header.Values("X-Api-Key")...)
	out = append(out, r.Header.Values("X-Goog-Api-Key")...)
	return append(out, r.URL.Query()["key"]...)
}

// authorize checks the client key. Hashes are compared, all of them and in
// constant time, so neither length nor content of the key shows in the timing.
//
// With no key configured everything is refused, on loopback too: any page in a
// local browser can reach a loopback port, and an empty key that matched would
// let it spend the accounts.
func authorize(r *http.Request, s settings) *apiError {
	if !s.keySet {
		return &apiError{
			status: http.StatusUnauthorized, kind: kindAuthentication, code: "api_key_not_configured",
			message: "the gateway has no client API key, so it refuses every request: set REQUIRED_API_KEY in its configuration, or start it with --api-key",
		}
	}
	match := 0
	for _, key := range presentedKeys(r) {
		hash := sha256.Sum256([]byte(key))
		match |= subtle.ConstantTimeCompare(hash[:], s.keyHash[:])
	}
	if match == 1 {
		return nil
	}
	return &apiError{
		status: http.StatusUnauthorized, kind: kindAuthentication, code: "invalid_api_key",
		message: "missing or wrong API key: send the gateway's key as Authorization: Bearer, x-api-key, x-goog-api-key or ?key=",
	}
}
