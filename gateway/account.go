package gateway

import (
	"bytes"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/tidwall/gjson"
)

// accountID names one provider account everywhere: in keys, logs and metrics.
type accountID struct{ Type, UUID string }

// LogValue keeps logs to the id; there is nothing secret in it.
func (id accountID) LogValue() slog.Value { return slog.StringValue(id.Type + "/" + id.UUID) }

// account is one entry of a pool, parsed once. It is immutable: what changes
// while the process runs (errors, last use) is the roster's.
type account struct {
	id  accountID
	raw string // the stored text; equal text is not parsed again

	valid     bool // the text is a JSON object
	disabled  bool
	unhealthy bool      // marked so in the store
	recoverAt time.Time // when the store's mark ends; zero: not by itself

	key, baseURL string
	credential   credential // how the key is presented
	// oauth accounts have no key of their own: their access token is it, and sign
	// has where to renew it (see tokens.go).
	oauth bool
	sign  signIn

	ownProxy proxyChoice
	via      string   // the proxy in use, as it is written
	proxy    *url.URL // nil: none, or badProxy says what is wrong with it
	badProxy string

	supported   []string
	denied      []string
	checkModel  string
	checkHealth bool
	name        string // customName
	managed     bool
	unused      []Unused // fields without effect
}

// LogValue shows the id alone: an account holds credentials.
func (a *account) LogValue() slog.Value { return a.id.LogValue() }

// parseAccount reads an entry. It never fails: an entry it cannot read is kept
// as not valid, so it shows in counts and is never chosen.
func parseAccount(id accountID, info providerInfo, raw string) *account {
	a := &account{id: id, raw: raw, managed: info.managed}
	if !gjson.Valid(raw) || !gjson.Parse(raw).IsObject() {
		return a
	}
	entry := gjson.Parse(raw)
	a.valid = true
	a.disabled = entry.Get("isDisabled").Bool()
	a.unhealthy = entry.Get("isHealthy").Type == gjson.False
	if at, err := time.Parse(time.RFC3339, entry.Get("scheduledRecoveryTime").String()); err == nil {
		a.recoverAt = at
	}
	a.key = firstText(entry, info.keyFields)
	a.baseURL = firstText(entry, info.urlFields)
	a.credential = info.credential
	if info.adapter != nil && info.adapter.wire() == wireAny {
		a.credential = forwardCredential(entry)
	}
	if a.key == "" {
		a.oauth, a.sign = parseSignIn(id.Type, entry)
	}
	a.ownProxy = parseProxyChoice(entry)
	a.supported = stringList(entry.Get("supportedModels"))
	a.denied = stringList(entry.Get("notSupportedModels"))
	a.checkHealth = entry.Get("checkHealth").Bool()
	a.name = entry.Get("customName").String()
	a.checkModel = entry.Get("checkModelName").String()
	a.unused = UnusedAccountFields([]byte(raw))
	return a
}

func firstText(entry gjson.Result, fields []string) string {
	for _, f := range fields {
		if v := strings.TrimSpace(text(entry.Get(f))); v != "" {
			return v
		}
	}
	return ""
}

func stringList(r gjson.Result) []string {
	var out []string
	if !r.IsArray() {
		return nil
	}
	for _, item := range r.Array() {
		if item.Type == gjson.String && item.Str != "" {
			out = append(out, item.Str)
		}
	}
	return out
}

// usable reports whether requests can go to the account at all: this gateway
// speaks its protocol and it says where to and with which credential.
func (a *account) usable(info providerInfo) bool {
	return info.adapter != nil && a.valid && !a.disabled && a.baseURL != "" && a.badProxy == "" && (a.key != "" || a.oauth)
}

// with is the account with an access token for its key, which every protocol
// takes as a bearer.
func (a *account) with(access string) *account {
	signed := *a
	signed.key, signed.credential = access, bearer
	return &signed
}

// present puts the account's credential on a request. It is the only place that
// does.
func (a *account) present(h http.Header) { h.Set(a.credential.header, a.credential.prefix+a.key) }

// redact takes the account's secrets out of what a provider says: some quote keys
// in their errors.
func (a *account) redact(text []byte) []byte {
	if a.key == "" {
		return text
	}
	return bytes.ReplaceAll(text, []byte(a.key), []byte("***"))
}

// serves reports whether the account's model lists let model pass; "" is a request
// that names none.
func (a *account) serves(model string) bool {
	if model == "" {
		return true
	}
	if a.managed && len(a.supported) > 0 {
		return contains(a.supported, model)
	}
	return !contains(a.denied, model)
}

// marked reports whether the store has the account as unhealthy now.
func (a *account) marked(now time.Time) bool {
	return a.unhealthy && (a.recoverAt.IsZero() || now.Before(a.recoverAt))
}

func contains(list []string, s string) bool {
	for _, v := range list {
		if v == s {
			return true
		}
	}
	return false
}
