package gateway

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/tidwall/gjson"
)

const (
	// maxPlaces bounds the pools that one request may go to beside its own.
	maxPlaces = 4
	// maxAttempts bounds the attempts of one request at all of them together.
	maxAttempts = maxSwitches + 1
)

// fallbacks are providerFallbackChain and modelFallbackMapping of the configuration.
type fallbacks struct {
	chain   map[string][]string // type → types in its place, as written
	mapping map[string]modelAt  // model → where it is asked for instead
}

// modelAt is a model of a provider type.
type modelAt struct{ typ, model string }

func parseFallbacks(cfg gjson.Result) fallbacks {
	f := fallbacks{chain: map[string][]string{}, mapping: map[string]modelAt{}}
	cfg.Get("providerFallbackChain").ForEach(func(typ, list gjson.Result) bool {
		if types := providerList(list); len(types) > 0 {
			f.chain[strings.TrimSpace(typ.Str)] = types
		}
		return true
	})
	cfg.Get("modelFallbackMapping").ForEach(func(model, to gjson.Result) bool {
		at := modelAt{strings.TrimSpace(to.Get("targetProviderType").String()), to.Get("targetModel").String()}
		if at.typ != "" {
			f.mapping[model.Str] = at
		}
		return true
	})
	return f
}

// types are those that a fallback leads to, as written.
func (f fallbacks) types() (out []string) {
	for _, list := range f.chain {
		out = append(out, list...)
	}
	for _, at := range f.mapping {
		out = append(out, at.typ)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// of is the chain of a type, whatever the case it is written in.
func (f fallbacks) of(typ string) []string {
	if list, ok := f.chain[typ]; ok {
		return list
	}
	for name, list := range f.chain {
		if strings.EqualFold(name, typ) {
			return list
		}
	}
	return nil
}

// place is a pool that may answer in the place of another one, and the model there.
type place struct {
	pool  *pool
	model string
}

// places are the pools that take the place of the call's own: those of its chain,
// then the one that its model is mapped to and the chain of that. A pool of another
// protocol has to name the model itself, or the mapping to say what it is there.
func (s *snapshot) places(c *call) []place {
	f := s.settings.fallbacks
	if len(f.chain) == 0 && len(f.mapping) == 0 {
		return nil
	}
	mapped, isMapped := f.mapping[c.model]
	if !isMapped {
		mapped, isMapped = f.mapping[c.asked]
	}
	if mapped.model == "" {
		mapped.model = c.model
	}
	out := []place{{c.pool, c.model}}
	add := func(name, model string) {
		typ, _ := s.resolve(name)
		p := s.pools[typ]
		switch {
		case p == nil, len(out) > maxPlaces, slices.Contains(out, place{p, model}), c.suits(p.info) == suitNone:
		case c.suits(p.info) == suitConverted && model == c.model && !slices.Contains(s.owners[model], typ):
		case p.mayServe(model):
			out = append(out, place{p, model})
		}
	}
	for _, name := range f.of(c.pool.typ) {
		if isMapped && s.same(name, mapped.typ) {
			add(name, mapped.model)
		}
		add(name, c.model)
	}
	if isMapped {
		add(mapped.typ, mapped.model)
		typ, _ := s.resolve(mapped.typ)
		for _, name := range f.of(typ) {
			add(name, mapped.model)
		}
	}
	return out[1:]
}

// at is the call as it goes to another place: made anew from what the client sent.
func (c *call) at(p place) (*call, *apiError) {
	next := *c
	next.pool = p.pool
	if next.model != p.model {
		next.setModel(p.model)
	}
	return &next, next.convert()
}

// trial is what one request has left to try.
type trial struct {
	attempts  int
	tried     map[accountID]bool
	tokenWait time.Duration // for access tokens
}

// serve answers a call: from an account of its pool, or of those that take its
// place, until one has given its first byte or the attempts are used up. The error,
// if any, is still to be written, except errCutShort: then only cutting the
// connection can tell.
func (f *forwarder) serve(ctx context.Context, w http.ResponseWriter, c *call, places []place) *apiError {
	c.client = newStreamClient(w, c.dialect, f.keepAlive, c.stream && (c.op == opGenerate || c.dialect == openAI{}))
	defer c.client.end()
	failure := f.answer(ctx, w, c, places)
	if failure != nil && failure != errCutShort && c.client.isOpen() {
		c.client.disarm() // the status is out: only the stream can tell
		_ = c.client.send(c.dialect.streamError(failure), nil)
		return nil
	}
	return failure
}

func (f *forwarder) answer(ctx context.Context, w http.ResponseWriter, c *call, places []place) *apiError {
	sent := *c
	if failure := c.convert(); failure != nil {
		return failure
	}
	t := &trial{attempts: maxAttempts, tried: map[accountID]bool{}, tokenWait: f.tokens.wait}
	failure, next := f.servePool(ctx, w, c, t)
	for _, p := range places {
		if !next || t.attempts == 0 || ctx.Err() != nil {
			break
		}
		other, unable := sent.at(p)
		if unable != nil {
			continue // this request cannot be said there
		}
		f.log.Debug("request goes to another pool", "request_id", c.requestID, "from", c.pool.typ, "to", p.pool.typ)
		before := t.attempts
		got, goOn := f.servePool(ctx, w, other, t)
		if got == nil || got == errCutShort {
			return got
		}
		if next = goOn; t.attempts < before { // that nobody is there says less than what the first pool said
			failure = got
		}
	}
	return failure
}
