package lua

// Next is what comes after a key in the table's order; nil begins, a nil key ends.
// ok: the key is one of the table.
func (t *Table) Next(key Value) (k, v Value, ok bool) {
	i := 0
	if key != nil {
		if i = arrayIndex(key); i < 1 || i > len(t.array) {
			n := t.indexOf(key)
			if n < 0 {
				return nil, nil, false
			}
			i = len(t.array) + n + 1
		}
	}
	for ; i < len(t.array); i++ {
		if t.array[i] != nil {
			return Number(float64(i + 1)), t.array[i], true
		}
	}
	for i -= len(t.array); i < len(t.nodes); i++ {
		if n := &t.nodes[i]; n.val != nil {
			return n.key, n.val, true
		}
	}
	return nil, nil, true
}

func (t *Table) indexOf(key Value) int {
	if t.nodes == nil {
		return -1
	}
	for i := t.place(key); ; {
		n := &t.nodes[i]
		if n.key == key {
			return i
		}
		if n.next == 0 {
			return -1
		}
		i = int(n.next) - 1
	}
}

// Freeze makes a table and all that it holds unchangeable for scripts.
func (t *Table) Freeze() {
	if t == nil || t.readonly {
		return
	}
	t.readonly = true
	t.unordered = true // it was filled in another order than in Redis
	for k, v, _ := t.Next(nil); k != nil; k, v, _ = t.Next(k) {
		if inner, ok := v.(*Table); ok {
			inner.Freeze()
		}
	}
	t.meta.Freeze()
}

// SetMeta gives a table a metatable, nil for none.
func (t *Table) SetMeta(meta *Table) { t.meta = meta }
