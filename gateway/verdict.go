package gateway

import (
	"fmt"
	"strings"
)

// Verdict says of a stored account whether requests can go to it: "will serve", or
// "stored only, because …". token says that there is a token for it; enabled, that
// its type is one of those that the configuration names.
func Verdict(typ string, entry []byte, token, enabled bool) string {
	info, _, known := lookupProvider(typ)
	a := parseAccount(accountID{Type: typ}, info, string(entry)).through(settings{})
	return verdict(a, info, known, token, enabled)
}

// EnabledTypes tells which of some stored types a configuration enables.
func EnabledTypes(config []byte, types []string) func(typ string) bool {
	raw := rawState{config: string(config), pools: map[string]map[string]string{}}
	for _, typ := range types {
		raw.pools[typ] = map[string]string{"": "{}"}
	}
	s := buildSnapshot(raw, sourceNone, "", nil)
	return func(typ string) bool { return s.pools[typ] != nil }
}

// willServe is the good verdict.
const willServe = "will serve"

func verdict(a *account, info providerInfo, known, token, enabled bool) string {
	why := ""
	switch {
	case !a.valid:
		why = "its entry is not a JSON object"
	case !known:
		why = "its type is none that is known here"
	case info.adapter == nil:
		why = "its provider speaks no public protocol"
	case a.disabled:
		why = "it is disabled (isDisabled)"
	case a.baseURL == "" && a.oauth:
		why = fmt.Sprintf("it has no %s, and its provider's own protocol is not spoken here", info.urlFields[0])
	case a.baseURL == "":
		why = "it has no " + info.urlFields[0]
	case a.key == "" && !a.oauth:
		why = "it has no " + strings.Join(info.keyFields, " or ")
	case a.badProxy != "":
		why = a.badProxy
	case !enabled:
		why = "its type is not one of those that DEFAULT_MODEL_PROVIDERS or MODEL_PROVIDER names"
	case a.key == "" && !token:
		why = "there is no token for it"
	}
	if why == "" {
		if _, err := (target{}).url(a.baseURL, nil); err != nil {
			why = info.urlFields[0] + " is not an http or https URL"
		}
	}
	if why == "" {
		return willServe
	}
	return "stored only, because " + why
}
