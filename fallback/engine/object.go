package engine

// object is a value that is no string and no stream: *list, *set, *hash, *zset. A
// nil one is an empty one, which may be read.
type object interface {
	kind() string                 // as TYPE names it
	size() int                    // number of elements; a key whose object has none does not exist
	clone(spend func(int)) object // shares nothing that may change; tells spend of its steps
	encoding() string             // as OBJECT ENCODING names it
	memory() int64                // estimate in bytes
}

// limits are the parameters that decide on encodings and sizes, under their names in CONFIG.
type limits struct {
	hashEntries, hashValue int64
	zsetEntries, zsetValue int64
	setInts                int64
	bulk                   int64 // proto-max-bulk-len: the longest string
	sparse                 int64 // hll-sparse-max-bytes
}

func defaultLimits() limits {
	return limits{hashEntries: 512, hashValue: 64, zsetEntries: 128, zsetValue: 64, setInts: 512, bulk: maxString, sparse: 3000}
}

// perElement is what a Go map slot, a string header and an allocation cost about.
const perElement = 48

// objectAt is the object of a key, nil when the key does not exist; ok is false, and the
// call has failed, when it holds another type.
func objectAt[T object](c *call, key string) (obj T, ok bool) {
	en := c.e.find(c.db, key)
	if en == nil {
		return obj, true
	}
	if obj, ok = en.obj.(T); !ok {
		c.fail(errWrongType)
	}
	return obj, ok
}

// putObject stores a collection, whatever the key held before, and brings the index up
// to date. deadline is in Unix ms, 0 for none.
func (e *Engine) putObject(db int, key string, obj object, deadline int64) *entry {
	en := e.fresh(db, key)
	en.kind, en.obj, en.deadline = obj.kind(), obj, deadline
	if h, ok := obj.(*hash); ok {
		en.field = h.nearest()
	}
	e.schedule(en)
	return en
}

// fresh is the entry of a key, made if need be, without a value and with a new version.
func (e *Engine) fresh(db int, key string) *entry {
	ix := e.index(db)
	en := ix.keys[key]
	if en == nil {
		en = newEntry(db, key)
		ix.insert(en)
	}
	e.writes++
	*en = entry{key: en.key, db: en.db, hash: en.hash, place: en.place, version: e.writes}
	return en
}

// store makes a collection the value of a key; an empty one removes the key.
func (c *call) store(key string, obj object, event string) {
	if obj.size() == 0 {
		if c.e.find(c.db, key) == nil {
			c.noEffect()
			return
		}
		c.remove(key, "del")
		return
	}
	c.isNew(key)
	c.e.putObject(c.db, key, obj, 0)
	c.notify(event, key)
}

// add makes a collection the value of a key that does not exist.
func (c *call) add(key string, obj object) {
	c.isNew(key)
	c.e.putObject(c.db, key, obj, 0)
}

// modified says that the value of a key has changed in place: watchers learn of it,
// and a key without elements goes.
func (c *call) modified(key string, events ...string) {
	en := c.e.find(c.db, key)
	if en == nil {
		return
	}
	c.e.writes++
	en.version = c.e.writes
	for _, event := range events {
		c.notify(event, key)
	}
	if en.obj != nil && en.obj.size() == 0 {
		c.remove(key, "del")
	}
}

// remove deletes a key that exists.
func (c *call) remove(key, event string) {
	c.e.drop(c.db, key)
	c.notify(event, key)
}

// countChanges answers how many elements changed; where there are none, nothing did.
func (c *call) countChanges(n int64) {
	if n == 0 {
		c.noEffect()
	}
	c.integer(n)
}

// putBack makes a key again as it was.
func (e *Engine) putBack(old *entry) {
	en := e.fresh(int(old.db), old.key)
	place := en.place
	*en = *old
	en.place = place
	e.schedule(en)
}

// unshare makes the value of an entry one of its own.
func (en *entry) unshare(spend func(int)) {
	if en.obj != nil {
		en.obj = en.obj.clone(spend)
	}
	if en.stream != nil {
		en.stream = en.stream.Clone()
	}
}
