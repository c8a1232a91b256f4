package gateway

import (
	"maps"
	"slices"
	"sort"
	"strings"
	"time"

	"github.com/tidwall/gjson"
)

// Where a snapshot came from.
const (
	sourceNone  = "none"
	sourceFile  = "file"
	sourceRedis = "redis"
)

// rawState is the stored state as text, from Redis or from files.
type rawState struct {
	config       string
	prompt       string // the file that the configuration names for system prompts
	customModels string
	pools        map[string]map[string]string // type → uuid → entry
}

// empty reports that there is nothing in it at all.
func (r rawState) empty() bool { return r.config == "" && len(r.pools) == 0 }

// snapshot is the state that requests work on. Immutable; replaced as a whole.
type snapshot struct {
	raw      rawState
	source   string
	loadedAt time.Time
	settings settings
	pools    map[string]*pool
	types    []string // of pools, sorted
	skipped  []string // types that are stored and not served, sorted
	defaults []string // default providers, in their known spelling
	unknown  []string // configured defaults that are no provider type
	custom   []customModel
	owners   map[string][]string // model → types that name it
	configOK bool
}

// pool is the accounts of one provider type, sorted by uuid.
type pool struct {
	typ      string
	info     providerInfo
	accounts []*account
	// preferred is asked first where it is fit: it knows the conversation.
	preferred accountID
}

// customModel is an alias: a name for one model of one provider. A * in the name
// stands for any letters, and in the model for the same ones. Without a provider the
// model's owner serves it.
type customModel struct{ id, provider, model string }

// buildSnapshot parses raw. Entries whose text is unchanged are taken over from
// prev (may be nil), so a poll that finds one change parses one entry.
func buildSnapshot(raw rawState, source, keyOverride string, prev *snapshot) *snapshot {
	s := &snapshot{raw: raw, source: source, loadedAt: time.Now(), pools: map[string]*pool{}}
	s.settings, s.configOK = parseSettings(raw.config, keyOverride)
	if strings.TrimSpace(raw.prompt) != "" {
		s.settings.prompt.text = raw.prompt
	}
	s.types = slices.Sorted(maps.Keys(raw.pools))
	s.resolveDefaults()
	for _, typ := range s.types {
		entries := raw.pools[typ]
		info, _, _ := lookupProvider(typ)
		p := &pool{typ: typ, info: info, accounts: make([]*account, 0, len(entries))}
		known := prev.accountsOf(typ)
		for uuid, entry := range entries {
			a := known[uuid]
			if a == nil || a.raw != entry {
				a = parseAccount(accountID{typ, uuid}, info, entry)
			}
			p.accounts = append(p.accounts, a.through(s.settings))
		}
		sort.Slice(p.accounts, func(i, j int) bool { return p.accounts[i].id.UUID < p.accounts[j].id.UUID })
		s.pools[typ] = p
	}
	s.custom = parseCustomModels(raw.customModels)
	s.owners = s.findOwners()
	return s
}

func (s *snapshot) accountsOf(typ string) map[string]*account {
	if s == nil || s.pools[typ] == nil {
		return nil
	}
	out := make(map[string]*account, len(s.pools[typ].accounts))
	for _, a := range s.pools[typ].accounts {
		out[a.id.UUID] = a
	}
	return out
}

// resolveDefaults turns the configured names into known types, each once, and
// takes the types that they do not name out of those to serve. With none
// configured that can be found, the pools themselves are the defaults, in the
// order of names.
func (s *snapshot) resolveDefaults() {
	seen := map[string]bool{}
	for _, name := range s.settings.wanted {
		typ, ok := s.resolve(name)
		if !ok {
			s.unknown = append(s.unknown, name)
		} else if !seen[typ] {
			seen[typ] = true
			s.defaults = append(s.defaults, typ)
		}
	}
	if len(s.defaults) > 0 {
		all := s.types
		s.types = nil
		for _, typ := range all {
			if s.enabled(typ) {
				s.types = append(s.types, typ)
			} else {
				s.skipped = append(s.skipped, typ)
			}
		}
		return
	}
	for _, typ := range s.types {
		if len(s.raw.pools[typ]) > 0 {
			s.defaults = append(s.defaults, typ)
		}
	}
	if len(s.defaults) == 0 {
		s.defaults = []string{fallbackProvider}
	}
}

// enabled reports whether the defaults name a type, or a fallback leads to it. Those
// of DEFAULT_MODEL_PROVIDERS are meant exactly; MODEL_PROVIDER means a type with the
// groups that go by its name and a suffix.
func (s *snapshot) enabled(typ string) bool {
	if slices.ContainsFunc(s.settings.fallbacks.types(), func(name string) bool { return s.same(name, typ) }) {
		return true
	}
	return slices.ContainsFunc(s.defaults, func(name string) bool {
		return typ == name || s.settings.derived && strings.HasPrefix(typ, name+"-")
	})
}

// enabledBy is the field that says which types are served.
func (s *snapshot) enabledBy() string {
	if s.settings.derived {
		return "MODEL_PROVIDER"
	}
	return "DEFAULT_MODEL_PROVIDERS"
}

// resolve finds the provider type that name means: a pool of that name, in any
// case, served or not, or a known type without a pool.
func (s *snapshot) resolve(name string) (string, bool) {
	if _, ok := s.raw.pools[name]; ok {
		return name, true
	}
	for _, list := range [][]string{s.types, s.skipped} {
		for _, typ := range list {
			if strings.EqualFold(typ, name) {
				return typ, true
			}
		}
	}
	_, canonical, ok := lookupProvider(name)
	return canonical, ok
}

// parseCustomModels reads aliases from an array, or from an object's "models",
// or from an object of id → definition. Anything else is no alias.
func parseCustomModels(raw string) []customModel {
	if raw == "" || !gjson.Valid(raw) {
		return nil
	}
	root := gjson.Parse(raw)
	if m := root.Get("models"); m.Exists() {
		root = m
	}
	var out []customModel
	root.ForEach(func(key, v gjson.Result) bool {
		c := customModel{provider: v.Get("actualProvider").String(), model: v.Get("actualModel").String()}
		if key.Type == gjson.String {
			out = appendAlias(out, c, key.Str)
		}
		out = appendAlias(out, c, v.Get("id").String())
		out = appendAlias(out, c, v.Get("alias").String())
		return true
	})
	return out
}

func appendAlias(list []customModel, c customModel, id string) []customModel {
	if id == "" || c.provider == "" && c.model == "" {
		return list
	}
	for _, have := range list {
		if have.id == id {
			return list
		}
	}
	c.id = id
	return append(list, c)
}
