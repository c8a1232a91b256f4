package gateway

import (
	"crypto/sha256"
	"strings"
	"time"

	"github.com/tidwall/gjson"
)

// Defaults of the configuration, where a field is missing.
const (
	defaultMaxErrors   = 10
	defaultSwitches    = 5
	maxSwitches        = 20
	defaultCooldown    = 30 * time.Second
	defaultCooldownMax = 5 * time.Minute
	defaultNearMinutes = 15
	maxNearMinutes     = 7 * 24 * 60
	fallbackProvider   = "gemini-cli-oauth"
)

// settings are the fields of the stored configuration that the gateway uses.
// The stored text itself is never written back, so unknown fields are safe.
type settings struct {
	// keyHash is the SHA-256 of the client key; keySet is false when there is none.
	keyHash [sha256.Size]byte
	keySet  bool
	// wanted are the configured default providers, as written; derived says that
	// they are of MODEL_PROVIDER.
	wanted  []string
	derived bool
	// maxErrors in a row put an account aside; 0 means never.
	maxErrors int
	// switches is how many further accounts one request may try.
	switches              int
	cooldown, cooldownMax time.Duration
	// nearExpiry is how long before its end an access token is renewed;
	// sweepTokens says that this is done for accounts without requests, too.
	nearExpiry  time.Duration
	sweepTokens bool
	checks      checkSettings
	login       loginSettings
	fallbacks   fallbacks
	proxy       proxyChoice
	prompt      systemPrompt
}

// parseSettings reads the configuration's text; override wins over its key.
// Text that is not a JSON object gives the defaults and false.
func parseSettings(raw, override string) (settings, bool) {
	s := settings{
		maxErrors: defaultMaxErrors, switches: defaultSwitches,
		cooldown: defaultCooldown, cooldownMax: defaultCooldownMax,
		nearExpiry: defaultNearMinutes * time.Minute, login: parseLogin(gjson.Result{}),
	}
	raw = strings.TrimPrefix(raw, "\ufeff")
	ok := gjson.Valid(raw) && gjson.Parse(raw).IsObject()
	key := override
	if ok {
		cfg := gjson.Parse(raw)
		if key == "" {
			key = text(cfg.Get("REQUIRED_API_KEY"))
		}
		s.wanted = providerList(cfg.Get("DEFAULT_MODEL_PROVIDERS"))
		if len(s.wanted) == 0 {
			s.wanted, s.derived = providerList(cfg.Get("MODEL_PROVIDER")), true
		}
		s.maxErrors = bounded(cfg.Get("MAX_ERROR_COUNT"), defaultMaxErrors, 1<<20)
		s.switches = bounded(cfg.Get("CREDENTIAL_SWITCH_MAX_RETRIES"), defaultSwitches, maxSwitches)
		s.cooldown = millis(cfg.Get("RATE_LIMIT_COOLDOWN_MS"), defaultCooldown)
		s.nearExpiry = time.Duration(bounded(cfg.Get("CRON_NEAR_MINUTES"), defaultNearMinutes, maxNearMinutes)) * time.Minute
		s.sweepTokens = cfg.Get("CRON_REFRESH_TOKEN").Bool()
		s.login = parseLogin(cfg)
		s.fallbacks = parseFallbacks(cfg)
		s.proxy, s.prompt = parseProxyChoice(cfg), parsePrompt(cfg)
		s.checks = parseChecks(cfg.Get("SCHEDULED_HEALTH_CHECK"))
		s.cooldownMax = millis(cfg.Get("RATE_LIMIT_COOLDOWN_MAX_MS"), defaultCooldownMax)
	}
	if key != "" {
		s.keyHash, s.keySet = sha256.Sum256([]byte(key)), true
	}
	return s, ok
}

// text is a string, or a number as it is written (files hold both).
func text(r gjson.Result) string {
	switch r.Type {
	case gjson.String:
		return r.Str
	case gjson.Number:
		return r.Raw
	}
	return ""
}

// bounded is a whole number between 0 and limit; def where it is missing or
// negative.
func bounded(r gjson.Result, def, limit int) int {
	if r.Type != gjson.Number && (r.Type != gjson.String || r.Str == "") || r.Int() < 0 {
		return def
	}
	return int(min(r.Int(), int64(limit)))
}

// millis is a time in milliseconds, up to a day.
func millis(r gjson.Result, def time.Duration) time.Duration {
	const day = 24 * 60 * 60 * 1000
	ms := bounded(r, 0, day)
	if ms == 0 {
		return def
	}
	return time.Duration(ms) * time.Millisecond
}

// providerList reads a string, a comma-separated string, or an array of strings.
func providerList(r gjson.Result) []string {
	var out []string
	add := func(s string) {
		for _, part := range strings.Split(s, ",") {
			if part = strings.TrimSpace(part); part != "" {
				out = append(out, part)
			}
		}
	}
	if r.IsArray() {
		for _, item := range r.Array() {
			add(item.String())
		}
	} else if r.Type == gjson.String {
		add(r.Str)
	}
	return out
}
