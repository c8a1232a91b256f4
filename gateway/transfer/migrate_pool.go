package transfer

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"

	"github.com/tidwall/gjson"

	"holdfast/gateway/store"
)

// A batch of accounts is compared and written together.
const (
	batchAccounts = 250
	batchBytes    = 2 << 20
)

// account is one entry on its way into Redis.
type account struct {
	uuid  string
	raw   []byte
	token []byte
	file  string // the token file's place; "" for none that can be used
	path  string // the path as the entry has it; "" for none
}

// poolWriter imports one provider type: it compares, and where its pass works,
// fills a unit.
type poolWriter struct {
	*pass
	typ           string
	res           *typeResult
	exists        bool  // the pool's key exists
	foreign       bool  // its key holds something that is no pool
	layoutForeign bool  // the layout's key holds something that is no layout
	unit          *unit // nil while planning, and where nothing is to be done

	uuids   map[string]bool
	unnamed assigner
	batch   []account
	size    int
	alike   int // accounts that Redis has so already
	layout  *store.LayoutWriter
	sink    *layoutSink
}

func (p *pass) poolWriter(ctx context.Context, typ string) (*poolWriter, error) {
	w := &poolWriter{pass: p, typ: typ, res: &typeResult{}, uuids: map[string]bool{}, unnamed: assigner{typ: typ}}
	p.types[typ] = w.res
	kind, err := p.st.Client().Type(ctx, p.st.Keys.Pool(typ)).Result()
	if err != nil {
		return nil, fmt.Errorf("look for pool %s: %w", typ, err)
	}
	w.exists, w.foreign = kind == "hash", kind != "hash" && kind != "none"
	if kind, err = p.st.Client().Type(ctx, p.st.Keys.Layout(typ)).Result(); err != nil {
		return nil, fmt.Errorf("look for the layout of %s: %w", typ, err)
	}
	w.layoutForeign = kind != "string" && kind != "none"
	w.res.listed = p.known[typ]
	if p.writing() {
		plan := p.plan.types[typ]
		if plan == nil || plan.changes > 0 || !plan.layoutSame || !plan.listed {
			if w.unit, err = newUnit(p.st.Client()); err != nil {
				return nil, err
			}
		}
	}
	w.sink = &layoutSink{w: w, sum: sha256.New()}
	if plan := p.plan; plan != nil && plan.types[typ] != nil && plan.types[typ].refused > 0 {
		w.sink.mute = true // Redis keeps its own state, and with it its layout
	}
	w.sink.mute = w.sink.mute || w.layoutForeign && !p.cfg.Force
	w.layout = store.NewLayoutWriter(w.sink, []byte("["))
	w.sink.ctx = ctx
	return w, w.replaceForeign(ctx)
}

// replaceForeign makes way, if forced, for a pool under a key of another kind.
func (w *poolWriter) replaceForeign(ctx context.Context) error {
	if !w.foreign || !w.cfg.Force {
		return nil
	}
	w.foreign = false
	w.res.changes++
	return w.queue(ctx, []int{0}, []any{"DEL", w.st.Keys.Pool(w.typ)})
}

func (w *poolWriter) close() {
	if w.unit != nil {
		w.unit.close()
	}
}

// element takes one element of the file's array.
func (w *poolWriter) element(ctx context.Context, e element) error {
	w.progress(1)
	rep := w.rep
	if !gjson.ParseBytes(e.raw).IsObject() {
		rep.skip(&rep.Accounts, fmt.Sprintf("%s entry %d", w.typ, e.n), poolsFile, "not an object")
		w.layout.Item(store.LayoutItem{Gap: e.gap, Literal: e.raw})
		return nil
	}
	id, ok := entryUUID(e.raw)
	if !ok {
		id = w.unnamed.next(e.raw)
		rep.item(Note, fmt.Sprintf("%s entry %d", w.typ, e.n), poolsFile, "has no uuid; it is kept under %s", id)
	}
	if w.uuids[id] {
		rep.repeated++
		rep.refuse(&rep.Accounts, w.typ+" "+id, poolsFile, "entry %d has the uuid of an entry before it; give it one of its own", e.n)
		w.layout.Item(store.LayoutItem{Gap: e.gap, Literal: e.raw})
		return nil
	}
	w.uuids[id] = true
	w.accounts[short(w.typ, id)] = true
	a := account{uuid: id, raw: e.raw}
	w.loadToken(&a)
	w.auditAccount(w.typ, a)
	w.layout.Item(store.LayoutItem{Gap: e.gap, Ref: true, Name: id, Path: a.file})
	w.batch = append(w.batch, a)
	w.size += len(a.raw) + len(a.token)
	if len(w.batch) < batchAccounts && w.size < batchBytes {
		return nil
	}
	return w.flush(ctx)
}

