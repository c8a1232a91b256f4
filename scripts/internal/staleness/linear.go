package main

import (
	"context"
	"fmt"
	"math"
	"math/rand"
	"strings"
	"sync"
	"time"

	"github.com/anishathalye/porcupine"

	"holdfast/scripts/internal/clients"
)

const (
	linearClients = 4
	linearOps     = 14 // of one client on one key; the search grows fast
	linearTimeout = 5 * time.Second
)

// input is one operation on a register or a counter; both hold a number.
type input struct {
	op    string // get, set, incr
	value int
}

// output is what it gave; unknown: no answer told.
type output struct {
	value   int
	unknown bool
}

// model is one key: a register that is set, or a counter that is raised.
var model = porcupine.Model{
	Init: func() any { return 0 },
	Step: func(state, in, out any) (bool, any) {
		i, o, now := in.(input), out.(output), state.(int)
		switch i.op {
		case "set":
			return true, i.value
		case "incr":
			return o.unknown || o.value == now+1, now + 1
		}
		return o.value == now, now
	},
	DescribeOperation: func(in, out any) string { return fmt.Sprintf("%v -> %v", in, out) },
}

// linearize makes short histories of keys that are written through the proxy
// alone, by several clients at once, and searches each for an order that
// explains all answers.
func (j *judge) linearize(ctx context.Context, r *rand.Rand) {
	conns := make([]clients.Conn, linearClients)
	for i := range conns {
		conns[i] = clients.Raw(clients.Config{Addr: j.holdfast.Addr(), Proto: 2 + i%2})
		defer conns[i].Close()
	}
	for round := 0; ctx.Err() == nil; round++ {
		key := fmt.Sprintf("aiclient:linear:%d", round)
		counter := round%2 == 0
		var mu sync.Mutex
		var wg sync.WaitGroup
		var history []porcupine.Operation
		begin := time.Now()
		for i, c := range conns {
			seed := r.Int63()
			wg.Go(func() {
				ops := j.someOps(c, i, key, counter, rand.New(rand.NewSource(seed)))
				mu.Lock()
				history = append(history, ops...)
				mu.Unlock()
			})
		}
		wg.Wait()
		j.judgeHistory(ctx, key, history, begin, time.Now())
	}
}

func (j *judge) someOps(c clients.Conn, id int, key string, counter bool, r *rand.Rand) (ops []porcupine.Operation) {
	for n := range linearOps {
		in := input{op: "get"}
		cmd := []string{"GET", key}
		switch {
		case r.Intn(2) == 0:
		case counter:
			in.op, cmd = "incr", []string{"INCR", key}
		default:
			in.op, in.value = "set", 1+id*linearOps+n
			cmd = []string{"SET", key, fmt.Sprint(in.value)}
		}
		call := time.Since(j.began)
		replies, err := c.Do([][]string{cmd})
		back := time.Since(j.began)
		op := porcupine.Operation{ClientId: id, Input: in, Call: int64(call), Return: int64(back)}
		switch reply := replies[0]; {
		case err != nil:
			j.violate("client %d: connection closed though the proxy lived: %v", id, err)
			return ops
		case strings.Contains(reply.Err, "may or may not"):
			op.Output, op.Return = output{unknown: true}, math.MaxInt64
		case strings.HasPrefix(reply.Err, "UPSTREAMDOWN "):
			continue // not applied
		case reply.Err != "":
			j.violate("client %d: %v: %s", id, cmd, reply.Err)
			return ops
		case in.op == "set":
			op.Output = output{}
		default:
			v, err := number(reply.Val)
			if err != nil {
				j.violate("client %d: %v answered %v: %v", id, cmd, reply.Val, err)
				return ops
			}
			op.Output = output{value: v}
		}
		ops = append(ops, op)
		time.Sleep(time.Duration(r.Intn(5000)) * time.Microsecond)
	}
	return ops
}

func (j *judge) judgeHistory(ctx context.Context, key string, history []porcupine.Operation, begin, end time.Time) {
	// A client takes the next number only after an unknown outcome is over: give
	// those a client of their own.
	for i := range history {
		if history[i].Output.(output).unknown {
			history[i].ClientId = linearClients + i
		}
	}
	result := porcupine.CheckOperationsTimeout(model, history, linearTimeout)
	j.histories.Add(1)
	switch result {
	case porcupine.Unknown:
		j.unclear.Add(1)
	case porcupine.Illegal:
		online := j.awaitSteady(ctx, begin, end)
		j.logf("history of %s, online all the time: %v", key, online)
		for _, op := range history {
			j.logf("  client %d %.6fs to %.6fs: %v -> %v", op.ClientId, time.Duration(op.Call).Seconds(), time.Duration(op.Return).Seconds(), op.Input, op.Output)
		}
		if online {
			j.violate("%s: no order explains all answers (its history is in events.log)", key)
		} else {
			j.torn.Add(1)
		}
	}
}

// awaitSteady tells whether the proxy was online from begin to end.
func (j *judge) awaitSteady(ctx context.Context, begin, end time.Time) bool {
	for ctx.Err() == nil {
		j.modes.mu.Lock()
		online, known := j.modes.steady(begin, end)
		j.modes.mu.Unlock()
		if known {
			return online
		}
		sleep(ctx, 5*time.Millisecond)
	}
	return false
}
