package gateway

import (
	"fmt"
	"net"
	"strconv"
	"strings"

	"github.com/tidwall/gjson"

	"holdfast/gateway/store"
)

// honoured marks a setting that does here what it does in the original
// application.
const honoured = ""

// configFields are the fields of the original application's config.json, with what
// happens here instead of what they say there. Nothing is ignored in silence: a
// field that is not here is named as unknown.
var configFields = map[string]string{
	"REQUIRED_API_KEY": honoured, "SERVER_PORT": honoured, "HOST": honoured, "redis": honoured,
	"MODEL_PROVIDER": honoured, "DEFAULT_MODEL_PROVIDERS": honoured,
	"MAX_ERROR_COUNT": honoured, "CREDENTIAL_SWITCH_MAX_RETRIES": honoured,
	"RATE_LIMIT_COOLDOWN_MS": honoured, "RATE_LIMIT_COOLDOWN_MAX_MS": honoured,
	"CRON_NEAR_MINUTES": honoured, "CRON_REFRESH_TOKEN": honoured, "SCHEDULED_HEALTH_CHECK": honoured, "UI_ENABLED": honoured,
	"LOGIN_EXPIRY": honoured, "LOGIN_MAX_ATTEMPTS": honoured, "LOGIN_LOCKOUT_DURATION": honoured, "LOGIN_MIN_INTERVAL": honoured,
	"PROXY_URL": honoured, "PROXY_ENABLED_PROVIDERS": honoured,
	"SYSTEM_PROMPT_FILE_PATH": honoured, "SYSTEM_PROMPT_MODE": honoured, "SYSTEM_PROMPT_REPLACEMENTS": honoured,
	"providerFallbackChain": honoured, "modelFallbackMapping": honoured,
	"PROVIDER_POOLS_FILE_PATH": honoured, "CUSTOM_MODELS_FILE_PATH": honoured, // another place than the usual one is refused

	"RATE_LIMIT_COOLDOWN_ENABLED":   "an account with a 429 always rests",
	"RATE_LIMIT_COOLDOWN_JITTER_MS": "a rest ends when the provider says, without jitter",
	"PROMPT_LOG_MODE":               "prompts are never logged",
	"PROMPT_LOG_BASE_NAME":          "prompts are never logged",
	"REQUEST_MAX_RETRIES":           "a request goes to another account at once; CREDENTIAL_SWITCH_MAX_RETRIES bounds that",
	"REQUEST_BASE_DELAY":            "a request goes to another account at once",
	"TRUST_PROXY":                   "attempts to log in are counted by the address of the connection",
	"TRUSTED_PROXY_IPS":             "attempts to log in are counted by the address of the connection",
	"LOG_ENABLED":                   logsInstead, "LOG_OUTPUT_MODE": logsInstead, "LOG_LEVEL": logsInstead, "LOG_DIR": logsInstead,
	"LOG_INCLUDE_REQUEST_ID": logsInstead, "LOG_INCLUDE_TIMESTAMP": logsInstead, "LOG_MAX_FILE_SIZE": logsInstead, "LOG_MAX_FILES": logsInstead,
	"TLS_SIDECAR_ENABLED": tlsInstead, "TLS_SIDECAR_ENABLED_PROVIDERS": tlsInstead, "TLS_SIDECAR_PORT": tlsInstead,
	"TLS_SIDECAR_BINARY_PATH": tlsInstead, "TLS_SIDECAR_PROXY_URL": tlsInstead,
	"GROK_COOKIE_TOKEN": grokInstead, "GROK_CF_CLEARANCE": grokInstead, "GROK_USER_AGENT": grokInstead, "GROK_BASE_URL": grokInstead,
	"WARMUP_TARGET":                    "accounts need no warming up",
	"REFRESH_CONCURRENCY_GLOBAL":       "tokens are renewed when they are needed, each once for all gateways",
	"REFRESH_CONCURRENCY_PER_PROVIDER": "tokens are renewed when they are needed, each once for all gateways",
	"REFRESH_BUFFER_DELAY":             "tokens are renewed when they are needed, each once for all gateways",
	"REFRESH_TASK_TIMEOUT_MS":          "a renewal may take 20 s",
	"HEALTH_ALERT_WEBHOOK_URL":         "nothing is sent; /metrics and /provider_health tell",
	"MASTER_PORT":                      "there is one process, without a master",
	"REQUIRE_STORAGE_ADAPTER":          "Redis, files or the embedded store is always there",
}

const (
	logsInstead = "--log-level and --log-format of the command line count; the log goes to standard error"
	tlsInstead  = "providers are reached with Go's own TLS"
	grokInstead = "its provider speaks no public protocol"
)

