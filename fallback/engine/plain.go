package engine

// plainRead is a read answered without making strings of its arguments. The engine
// has one, which is used again and again.
type plainRead struct {
	e    *Engine
	db   int
	argv [][]byte
	held func(db int, key string) bool
	out  replyBuf
}

// ReadPlain appends the reply of Do to dst, where the command is a plain read
// (spec.plain) of keys of the right type that are all held. Otherwise dst comes
// back as it was, and ok is false: Do knows what to answer.
func (e *Engine) ReadPlain(dst []byte, db, proto int, argv [][]byte, held func(db int, key string) bool) (out []byte, ok bool) {
	s := lookup(argv[0])
	if s == nil || s.plain == nil || e.SlowAfter() == 0 || e.events&eventMiss != 0 || !s.arityOK(len(argv)) || db < 0 || db >= databases {
		return dst, false
	}
	e.tick()
	q := &e.query
	*q = plainRead{e: e, db: db, argv: argv, held: held, out: replyBuf{b: dst, v3: proto == 3}}
	timed := e.readShort(s)
	if !s.plain(q) {
		q.out.b = dst
	}
	if out, ok = q.out.b, len(q.out.b) > len(dst); !ok {
		e.stats.counts[s.id].Calls-- // Do counts it
	} else if timed != nil {
		timed()
	}
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
	q.out.bulk(en.value)
	return true
}

func (q *plainRead) mget() bool {
	q.out.array(len(q.argv) - 1)
	size := 0
	for _, key := range q.argv[1:] {
		en, ok := q.find(key)
		switch {
		case !ok:
			return false
		case en == nil || en.kind != "string":
			q.out.null()
		default:
			if size += len(en.value); size > maxReply {
				return false // Do has the error for it
			}
			q.out.bulk(en.value)
		}
	}
	return true
}

// hash is the hash of a key, nil when that does not exist; ok is false where Do has to answer.
func (q *plainRead) hash() (h *hash, ok bool) {
	en, ok := q.find(q.argv[1])
	if en == nil || !ok {
		return nil, ok
	}
	h, ok = en.obj.(*hash)
	return h, ok
}

func (q *plainRead) hgetall() bool {
	h, ok := q.hash()
	if !ok || h != nil && h.bytes > maxReply {
		return false
	}
	q.out.mapLen(h.size())
	for i := range h.size() {
		q.out.bulk(h.fields[i].name)
		q.out.bulk(h.fields[i].value)
	}
	return true
}

func (q *plainRead) hget() bool {
	h, ok := q.hash()
	if !ok {
		return false
	}
	q.out.optional(h.get(string(q.argv[2])))
	return true
}
