package engine

import "strconv"

// fieldDeadlines are the deadlines, in Unix ms, of the fields of a hash that
// have one.
func (e *Engine) fieldDeadlines(db int, key string) map[string]int64 {
	fields := e.ask(db, "HKEYS", key).flat()
	if len(fields) == 0 {
		return nil
	}
	args := append([]string{"HPTTL", key, "FIELDS", strconv.Itoa(len(fields))}, fields...)
	out := map[string]int64{}
	for i, v := range e.ask(db, args...).list {
		if v.num >= 0 {
			out[fields[i]] = v.num // the clock of miniredis stands at 0
		}
	}
	return out
}

// fieldDeadline is the nearest of them, 0 when there is none.
func (e *Engine) fieldDeadline(db int, key string) int64 {
	var first int64
	for _, at := range e.fieldDeadlines(db, key) {
		if first == 0 || at < first {
			first = at
		}
	}
	return first
}

// expireFields deletes the due fields of a hash, and the hash with its last.
func (e *Engine) expireFields(en *entry) {
	args, db := []string{"HDEL", en.key}, int(en.db)
	for field, at := range e.fieldDeadlines(db, en.key) {
		if at < e.nowMS {
			args = append(args, field)
		}
	}
	if len(args) > 2 {
		e.raw(db, 2, args...)
	}
	e.touch(db, en.key)
}
