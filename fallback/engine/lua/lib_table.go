package lua

import "strings"

func tableLib() *Table {
	return library(map[string]Native{
		"concat": tableConcat, "foreach": tableForeach, "foreachi": tableForeachi, "getn": tableGetn, "maxn": tableMaxn,
		"insert": tableInsert, "remove": tableRemove, "setn": tableSetn, "sort": tableSort,
	})
}

func tableConcat(l *State, args []Value) []Value {
	sep := l.OptString(args, 2, "")
	t, i := l.CheckTable(args, 1), l.OptInt(args, 3, 1)
	var last int
	if at(args, 3) == nil {
		last = t.Len()
	} else {
		last = l.CheckInt(args, 4)
	}
	var out strings.Builder
	for n := i; n <= last; n++ {
		l.step()
		s, ok := ToString(t.Int(n))
		if !ok {
			l.Errorf("invalid value (%s) at index %d in table for 'concat'", TypeName(t.Int(n)), n)
		}
		if n > i {
			s = sep + s
		}
		l.charge(2 * len(s)) // the builder grows by copying
		if out.WriteString(s); out.Len() > maxString {
			l.Errorf("string length overflow")
		}
	}
	return l.Return(out.String())
}

func tableForeach(l *State, args []Value) []Value {
	t, fn := l.CheckTable(args, 1), l.CheckFunction(args, 2)
	if t.unordered {
		l.m.unsure()
	}
	for k, v, ok := t.Next(nil); k != nil && ok; k, v, ok = t.Next(k) {
		if r := at(l.Call(fn, k, v), 0); r != nil {
			return l.Return(r)
		}
	}
	return nil
}

func tableForeachi(l *State, args []Value) []Value {
	t, fn := l.CheckTable(args, 1), l.CheckFunction(args, 2)
	n := t.Len()
	for i := 1; i <= n; i++ {
		if r := at(l.Call(fn, Number(float64(i)), t.Int(i)), 0); r != nil {
			return l.Return(r)
		}
	}
	return nil
}

func tableGetn(l *State, args []Value) []Value {
	return l.Return(Number(float64(l.CheckTable(args, 1).Len())))
}

func tableSetn(l *State, args []Value) []Value {
	l.CheckTable(args, 1)
	return l.Errorf("'setn' is obsolete")
}

func tableMaxn(l *State, args []Value) []Value {
	t, most := l.CheckTable(args, 1), 0.0
	for k, _, _ := t.Next(nil); k != nil; k, _, _ = t.Next(k) {
		if f, ok := k.(float64); ok {
			most = max(most, f)
		}
	}
	return l.Return(Number(most))
}

// writable refuses tables that are frozen.
func (l *State) writable(t *Table) {
	if t.readonly {
		l.readonly()
	}
}

func (l *State) setInt(t *Table, i int, v Value) {
	if t.SetInt(i, v) {
		l.charge(t.bytes())
	}
}

func tableInsert(l *State, args []Value) []Value {
	t := l.CheckTable(args, 1)
	e := t.Len() + 1
	switch len(args) {
	case 2:
		l.writable(t)
		l.setInt(t, e, args[1])
	case 3:
		pos := l.CheckInt(args, 2)
		l.writable(t)
		e = max(e, pos)
		for i := e; i > pos; i-- {
			l.step()
			l.setInt(t, i, t.Int(i-1))
		}
		l.setInt(t, pos, args[2])
	default:
		l.Errorf("wrong number of arguments to 'insert'")
	}
	return nil
}

func tableRemove(l *State, args []Value) []Value {
	t := l.CheckTable(args, 1)
	e := t.Len()
	pos := l.OptInt(args, 2, e)
	if pos < 1 || pos > e {
		return nil
	}
	l.writable(t)
	v := t.Int(pos)
	for ; pos < e; pos++ {
		l.step()
		l.setInt(t, pos, t.Int(pos+1))
	}
	l.setInt(t, e, nil)
	return l.Return(v)
}

// sorter sorts as Lua 5.1 does, comparison by comparison: equal elements end up
// where they do there.
type sorter struct {
	l  *State
	t  *Table
	fn Value
}

func tableSort(l *State, args []Value) []Value {
	s := &sorter{l: l, t: l.CheckTable(args, 1)}
	if s.fn = at(args, 1); s.fn != nil {
		l.CheckFunction(args, 2)
	}
	if n := s.t.Len(); n > 1 {
		l.writable(s.t)
		s.sort(1, n)
	}
	return nil
}

func (s *sorter) less(a, b Value) bool {
	s.l.step()
	if s.fn != nil {
		return Truth(at(s.l.Call(s.fn, a, b), 0))
	}
	return s.l.less(nil, nil, a, b, false)
}

func (s *sorter) swap(i, j int) {
	a, b := s.t.Int(i), s.t.Int(j)
	s.l.setInt(s.t, i, b)
	s.l.setInt(s.t, j, a)
}

// sort is a quicksort around the median of the first, the middle and the last.
func (s *sorter) sort(lo, hi int) {
	for lo < hi {
		if s.less(s.t.Int(hi), s.t.Int(lo)) {
			s.swap(lo, hi)
		}
		if hi-lo == 1 {
			return
		}
		mid := (lo + hi) / 2
		if s.less(s.t.Int(mid), s.t.Int(lo)) {
			s.swap(mid, lo)
		} else if s.less(s.t.Int(hi), s.t.Int(mid)) {
			s.swap(mid, hi)
		}
		if hi-lo == 2 {
			return
		}
		i := s.partition(lo, mid, hi)
		if i-lo < hi-i { // the smaller part by a call, the larger one here
			s.sort(lo, i-1)
			lo = i + 1
		} else {
			s.sort(i+1, hi)
			hi = i - 1
		}
	}
}

func (s *sorter) partition(lo, mid, hi int) int {
	pivot := s.t.Int(mid)
	s.swap(mid, hi-1)
	i, j := lo, hi-1
	for {
		for i++; s.less(s.t.Int(i), pivot); i++ {
			if i > hi {
				s.l.Errorf("invalid order function for sorting")
			}
		}
		for j--; s.less(pivot, s.t.Int(j)); j-- {
			if j < lo {
				s.l.Errorf("invalid order function for sorting")
			}
		}
		if j < i {
			break
		}
		s.swap(i, j)
	}
	s.swap(hi-1, i)
	return i
}
