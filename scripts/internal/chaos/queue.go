package main

import (
	"fmt"
	"slices"
)

// queue is two lists of one client: ids are pushed to the first, moved from its
// head to the tail of the second, and popped from there. What a move or a pop
// takes depends on everything before it, so one that is lost, doubled or in
// another place shows.
type queue struct {
	todo, done                string
	ids                       map[string]outcome // that were pushed
	moved, popped             []string           // what acknowledged answers gave
	movesUnknown, popsUnknown int                // that took what nobody knows, or nothing
}

// settleMove says what is wrong with an answer. What an older snapshot gave is
// not what Redis moves later: without whole only that it moves something counts.
func (q *queue) settleMove(o outcome, val any, whole bool) string {
	if o == unknown || o == acked && !whole {
		q.movesUnknown++
		return ""
	}
	if o != acked {
		return ""
	}
	if val == nil {
		if left := q.acked() - len(q.moved) - q.movesUnknown; left > 0 {
			return fmt.Sprintf("%s is empty, but %d ids must be there", q.todo, left)
		}
		return ""
	}
	return q.taken(q.todo, &q.moved, fmt.Sprint(val))
}

func (q *queue) settlePop(o outcome, val any, whole bool) string {
	if o == unknown || o == acked && !whole {
		q.popsUnknown++
		return ""
	}
	if o != acked || val == nil {
		return ""
	}
	return q.taken(q.done, &q.popped, fmt.Sprint(val))
}

// taken notes an id that an answer gave: ids leave in the order in which they came.
func (q *queue) taken(from string, list *[]string, id string) string {
	_, n := splitID(id)
	before := 0
	if len(*list) > 0 {
		_, before = splitID((*list)[len(*list)-1])
	}
	*list = append(*list, id)
	switch o, known := q.ids[id]; {
	case !known:
		return fmt.Sprintf("%s gave %s, but nobody pushed it", from, id)
	case o == refused:
		return fmt.Sprintf("%s gave %s, but the client was told that it is not there", from, id)
	case n <= before:
		return fmt.Sprintf("%s gave %s after number %d", from, id, before)
	}
	return ""
}

func (q *queue) acked() (n int) {
	for _, o := range q.ids {
		if o == acked {
			n++
		}
	}
	return n
}

// problems compares the lists in Redis with what the client was told.
func (q *queue) problems(todo, done []string) (list []string) {
	add := func(format string, args ...any) {
		list = append(list, fmt.Sprintf("%s: ", q.todo)+fmt.Sprintf(format, args...))
	}
	b := &bag{key: q.done + " and " + q.todo, kind: "list", ids: q.ids}
	list = append(list, b.problems(slices.Concat(done, todo), false)...)
	in := func(ids []string) map[string]bool {
		m := map[string]bool{}
		for _, id := range ids {
			m[id] = true
		}
		return m
	}
	inTodo, inDone, popped := in(todo), in(done), in(q.popped)
	missing, missingUnsure := 0, 0
	for id, o := range q.ids {
		switch {
		case inTodo[id] || inDone[id] || popped[id] || o == refused:
		case o == acked:
			missing++
		default:
			missingUnsure++
		}
	}
	if missing > q.popsUnknown {
		add("%d acknowledged ids are gone, with %d pops of unknown outcome", missing, q.popsUnknown)
	}
	for _, id := range q.moved {
		if inTodo[id] {
			add("%s was moved, and is still there", id)
		}
	}
	for _, id := range q.popped {
		if inTodo[id] || inDone[id] {
			add("%s was popped, and is still there", id)
		}
	}
	if n, most := len(done)+len(popped)+missing, len(q.moved)+q.movesUnknown; n > most {
		add("%d ids left it, but only %d moves can have happened", n, most)
	}
	if n, least := len(done)+len(popped)+missing+missingUnsure, len(q.moved); n < least {
		add("%d ids left it, but %d moves were acknowledged", n, least)
	}
	return list
}