// accountFields are those of an entry in provider_pools.json that need no word.
// The fields of keys, URLs and token files are recognised by their ends.
var accountFields = map[string]string{
	"uuid": honoured, "customName": honoured, "isHealthy": honoured, "isDisabled": honoured, "checkModelName": honoured, "checkHealth": honoured,
	"scheduledRecoveryTime": honoured, "supportedModels": honoured, "notSupportedModels": honoured,
	"usageCount": honoured, "errorCount": honoured, "refreshCount": honoured,
	"PROXY_URL": honoured, "PROXY_ENABLED_PROVIDERS": honoured,
	"FORWARD_HEADER_NAME": honoured, "FORWARD_HEADER_VALUE_PREFIX": honoured,
	// What the original application notes for itself: kept as it is.
	"lastUsed": honoured, "lastErrorTime": honoured, "lastErrorMessage": honoured, "lastHealthCheckTime": honoured, "lastHealthCheckModel": honoured,
	"needsRefresh": honoured, "lastRefreshTime": honoured, "_lastSelectionSeq": honoured,

	"concurrencyLimit":     "an account gets as many requests at a time as there are",
	"queueLimit":           "requests do not wait for an account",
	"PROJECT_ID":           "the public protocol needs no project",
	"KIRO_REFRESH_IDC_URL": "tokens are renewed at *_REFRESH_URL, else *_TOKEN_URL, else the token's own token_uri",
}

// honouredEnds are what the names of honoured fields end with, by provider.
var honouredEnds = []string{"_API_KEY", "_BASE_URL", "_BASE_URL_DAILY", "_BASE_URL_AUTOPUSH", "_CREDS_FILE_PATH", "_TOKEN_FILE_PATH",
	"_REFRESH_URL", "_TOKEN_URL", "_CLIENT_ID", "_CLIENT_SECRET"}

// unknownInstead is said of a field that the original application does not have.
const unknownInstead = "it is not known here; it is kept"

// Unused is a setting without effect, and what happens instead.
type Unused struct{ Field, Instead string }

// UnusedSettings lists the settings of a config.json that have no effect, each
// once. Values that ask for nothing (null, false, "" and the like) are left out.
func UnusedSettings(config []byte) []Unused {
	out := unusedFields(config, configFields, nil)
	if p := parseProxyChoice(gjson.ParseBytes(config)); p.url != "" && len(p.types) == 0 && gjson.ValidBytes(config) {
		out = append(out, Unused{"PROXY_URL", "PROXY_ENABLED_PROVIDERS names no provider type that is to be reached through it"})
	}
	block, _ := store.Member(config, "redis")
	store.Members([]byte(block.Raw), func(name string, v gjson.Result) {
		if store.RedisFields[name] == "" && !asksNothing(name, v) {
			out = append(out, Unused{"redis." + name, unknownInstead})
		}
	})
	return out
}

// UnusedAccountFields is the same for an entry of provider_pools.json.
func UnusedAccountFields(entry []byte) []Unused {
	return unusedFields(entry, accountFields, honouredEnds)
}

func unusedFields(raw []byte, table map[string]string, ends []string) (out []Unused) {
	seen := map[string]bool{}
	store.Members(raw, func(name string, v gjson.Result) {
		instead, known := table[name]
		for _, end := range ends {
			if !known && strings.HasSuffix(name, end) {
				known = true
			}
		}
		if known && instead == honoured || seen[name] || asksNothing(name, v) {
			return
		}
		if !known {
			instead = unknownInstead
		}
		seen[name] = true
		out = append(out, Unused{name, instead})
	})
	return out
}

// asksNothing reports a value with which a setting is as if it were not there.
func asksNothing(name string, v gjson.Result) bool {
	switch {
	case v.Type == gjson.Null, v.Type == gjson.String && v.Str == "":
		return true
	case v.Type == gjson.False:
		return !strings.HasPrefix(name, "LOG_")
	case v.Type == gjson.Number:
		return v.Num == 0
	case v.Type == gjson.JSON:
		empty := true
		v.ForEach(func(_, _ gjson.Result) bool { empty = false; return false })
		return empty
	}
	return name == "PROMPT_LOG_MODE" && v.Str == "none"
}

// IsConfiguration reports whether a config.json is one of this application: it has
// a field that no other is likely to have.
func IsConfiguration(config []byte) bool {
	found := false
	store.Members(config, func(name string, _ gjson.Result) {
		_, known := configFields[name]
		found = found || known && strings.ToUpper(name) == name && strings.Contains(name, "_")
	})
	return found
}

// ListenAddress is where a configuration says that the API is to be served: HOST
// and SERVER_PORT, each with its default where it is missing. A value that makes
// no sense is an error naming it and the remedy.
func ListenAddress(config []byte) (string, error) {
	host, port := "127.0.0.1", 3000
	if v, ok := store.Member(config, "HOST"); ok && v.Type != gjson.Null {
		if v.Type != gjson.String {
			return "", fmt.Errorf("read HOST of the configuration: %.80s is not a text: write it like \"127.0.0.1\"", v.Raw)
		}
		if host = strings.TrimSpace(v.Str); host == "" {
			host = "127.0.0.1"
		}
		host = strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
		if strings.ContainsAny(host, " /") || strings.Contains(host, ":") && net.ParseIP(host) == nil {
			return "", fmt.Errorf("read HOST of the configuration: %.80q is no name or address of a host: the port is in SERVER_PORT", host)
		}
	}
	if v, ok := store.Member(config, "SERVER_PORT"); ok && v.Type != gjson.Null {
		n, err := strconv.Atoi(strings.TrimSpace(text(v)))
		if err != nil || n < 1 || n > 65535 {
			return "", fmt.Errorf("read SERVER_PORT of the configuration: %.80s is not a port from 1 to 65535: write it like 3000, or name an address with --gateway-listen (of 'holdfast gateway': --listen)", v.Raw)
		}
		port = n
	}
	return net.JoinHostPort(host, strconv.Itoa(port)), nil
}
