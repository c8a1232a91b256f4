package transfer

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/redis/go-redis/v9"

	"holdfast/gateway/store"
)

// pools renders provider_pools.json. The plan of the token files comes with it.
func (x *exporter) pools(ctx context.Context) error {
	types, err := x.st.FindTypes(ctx)
	if err != nil {
		return err
	}
	meta, err := x.st.Meta(ctx, metaSkeleton)
	if err != nil {
		return err
	}
	if len(types) == 0 && meta[0] == "" {
		return nil
	}
	items := layoutItems([]byte(meta[0]))
	// The file is rendered more than once; the last time counts, and all give the
	// same.
	return x.emit(&x.rep.Layout, "provider pools", poolsFile, func(w io.Writer) error {
		x.rep.Accounts, x.rep.Pools = Counts{}, Counts{}
		x.tokens, x.order = nil, nil
		clear(x.places)
		clear(x.covered)
		clear(x.paths)
		x.rep.Items = slices.DeleteFunc(x.rep.Items, func(it Item) bool { return it.File == poolsFile })
		return x.renderPools(ctx, w, types, meta[0], items)
	})
}

func (x *exporter) renderPools(ctx context.Context, w io.Writer, types []string, skeleton string, items []store.LayoutItem) error {
	seq, tail := newSequence(w, skeleton, "{", "\n  ", "\n}\n")
	left := map[string]bool{}
	for _, t := range types {
		left[t] = true
	}
	known := map[string]bool{}
	for _, it := range items {
		if it.Ref {
			known[it.Name] = left[it.Name]
		}
	}
	for _, it := range items {
		if there, pool := known[it.Name]; pool && !there {
			seq.absent(it.Gap) // the type is gone, and with it what it had overridden
			continue
		}
		seq.next(it.Gap)
		seq.write(it.Head)
		if !it.Ref {
			seq.write(it.Literal)
			continue
		}
		delete(left, it.Name)
		if err := x.renderPool(ctx, seq, it.Name); err != nil {
			return err
		}
	}
	for _, t := range types {
		if !left[t] {
			continue
		}
		seq.extra()
		seq.write(quote(t))
		seq.write([]byte(": "))
		if err := x.renderPool(ctx, seq, t); err != nil {
			return err
		}
	}
	return seq.close(tail)
}

// renderPool renders one provider type's array.
func (x *exporter) renderPool(ctx context.Context, to *sequence, typ string) error {
	kind, err := x.st.Client().Type(ctx, x.st.Keys.Pool(typ)).Result()
	if err != nil {
		return fmt.Errorf("read pool %s: %w", typ, err)
	}
	if kind != "hash" && kind != "none" {
		x.rep.fail(&x.rep.Pools, x.st.Keys.Pool(typ), poolsFile, "holds something that is no pool")
		to.write([]byte("[]"))
		return to.err
	}
	layout, _, err := x.st.Get(ctx, x.st.Keys.Layout(typ))
	if err != nil && !redis.HasErrorPrefix(err, "WRONGTYPE") {
		return err
	}
	x.rep.Pools.New++
	text := string(layout)
	if !layoutWhole(layout) {
		if text != "" {
			x.rep.item(Note, x.st.Keys.Layout(typ), poolsFile, "the layout cannot be read; the array is formatted afresh")
		}
		text, layout = "", nil
	}
	seq, tail := newSequence(to, text, "[", "\n    ", "\n  ]")
	r := &poolRenderer{x: x, typ: typ, seq: seq, done: map[string]bool{}, unnamed: assigner{typ: typ}}
	if layout != nil {
		l, err := store.NewLayoutReader(bytes.NewReader(layout))
		for err == nil {
			var it store.LayoutItem
			if it, err = l.Next(); err == nil {
				if err := r.item(ctx, it); err != nil {
					return err
				}
			}
		}
	}
	if err := r.flush(ctx); err != nil {
		return err
	}
	if err := r.added(ctx); err != nil {
		return err
	}
	return seq.close(tail)
}

func layoutWhole(raw []byte) bool {
	l, err := store.NewLayoutReader(bytes.NewReader(raw))
	for err == nil {
		_, err = l.Next()
	}
	return err == io.EOF
}

// poolRenderer renders one type's accounts, a batch at a time.
type poolRenderer struct {
	x       *exporter
	typ     string
	seq     *sequence
	batch   []store.LayoutItem
	done    map[string]bool
	unnamed assigner
}

func (r *poolRenderer) item(ctx context.Context, it store.LayoutItem) error {
	r.batch = append(r.batch, it)
	if len(r.batch) < batchAccounts {
		return nil
	}
	return r.flush(ctx)
}

func (r *poolRenderer) flush(ctx context.Context) error {
	if len(r.batch) == 0 {
		return nil
	}
	entries, tokens, err := r.read(ctx)
	if err != nil {
		return err
	}
	for _, it := range r.batch {
		e, there := entries[it.Name]
		switch {
		case !it.Ref:
			r.place(it)
			r.seq.write(it.Literal)
		case !there || r.done[it.Name]:
			if it.Path != added {
				r.seq.absent(it.Gap)
			}
		default:
			r.done[it.Name] = true
			r.place(it)
			r.x.rep.Accounts.New++
			r.seq.write(r.x.account(r.typ, e, it.Path, tokens[it.Name], &r.unnamed))
		}
	}
	r.batch = r.batch[:0]
	return r.seq.err
}

func (r *poolRenderer) place(it store.LayoutItem) {
	if it.Gap == nil && it.Path == added {
		r.seq.extra()
		return
	}
	r.seq.next(it.Gap)
}

// added marks, as a path, an account that the layout does not know.
const added = "\x00"

