package lua

import "math"

// Table is Lua's only structure: an array part, and a hash part with chained
// scatter (Brent's variation), laid out as in Lua 5.1. So pairs, and with it
// cjson.encode and cmsgpack.pack, go through it in the order of Redis, and what
// a script computes here is byte by byte what it computes there.
type Table struct {
	array    []Value
	nodes    []node // none, or a power of two of them
	free     int    // all nodes from here on are in use
	meta     *Table
	readonly bool
	// unordered: the order differs between servers; see hashesAlike.
	unordered bool
	id        ident
}

// node is a place in the hash part; next is the index of the next one of the
// chain plus one.
type node struct {
	key, val Value
	next     int32
}

// maxArray is the longest array part, as in Lua.
const maxArray = 1 << 26

func newTable(array, hash int) *Table {
	t := &Table{}
	if array > 0 {
		t.array = make([]Value, array)
	}
	t.makeNodes(hash)
	return t
}

// NewTable makes an empty table.
func NewTable() *Table { return &Table{} }

func (t *Table) makeNodes(n int) {
	t.nodes, t.free = nil, 0
	if n > 0 {
		t.nodes = make([]node, 1<<ceilLog2(n))
		t.free = len(t.nodes)
	}
}

// bytes is about what the table takes.
func (t *Table) bytes() int { return 96 + 16*len(t.array) + 40*len(t.nodes) }

func ceilLog2(n int) int {
	b := 0
	for 1<<b < n {
		b++
	}
	return b
}

// hashString is Lua 5.1's, in Redis's version: of every byte.
func hashString(s string) uint32 {
	h := uint32(len(s))
	for i := len(s) - 1; i >= 0; i-- {
		h ^= h<<5 + h>>2 + uint32(s[i])
	}
	return h
}

// place is where a key belongs in the hash part. There are nodes.
func (t *Table) place(key Value) int {
	mask := uint32(len(t.nodes) - 1)
	switch k := key.(type) {
	case string:
		return int(hashString(k) & mask)
	case float64:
		if k == 0 {
			return 0
		}
		bits := math.Float64bits(k)
		return int((uint32(bits) + uint32(bits>>32)) % (mask | 1))
	case bool:
		if k {
			return int(1 & mask)
		}
		return 0
	}
	id, _ := identOf(key)
	return int(id % (mask | 1))
}

// arrayIndex is the key as an index of the array part, 0 if it is none.
func arrayIndex(key Value) int {
	if f, ok := key.(float64); ok {
		if i := int32(f); float64(i) == f {
			return int(i)
		}
	}
	return 0
}

// find is the node of a key, nil for none.
func (t *Table) find(key Value) *node {
	if t.nodes == nil {
		return nil
	}
	name, named := key.(string)
	for i := t.place(key); ; {
		n := &t.nodes[i]
		if s, ok := n.key.(string); ok == named && (ok && s == name || !ok && n.key == key) {
			return n
		}
		if n.next == 0 {
			return nil
		}
		i = int(n.next) - 1
	}
}

// Get is the value of a key, without metamethods.
func (t *Table) Get(key Value) Value {
	switch k := key.(type) {
	case string:
		return t.getString(k, hashString(k))
	case float64:
		if i := int(k); uint(i-1) < uint(len(t.array)) && float64(i) == k {
			return t.array[i-1]
		}
	case nil:
		return nil
	}
	if n := t.find(key); n != nil {
		return n.val
	}
	return nil
}

func (t *Table) getString(k string, hash uint32) Value {
	if t.nodes == nil {
		return nil
	}
	for i := int(hash) & (len(t.nodes) - 1); ; {
		n := &t.nodes[i]
		if s, ok := n.key.(string); ok && s == k {
			return n.val
		}
		if n.next == 0 {
			return nil
		}
		i = int(n.next) - 1
	}
}

// Int is the value of an integer key.
func (t *Table) Int(i int) Value {
	if uint(i-1) < uint(len(t.array)) {
		return t.array[i-1]
	}
	if t.nodes == nil {
		return nil
	}
	return t.Get(float64(i))
}

// Set gives a key a value, without metamethods and whether the table is frozen or
// not. The key is neither nil nor NaN. grown: the table takes more memory.
func (t *Table) Set(key, val Value) (grown bool) {
	if i := arrayIndex(key); uint(i-1) < uint(len(t.array)) {
		t.array[i-1] = val
		return false
	}
	if n := t.find(key); n != nil {
		n.val = val
		return false
	}
	t.unordered = t.unordered || !hashesAlike(key)
	return t.insert(key, val)
}