// flush compares a batch with Redis and puts what is to be written into the unit.
func (w *poolWriter) flush(ctx context.Context) error {
	if len(w.batch) == 0 {
		return nil
	}
	stored, tokens, foreign, err := w.stored(ctx)
	if err != nil {
		return err
	}
	hset := []any{"HSET", w.st.Keys.Pool(w.typ)}
	mset := []any{"MSET"}
	del := []any{"DEL"}
	for i, a := range w.batch {
		if w.compareAccount(a, stored[i]) {
			hset = append(hset, a.uuid, a.raw)
			if stored[i].JSON != nil {
				del = w.appendCounters(del, a.uuid)
			}
		}
		key := w.st.Keys.Token(w.typ, a.uuid)
		switch w.compareToken(a, key, tokens[i], foreign[key]) {
		case actionSet:
			mset = append(mset, key, a.token)
		case actionDelete:
			del = append(del, key)
		}
	}
	w.batch, w.size = w.batch[:0], 0
	return w.queue(ctx, []int{2, 1, 1}, hset, mset, del)
}

// queue adds each command that has more than its fixed arguments.
func (w *poolWriter) queue(ctx context.Context, fixed []int, cmds ...[]any) error {
	if w.unit == nil {
		return nil
	}
	for i, c := range cmds {
		if len(c) <= fixed[i] {
			continue
		}
		if err := w.unit.do(ctx, c...); err != nil {
			return fmt.Errorf("write pool %s: %w", w.typ, err)
		}
	}
	return nil
}

func (w *poolWriter) appendCounters(del []any, uuid string) []any {
	for _, name := range store.CounterNames {
		del = append(del, w.st.Counter(w.typ, uuid, name))
	}
	return del
}

// stored reads what Redis holds for the batch; an absent value is nil.
// foreign holds the token keys that are no strings.
func (w *poolWriter) stored(ctx context.Context) (entries []store.Entry, tokens [][]byte, foreign map[string]bool, err error) {
	entries = make([]store.Entry, len(w.batch))
	uuids, keys := make([]string, len(w.batch)), make([]string, len(w.batch))
	for i, a := range w.batch {
		uuids[i], keys[i] = a.uuid, w.st.Keys.Token(w.typ, a.uuid)
		entries[i].UUID = a.uuid
	}
	if w.exists {
		vals, err := w.st.Client().HMGet(ctx, w.st.Keys.Pool(w.typ), uuids...).Result()
		if err != nil {
			return nil, nil, nil, fmt.Errorf("read pool %s: %w", w.typ, err)
		}
		for i, v := range vals {
			if s, ok := v.(string); ok {
				entries[i].JSON = []byte(s)
			}
		}
		if err := w.st.FillCounters(ctx, w.typ, entries); err != nil {
			return nil, nil, nil, err
		}
	}
	if tokens, foreign, err = w.st.Strings(ctx, keys); err != nil {
		err = fmt.Errorf("read tokens of %s: %w", w.typ, err)
	}
	return entries, tokens, foreign, err
}

// compareAccount counts one account and says whether it is to be written. The
// file may equal what is stored, or that with its counters, which is what an
// export wrote; with force only the latter, so that afterwards an export gives
// the files back.
func (w *poolWriter) compareAccount(a account, have store.Entry) bool {
	c := &w.rep.Accounts
	switch {
	case w.foreign:
		w.res.refused++
		w.rep.refuse(c, w.st.Keys.Pool(w.typ)+" "+a.uuid, poolsFile, "Redis holds something that is no pool under this key; --force replaces it")
		return false
	case have.JSON == nil:
		c.New++
		w.res.changes++
		return true
	case w.pass.same(have.Merged(), a.raw), !w.cfg.Force && store.Equal(have.JSON, a.raw):
		c.Identical++
		w.alike++
		return false
	case !w.cfg.Force:
		w.res.refused++
		w.rep.refuse(c, w.st.Keys.Pool(w.typ)+" "+a.uuid, poolsFile, "Redis holds a different account; --force replaces it")
		return false
	}
	c.Replaced++
	w.res.changes++
	return true
}