// added renders the accounts that the layout does not know, by uuid.
func (r *poolRenderer) added(ctx context.Context) error {
	var extra []string
	err := r.x.st.EachEntry(ctx, r.typ, func(uuid string, _ []byte) error {
		if !r.done[uuid] {
			extra = append(extra, uuid)
		}
		return nil
	})
	if err != nil {
		return err
	}
	slices.Sort(extra)
	for _, uuid := range slices.Compact(extra) {
		if err := r.item(ctx, store.LayoutItem{Ref: true, Name: uuid, Path: added}); err != nil {
			return err
		}
	}
	return r.flush(ctx)
}

// read reads the batch's accounts, with counters, and their tokens.
func (r *poolRenderer) read(ctx context.Context) (map[string]store.Entry, map[string][]byte, error) {
	var uuids, keys []string
	for _, it := range r.batch {
		if it.Ref {
			uuids, keys = append(uuids, it.Name), append(keys, r.x.st.Keys.Token(r.typ, it.Name))
		}
	}
	entries, tokens := map[string]store.Entry{}, map[string][]byte{}
	if len(uuids) == 0 {
		return entries, tokens, nil
	}
	vals, err := r.x.st.Client().HMGet(ctx, r.x.st.Keys.Pool(r.typ), uuids...).Result()
	if err != nil {
		return nil, nil, fmt.Errorf("read pool %s: %w", r.typ, err)
	}
	list := make([]store.Entry, 0, len(vals))
	for i, v := range vals {
		if s, ok := v.(string); ok {
			list = append(list, store.Entry{UUID: uuids[i], JSON: []byte(s)})
		}
	}
	if err := r.x.st.FillCounters(ctx, r.typ, list); err != nil {
		return nil, nil, err
	}
	for _, e := range list {
		entries[e.UUID] = e
	}
	vals, err = r.x.st.Client().MGet(ctx, keys...).Result()
	if err != nil {
		return nil, nil, fmt.Errorf("read tokens of %s: %w", r.typ, err)
	}
	for i, v := range vals {
		if s, ok := v.(string); ok {
			tokens[uuids[i]] = []byte(s)
		}
	}
	return entries, tokens, nil
}

// account gives the bytes of one account for the file, and decides where its
// token goes. The bytes change only where the file could not say otherwise what
// Redis says: counters, a uuid that does not follow from the bytes, a token
// without a path of its own.
func (x *exporter) account(typ string, e store.Entry, place string, token []byte, unnamed *assigner) []byte {
	raw := e.Merged()
	if id, ok := entryUUID(raw); ok && id != e.UUID {
		raw = store.SetMember(raw, "uuid", quote(e.UUID))
	} else if !ok && unnamed.next(raw) != e.UUID {
		raw = store.SetMember(raw, "uuid", quote(e.UUID))
	}
	x.covered[short(typ, e.UUID)] = true
	if token == nil {
		return raw
	}
	if place == added {
		place = ""
	}
	field, text := tokenPath(raw)
	if field == "" {
		field, text = defaultTokenPath(typ, e.UUID)
		raw = store.SetMember(raw, field, quote(text))
		x.rep.item(Note, typ+" "+e.UUID, poolsFile, "its token had no file; %s is %s now", field, text)
		place = ""
	}
	place = x.tokenPlace(text, place)
	sum := short(string(token))
	if other, taken := x.places[short(place)]; taken && other != sum {
		// Two accounts shared a file, and one of them has been refreshed since.
		place += "." + safeName(typ) + "." + safeName(e.UUID) + ".json"
		raw = store.SetMember(raw, field, quote("./configs/"+place))
		x.rep.item(Note, typ+" "+e.UUID, poolsFile, "it shared a token file with an account whose token differs now; its own is at %s", place)
	} else if taken {
		return raw
	}
	x.places[short(place)] = sum
	x.tokens = append(x.tokens, tokenPlace{typ, e.UUID, place})
	return raw
}

// tokenPlace decides where the token of a path text goes: where the import found
// it, else where an import will look first. What a path alone does not say, goes
// into pathsFile.
func (x *exporter) tokenPlace(text, place string) string {
	if known, ok := x.paths[text]; ok {
		return known
	}
	usual := slices.DeleteFunc(places(text), isCore)
	if place == "" && len(usual) > 0 {
		place = usual[0]
	} else if place == "" {
		place = "tokens/" + safeName(text) + ".json"
	}
	if !slices.Contains(usual, place) {
		x.paths[text] = place
		x.order = append(x.order, text)
	}
	return place
}

// defaultTokenPath names the field and the path for a token without a file.
func defaultTokenPath(typ, uuid string) (field, text string) {
	for _, t := range []struct{ base, field, dir string }{
		{"claude-kiro-oauth", "KIRO_OAUTH_CREDS_FILE_PATH", "kiro"},
		{"gemini-cli-oauth", "GEMINI_OAUTH_CREDS_FILE_PATH", "gemini"},
		{"gemini-antigravity", "ANTIGRAVITY_OAUTH_CREDS_FILE_PATH", "antigravity"},
		{"openai-codex-oauth", "CODEX_OAUTH_CREDS_FILE_PATH", "codex"},
		{"openai-qwen-oauth", "QWEN_OAUTH_CREDS_FILE_PATH", "qwen"},
		{"openai-iflow", "IFLOW_TOKEN_FILE_PATH", "iflow"},
	} {
		if typ == t.base || strings.HasPrefix(typ, t.base+"-") {
			return t.field, "./configs/" + t.dir + "/" + safeName(typ) + "-" + safeName(uuid) + ".json"
		}
	}
	return "OAUTH_CREDS_FILE_PATH", "./configs/tokens/" + safeName(typ) + "/" + safeName(uuid) + ".json"
}