// hashesAlike reports whether the place of a key is the same in all servers: not that
// of an address, nor of a long string, of which older ones hash some bytes only.
func hashesAlike(key Value) bool {
	if s, ok := key.(string); ok {
		return len(s) < 32
	}
	_, addressed := identOf(key)
	return !addressed
}

// SetInt is Set of an integer key.
func (t *Table) SetInt(i int, val Value) bool {
	if uint(i-1) < uint(len(t.array)) {
		t.array[i-1] = val
		return false
	}
	return t.Set(Number(float64(i)), val)
}

// insert adds a key that is not there, also with the value nil, as Lua does.
func (t *Table) insert(key, val Value) (grown bool) {
	if t.nodes == nil {
		t.rehash(key)
		t.Set(key, val)
		return true
	}
	at := t.place(key)
	if t.nodes[at].val != nil {
		free := t.freeNode()
		if free < 0 {
			t.rehash(key)
			t.Set(key, val)
			return true
		}
		if other := t.place(t.nodes[at].key); other != at {
			// The one here is not at home: it makes room.
			for int(t.nodes[other].next)-1 != at {
				other = int(t.nodes[other].next) - 1
			}
			t.nodes[other].next = int32(free) + 1
			t.nodes[free] = t.nodes[at]
			t.nodes[at] = node{}
		} else {
			t.nodes[free].next = t.nodes[at].next
			t.nodes[at].next = int32(free) + 1
			at = free
		}
	}
	t.nodes[at].key, t.nodes[at].val = key, val
	return false
}

func (t *Table) freeNode() int {
	for t.free > 0 {
		t.free--
		if t.nodes[t.free].key == nil {
			return t.free
		}
	}
	return -1
}

// rehash makes both parts as large as they should be with one more key.
func (t *Table) rehash(extra Value) {
	var nums [28]int // of the integer keys in (2^(i-1), 2^i]
	count := func(key Value) int {
		if k := arrayIndex(key); 0 < k && k <= maxArray {
			nums[ceilLog2(k)]++
			return 1
		}
		return 0
	}
	total, ints := 1, count(extra)
	lg, limit := 0, 1
	for i, v := range t.array {
		if i >= limit {
			lg++
			limit *= 2
		}
		if v != nil {
			nums[lg]++
			total, ints = total+1, ints+1
		}
	}
	for i := range t.nodes {
		if t.nodes[i].val != nil {
			total++
			ints += count(t.nodes[i].key)
		}
	}
	size, inArray := arraySize(&nums, ints)
	t.resize(size, total-inArray)
}

// arraySize is the largest n such that more than half of the places 1 to n are in
// use, and how many are.
func arraySize(nums *[28]int, ints int) (size, used int) {
	sum := 0
	for i, n := range nums {
		power := 1 << i
		if power/2 >= ints {
			break
		}
		if n > 0 {
			if sum += n; sum > power/2 {
				size, used = power, sum
			}
		}
		if sum == ints {
			break
		}
	}
	return size, used
}

func (t *Table) resize(array, hash int) {
	oldArray, oldNodes := t.array, t.nodes
	if array > len(oldArray) {
		t.array = make([]Value, array)
		copy(t.array, oldArray)
	}
	t.makeNodes(hash)
	if array < len(oldArray) {
		t.array = append([]Value(nil), oldArray[:array]...)
		for i := array; i < len(oldArray); i++ {
			if oldArray[i] != nil {
				t.Set(float64(i+1), oldArray[i])
			}
		}
	}
	for i := len(oldNodes) - 1; i >= 0; i-- {
		if oldNodes[i].val != nil {
			t.Set(oldNodes[i].key, oldNodes[i].val)
		}
	}
}

// growArray makes room for n elements, as a list in a constructor does.
func (t *Table) growArray(n int) {
	if n > len(t.array) {
		t.resize(n, len(t.nodes))
	}
}

// Len is a border: an n with a value at n and none at n+1.
func (t *Table) Len() int {
	j := len(t.array)
	if j > 0 && t.array[j-1] == nil {
		return border(0, j, t.Int)
	}
	if t.nodes == nil {
		return j
	}
	i := j
	for j++; t.Int(j) != nil; j *= 2 {
		if i = j; j > math.MaxInt32/2 {
			for i = 1; t.Int(i) != nil; i++ { // made to be searched like this
			}
			return i - 1
		}
	}
	return border(i, j, t.Int)
}

// border searches between i, which has a value or is 0, and j, which has none.
func border(i, j int, get func(int) Value) int {
	for j-i > 1 {
		if m := (i + j) / 2; get(m) == nil {
			j = m
		} else {
			i = m
		}
	}
	return i
}
