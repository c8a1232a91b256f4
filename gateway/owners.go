package gateway

import (
	"maps"
	"slices"
	"strings"

	"github.com/tidwall/match"
)

// findOwners says which pools name a model, in the order in which they are asked
// for it: the defaults first, then the names of the types. A pool names what
// accounts that can be asked have in their allow-lists or for their health checks.
func (s *snapshot) findOwners() map[string][]string {
	owners := map[string][]string{}
	for _, typ := range s.preferred() {
		p := s.pools[typ]
		named := map[string]bool{}
		for _, a := range p.accounts {
			if !a.usable(p.info) {
				continue
			}
			for _, m := range append(slices.Clone(a.supported), a.checkModel) {
				if m != "" && a.serves(m) {
					named[m] = true
				}
			}
		}
		for m := range named {
			owners[m] = append(owners[m], typ)
		}
	}
	return owners
}

// preferred is the served types, defaults first.
func (s *snapshot) preferred() []string {
	var out []string
	for _, typ := range append(slices.Clone(s.defaults), s.types...) {
		if s.pools[typ] != nil && !slices.Contains(out, typ) {
			out = append(out, typ)
		}
	}
	return out
}

// mayServe reports whether an account of the pool lets a model pass.
func (p *pool) mayServe(model string) bool {
	return slices.ContainsFunc(p.accounts, func(a *account) bool { return a.usable(p.info) && a.serves(model) })
}

// destination is where a model's name leads: to a provider type ("" where the name
// does not say) and the model's name there. explicit is the type that the request
// names beside it, or "". In rising order: explicit, an alias, a type in front of
// the name. An alias with wildcards is for names that nobody else has.
func (s *snapshot) destination(name, explicit string) (typ, model string) {
	typ, model = explicit, name
	if alias, ok := s.aliasOf(name, explicit); ok {
		if to, ok := s.resolve(alias.provider); ok {
			typ = to
		}
		if alias.model != "" {
			model = alias.model
		}
	}
	if prefix, rest, ok := s.prefixed(model); ok {
		typ, model = prefix, rest
	}
	return typ, model
}

// prefixed takes a stored type off the front of a model's name.
func (s *snapshot) prefixed(name string) (typ, model string, ok bool) {
	typ, model, ok = strings.Cut(name, ":")
	_, stored := s.raw.pools[typ]
	return typ, model, ok && model != "" && stored
}

// aliasOf finds the alias for a name: the exact one, or of those with wildcards the
// one with most letters of its own. Its model has taken over what the wildcards
// stand for.
func (s *snapshot) aliasOf(name, explicit string) (customModel, bool) {
	known := func(c customModel) bool {
		_, ok := s.resolve(c.provider)
		return ok || c.provider == ""
	}
	var best customModel
	letters := -1
	for _, c := range s.custom {
		switch {
		case c.id == name && known(c):
			return c, true
		case !strings.Contains(c.id, "*") || !known(c) || !match.Match(name, c.id):
		case explicit != "" && explicit != autoProvider && c.provider != "" && !s.same(explicit, c.provider):
		default:
			if n := len(c.id) - strings.Count(c.id, "*"); n > letters {
				best, letters = c, n
			}
		}
	}
	if _, _, full := s.prefixed(name); full || letters < 0 || len(s.owners[name]) > 0 {
		return customModel{}, false
	}
	before, _, _ := strings.Cut(best.id, "*")
	after := best.id[strings.LastIndexByte(best.id, '*')+1:]
	if len(before)+len(after) <= len(name) {
		best.model = strings.Replace(best.model, "*", name[len(before):len(name)-len(after)], 1)
	}
	return best, true
}

func (s *snapshot) same(a, b string) bool {
	x, okX := s.resolve(a)
	y, okY := s.resolve(b)
	return okX && okY && x == y
}

// owner is the pool that names the call's model: the first that speaks the client's
// protocol, or else that can be converted to, or else that cannot answer it. "": none.
func (s *snapshot) owner(c *call) string {
	for _, want := range []suit{suitNative, suitConverted, suitNone} {
		for _, typ := range s.owners[c.model] {
			if c.suits(s.pools[typ].info) == want {
				return typ
			}
		}
	}
	return ""
}

// called is the name under which a request reaches a model of a pool: its own, or
// with the pool in front where the own name leads elsewhere. among says that the
// request names no provider itself.
func (s *snapshot) called(typ, model string, among bool) string {
	explicit := ""
	if !among {
		explicit = typ
	}
	to, there := s.destination(model, explicit)
	if there == model && (to == typ || to == "" && len(s.owners[model]) == 1) {
		return model
	}
	return typ + ":" + model
}

// modelNames are the models that some pool names, sorted.
func (s *snapshot) modelNames() []string { return slices.Sorted(maps.Keys(s.owners)) }
