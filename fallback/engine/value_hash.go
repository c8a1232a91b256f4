package engine

import (
	"maps"
	"slices"
)

// hash has its fields in the order in which they came as long as they are few and
// short, as Redis's listpack.
type hash struct {
	fields []field
	index  map[string]int32 // nil while there are few fields
	big    bool             // beyond what Redis packs
	timed  int              // fields with a deadline
	bytes  int64
}

// field is one field; deadline is in Unix ms, 0 for none.
type field struct {
	name, value string
	deadline    int64
}

func newHash() *hash { return &hash{} }

func (h *hash) kind() string { return "hash" }
func (h *hash) encoding() string {
	if h.big {
		return "hashtable"
	}
	return "listpack"
}

func (h *hash) size() int {
	if h == nil {
		return 0
	}
	return len(h.fields)
}

func (h *hash) memory() int64 { return h.bytes + (perElement+24)*int64(len(h.fields)) }

func (h *hash) clone(func(int)) object {
	out := *h
	out.fields, out.index = slices.Clone(h.fields), maps.Clone(h.index)
	return &out
}

func (h *hash) find(name string) int {
	switch {
	case h == nil:
		return -1
	case h.index != nil:
		if i, ok := h.index[name]; ok {
			return int(i)
		}
		return -1
	}
	for i := range h.fields {
		if h.fields[i].name == name {
			return i
		}
	}
	return -1
}

func (h *hash) get(name string) (string, bool) {
	if i := h.find(name); i >= 0 {
		return h.fields[i].value, true
	}
	return "", false
}

// set stores a field and reports whether it is new. Its deadline goes, as in Redis.
func (h *hash) set(name, value string, lim *limits) bool {
	if int64(max(len(name), len(value))) > lim.hashValue {
		h.big = true
	}
	if i := h.find(name); i >= 0 {
		f := &h.fields[i]
		h.bytes += int64(len(value) - len(f.value))
		f.value = value
		h.expireAt(i, 0)
		return false
	}
	h.fields = append(h.fields, field{name: name, value: value})
	h.bytes += int64(len(name) + len(value))
	if int64(len(h.fields)) > lim.hashEntries {
		h.big = true
	}
	switch {
	case h.index != nil:
		h.index[name] = int32(len(h.fields) - 1)
	case len(h.fields) >= indexedFrom:
		h.reindex()
	}
	return true
}

func (h *hash) reindex() {
	h.index = make(map[string]int32, 2*len(h.fields))
	for i := range h.fields {
		h.index[h.fields[i].name] = int32(i)
	}
}

// expireAt gives the i-th field a deadline, 0 for none.
func (h *hash) expireAt(i int, at int64) {
	f := &h.fields[i]
	if f.deadline != 0 {
		h.timed--
	}
	if at != 0 {
		h.timed++
	}
	f.deadline = at
}

// nearest is the first deadline of a field, 0 for none.
func (h *hash) nearest() (first int64) {
	if h == nil || h.timed == 0 {
		return 0
	}
	for i := range h.fields {
		if at := h.fields[i].deadline; at != 0 && (first == 0 || at < first) {
			first = at
		}
	}
	return first
}

func (h *hash) remove(name string) bool {
	i := h.find(name)
	if i < 0 {
		return false
	}
	h.expireAt(i, 0)
	h.bytes -= int64(len(name) + len(h.fields[i].value))
	if h.index != nil {
		delete(h.index, name)
	}
	last := len(h.fields) - 1
	if !h.big { // the order stays
		copy(h.fields[i:], h.fields[i+1:])
	} else {
		h.fields[i] = h.fields[last]
	}
	h.fields[last] = field{}
	h.fields = h.fields[:last]
	switch {
	case h.index == nil || i == last:
	case h.big:
		h.index[h.fields[i].name] = int32(i)
	default:
		for ; i < last; i++ {
			h.index[h.fields[i].name] = int32(i)
		}
	}
	return true
}