type action int

const (
	actionNone action = iota
	actionSet
	actionDelete
)

// compareToken counts the token of an account. foreign says that its key holds
// something that is no token.
func (w *poolWriter) compareToken(a account, key string, have []byte, foreign bool) action {
	c := &w.rep.Tokens
	switch {
	case a.file == "" && (a.path != "" || have == nil && !foreign || !w.cfg.Force):
		return actionNone // a token that Redis has is not given up for a file that cannot be read
	case a.file == "":
		c.Removed++
		w.res.changes++
		return actionDelete
	case foreign && !w.cfg.Force:
		w.rep.refuse(c, key, a.file, "Redis holds something that is no string under this key; --force replaces it")
		return actionNone
	case foreign:
		c.Replaced++
	case have == nil:
		c.New++
	case w.pass.same(have, a.token):
		c.Identical++
		return actionNone
	case !w.cfg.Force:
		w.rep.refuse(c, key, a.file, "Redis holds a different token; --force replaces it")
		return actionNone
	default:
		c.Replaced++
	}
	w.res.changes++
	return actionSet
}

// finish deals with what is left: accounts that the file no longer has, the
// layout, the set of types.
func (w *poolWriter) finish(ctx context.Context, tail []byte) error {
	if err := w.flush(ctx); err != nil {
		return err
	}
	if w.alike > 0 {
		w.rep.item(Skipped, fmt.Sprintf("%s: %d accounts", w.typ, w.alike), poolsFile, "identical in Redis")
	}
	if w.foreign && len(w.uuids) == 0 { // with accounts, each of them says so
		w.res.refused++
		w.rep.refuse(&w.rep.Pools, w.st.Keys.Pool(w.typ), poolsFile, "Redis holds something that is no pool under this key; --force replaces it")
	}
	if w.cfg.Force && w.exists {
		if err := w.removeStale(ctx); err != nil {
			return err
		}
	}
	if err := w.layout.Close(tail); err != nil {
		return err
	}
	if err := w.sink.finish(ctx); err != nil {
		return err
	}
	if !w.res.listed {
		w.rep.Pools.New++
	} else {
		w.rep.Pools.Identical++
	}
	return w.queue(ctx, []int{0}, []any{"SADD", w.st.PoolIndex(), w.typ})
}

// removeStale removes the accounts that the file does not have, with their
// counters. Their tokens are left to sweep, which finds them because no account
// names them.
func (w *poolWriter) removeStale(ctx context.Context) error {
	gone := map[string]bool{} // a scan may show one twice
	err := w.st.EachEntry(ctx, w.typ, func(uuid string, _ []byte) error {
		if w.uuids[uuid] || gone[uuid] {
			return nil
		}
		gone[uuid] = true
		w.rep.Accounts.Removed++
		w.res.changes++
		del := w.appendCounters([]any{"DEL"}, uuid)
		return w.queue(ctx, []int{0, 0}, []any{"HDEL", w.st.Keys.Pool(w.typ), uuid}, del)
	})
	if err != nil {
		return errors.Join(errors.New("remove what the file does not have"), err)
	}
	return nil
}

// drop removes the whole type.
func (w *poolWriter) drop(ctx context.Context) error {
	defer w.close()
	w.res.changes++
	if err := w.removeStale(ctx); err != nil {
		return err
	}
	err := w.queue(ctx, []int{0, 0, 0}, []any{"DEL", w.st.Keys.Pool(w.typ)},
		[]any{"DEL", w.st.Keys.Layout(w.typ)}, []any{"SREM", w.st.PoolIndex(), w.typ})
	if err != nil || w.unit == nil {
		return err
	}
	return w.unit.commit(ctx)
}
