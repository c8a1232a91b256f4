package main

import (
	"fmt"
	"time"
)

// compareAndSet raises a counter that all clients raise by WATCH, GET, MULTI,
// SET, EXEC: each EXEC that is not nil is one more, whoever else wrote and
// whatever happened between WATCH and EXEC.
func (wk *worker) compareAndSet() {
	c := wk.keys.watched
	look := [][]string{{"WATCH", c.key}, c.get()}
	replies, sent := wk.send(look)
	for i, r := range replies {
		if wk.judge(op{read: true, own: true, cmds: look[i:]}, r, sent) != acked {
			if r.Answered {
				wk.send([][]string{{"UNWATCH"}})
			}
			return
		}
	}
	if !wk.whole() { // what an older snapshot gave would be set as one more, and take back what came after it
		wk.send([][]string{{"UNWATCH"}})
		return
	}
	n, err := number(replies[1].Val)
	if err != nil {
		wk.check(fmt.Sprintf("%s: %v", c.key, err))
		return
	}
	if wk.rand.Intn(3) == 0 {
		time.Sleep(time.Duration(wk.rand.Intn(300)) * time.Millisecond)
	}
	wk.do([]op{{own: true, cmds: [][]string{{"MULTI"}, {"SET", c.key, fmt.Sprint(n + 1)}, {"EXEC"}}, settle: func(o outcome, val any) {
		if o == acked && val == nil {
			o = refused // somebody else was faster
		}
		c.settle(o, 1)
	}}})
}
