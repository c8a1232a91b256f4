package engine

import "github.com/alicebob/miniredis/v2"

// plainRead is a read answered from the values themselves, without the
// dispatcher and the argument strings of miniredis. The engine has one, which
// is used again and again.
type plainRead struct {
	e      *Engine
	db     int
	argv   [][]byte
	values *miniredis.RedisDB
	held   func(db int, key string) bool
	out    replyBuf
}

// ReadPlain appends the reply of Do to dst, where the command is a plain read
// (spec.plain) of keys of the right type that are all held. Otherwise dst comes
// back as it was, and ok is false: Do knows what to answer.
func (e *Engine) ReadPlain(dst []byte, db, proto int, argv [][]byte, held func(db int, key string) bool) (out []byte, ok bool) {
	s := lookup(argv[0])
	if s == nil || s.plain == nil || !s.arityOK(len(argv)) || db < 0 || db >= databases {
		return dst, false
	}
	e.tick()
	q := &e.query
	*q = plainRead{e: e, db: db, argv: argv, values: e.mini.DB(db), held: held, out: replyBuf{b: dst, v3: proto == 3}}
	if !s.plain(q) {
		q.out.b = dst
	}
	out, ok = q.out.b, len(q.out.b) > len(dst)
	*q = plainRead{} // argv and dst are the caller's
	return out, ok
}

// find is the entry of a key, nil when it is absent. ok: the caller holds the
// key, so that absent is known to be absent.
func (q *plainRead) find(key []byte) (en *entry, ok bool) {
	if ix := q.e.dbs[q.db]; ix != nil {
		if en = ix.keys[string(key)]; en != nil {
			return en, q.held(q.db, en.key)
		}
	}
	return nil, q.held(q.db, string(key))
}

func (q *plainRead) get() bool {
	en, ok := q.find(q.argv[1])
	switch {
	case !ok || en != nil && en.kind != "string":
		return false
	case en == nil:
		q.out.null()
		return true
	}
	return q.text(en)
}

// text appends a string's value.
func (q *plainRead) text(en *entry) bool {
	if en.held {
		q.out.bulk(en.value)
		return true
	}
	v, err := q.values.Get(en.key)
	q.out.bulk(v)
	return err == nil
}

func (q *plainRead) mget() bool {
	q.out.array(len(q.argv) - 1)
	for _, key := range q.argv[1:] {
		en, ok := q.find(key)
		switch {
		case !ok:
			return false
		case en == nil || en.kind != "string":
			q.out.null()
		case !q.text(en):
			return false
		}
	}
	return true
}

func (q *plainRead) hgetall() bool {
	en, ok := q.find(q.argv[1])
	switch {
	case !ok || en != nil && en.kind != "hash":
		return false
	case en == nil:
		q.out.mapLen(0)
		return true
	}
	fields, err := q.values.HKeys(en.key)
	q.out.mapLen(len(fields))
	for _, f := range fields {
		q.out.bulk(f)
		q.out.bulk(q.values.HGet(en.key, f))
	}
	return err == nil
}

func (q *plainRead) hget() bool {
	en, ok := q.find(q.argv[1])
	if !ok || en == nil || en.kind != "hash" {
		return false
	}
	v := q.values.HGet(en.key, string(q.argv[2]))
	q.out.bulk(v)
	return v != "" // an absent field looks like an empty one
}
