package gateway

import (
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/tidwall/gjson"

	"holdfast/gateway/store"
)

// oauthTypes are the base types whose accounts have a token rather than a key.
// Of the others, those have one whose entry names a token file.
var oauthTypes = []string{"openai-qwen-oauth", "openai-iflow", "openai-codex-oauth", "claude-kiro-oauth", "gemini-cli-oauth", "gemini-antigravity"}

// signIn is what an entry says about renewing its token.
type signIn struct{ tokenURL, clientID, clientSecret string }

// parseSignIn reads an entry that has no key. The fields' names begin with the
// provider's name, whatever it is.
func parseSignIn(typ string, entry gjson.Result) (oauth bool, s signIn) {
	for _, base := range oauthTypes {
		rest, ok := strings.CutPrefix(strings.ToLower(typ), base)
		oauth = oauth || ok && (rest == "" || rest[0] == '-')
	}
	find := func(suffixes ...string) (text string) {
		for _, suffix := range suffixes {
			entry.ForEach(func(key, v gjson.Result) bool {
				if v.Type == gjson.String && strings.HasSuffix(key.Str, suffix) {
					text = strings.TrimSpace(v.Str)
				}
				return text == ""
			})
			if text != "" {
				return text
			}
		}
		return ""
	}
	if !oauth && find("_CREDS_FILE_PATH", "_TOKEN_FILE_PATH") == "" {
		return false, s
	}
	return true, signIn{
		tokenURL: find("_REFRESH_URL", "_TOKEN_URL"),
		clientID: find("_CLIENT_ID"), clientSecret: find("_CLIENT_SECRET"),
	}
}

// or fills in what the entry does not say from the token itself.
func (s signIn) or(c store.Credentials) signIn {
	pick := func(a, b string) string {
		if a != "" {
			return a
		}
		return b
	}
	return signIn{pick(s.tokenURL, c.TokenURI), pick(s.clientID, c.ClientID), pick(s.clientSecret, c.ClientSecret)}
}

// tokenTrouble is why there is no access token to send.
type tokenTrouble int

const (
	signedOut tokenTrouble = iota // only a new sign-in or a changed entry helps
	failing                       // the token endpoint does not do what it should
	redisAway                     // nobody may renew: the lease is in Redis
	busy                          // it takes longer than a request may wait
)

// outcomes are their names in metrics.
var outcomes = [...]string{signedOut: "signed_out", failing: "failed", redisAway: "redis_away", busy: "busy"}

// tokenError says why an account has no access token. It holds no secrets: texts
// of a provider are not in it.
type tokenError struct {
	kind  tokenTrouble
	text  string
	retry time.Duration // when it may be otherwise; zero: not said
}

func (e *tokenError) Error() string { return e.text }

// attempt is how a try without a token ended. The account is not blamed here:
// who renews tokens counts what is its fault.
func (e *tokenError) attempt() attempt {
	codes := [...]string{signedOut: "account_signed_out", failing: "token_refresh_failed", redisAway: "token_refresh_needs_redis", busy: "token_refresh_pending"}
	retry := e.retry
	if retry <= 0 {
		retry = 5 * time.Second
	}
	return attempt{outcome: "no_token", retry: true, cause: e, failure: &apiError{
		status: http.StatusServiceUnavailable, kind: kindServer, code: codes[e.kind], retryAfter: retry,
		message: fmt.Sprintf("the chosen account has no valid access token: %s", e.text)}}
}

var (
	errNoToken   = &tokenError{kind: signedOut, text: "no token is stored for it: sign in, or import its token file"}
	errNoRefresh = &tokenError{kind: signedOut, text: "its access token has expired and there is no refresh token: sign in again"}
	errNoURL     = &tokenError{kind: signedOut, text: "it has expired, and no token URL says where to renew it: set a *_TOKEN_URL in the entry, or token_uri in the token"}
	errRedisAway = &tokenError{kind: redisAway, text: "it has expired and cannot be renewed while Redis is away"}
	errBusy      = &tokenError{kind: busy, text: "it is being renewed, which takes long"}
)
