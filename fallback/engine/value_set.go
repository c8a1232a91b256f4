package engine

import (
	"maps"
	"slices"
	"strconv"
)

// set has its members as sorted integers as long as all are such and few, as Redis's
// intset; then as strings, with an index once a search from one end would take long.
type set struct {
	ints    []int64
	members []string
	index   map[string]int32 // nil while there are few members
	strs    bool             // members and index are in use
	bytes   int64
}

// indexed is the number of members or fields from which on there is a map of them.
const indexedFrom = 12

func newSet() *set { return &set{} }

func (s *set) kind() string { return "set" }
func (s *set) encoding() string {
	if s.strs {
		return "hashtable"
	}
	return "intset"
}

func (s *set) size() int {
	if s == nil {
		return 0
	}
	return len(s.ints) + len(s.members)
}

func (s *set) memory() int64 {
	return 8*int64(cap(s.ints)) + s.bytes + perElement*int64(len(s.members))
}

func (s *set) clone(func(int)) object {
	return &set{ints: slices.Clone(s.ints), members: slices.Clone(s.members), index: maps.Clone(s.index), strs: s.strs, bytes: s.bytes}
}

// at is the i-th member in the set's own order.
func (s *set) at(i int) string {
	if s.strs {
		return s.members[i]
	}
	return strconv.FormatInt(s.ints[i], 10)
}

// all copies the members.
func (s *set) all() []string {
	out := make([]string, s.size())
	for i := range out {
		out[i] = s.at(i)
	}
	return out
}

func (s *set) find(m string) int {
	switch {
	case s == nil:
		return -1
	case !s.strs:
		n, ok := parseInt(m)
		if !ok {
			return -1
		}
		if i, found := slices.BinarySearch(s.ints, n); found {
			return i
		}
		return -1
	case s.index != nil:
		if i, ok := s.index[m]; ok {
			return int(i)
		}
		return -1
	}
	return slices.Index(s.members, m)
}

func (s *set) has(m string) bool { return s.find(m) >= 0 }

// add reports whether the member is new. most is the number of integers up to which
// they are kept as such.
func (s *set) add(m string, most int64) bool {
	if s.has(m) {
		return false
	}
	if !s.strs {
		if n, ok := parseInt(m); ok {
			i, _ := slices.BinarySearch(s.ints, n)
			s.ints = slices.Insert(s.ints, i, n)
			if int64(len(s.ints)) > most {
				s.convert()
			}
			return true
		}
		s.convert()
	}
	s.append(m)
	return true
}

func (s *set) append(m string) {
	s.members = append(s.members, m)
	s.bytes += int64(len(m))
	switch {
	case s.index != nil:
		s.index[m] = int32(len(s.members) - 1)
	case len(s.members) >= indexedFrom:
		s.index = make(map[string]int32, 2*indexedFrom)
		for i, m := range s.members {
			s.index[m] = int32(i)
		}
	}
}

// convert makes the integers strings.
func (s *set) convert() {
	ints := s.ints
	s.ints, s.strs = nil, true
	for _, n := range ints {
		s.append(strconv.FormatInt(n, 10))
	}
}

func (s *set) remove(m string) bool {
	i := s.find(m)
	if i < 0 {
		return false
	}
	s.removeAt(i)
	return true
}

func (s *set) removeAt(i int) {
	if !s.strs {
		s.ints = slices.Delete(s.ints, i, i+1)
		return
	}
	last := len(s.members) - 1
	gone := s.members[i]
	s.bytes -= int64(len(gone))
	if s.index != nil {
		delete(s.index, gone)
	}
	if i != last {
		s.members[i] = s.members[last]
		if s.index != nil {
			s.index[s.members[i]] = int32(i)
		}
	}
	s.members[last] = ""
	s.members = s.members[:last]
}
