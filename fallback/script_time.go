package fallback

import (
	"time"

	"holdfast/backend/command"
	"holdfast/backend/resp"
	"holdfast/fallback/engine"
)

// A script is executed while everybody waits for the lock, and some times slower than
// in Redis. So one has only what is left of its client's time, and one
// that is followed very little: what it cannot compute in that is fetched. A call
// that was ended is not tried again for a while where there is no more time than it
// had before.
const (
	followScript = 50 * time.Millisecond  // for a script that Redis acknowledged
	followTwice  = 250 * time.Millisecond // for its second try: it was this process that was starved, perhaps
	slowFor      = 10 * time.Second       // how long a call is remembered as slow
	slowMax      = 1 << 10                // calls
)

const replyScriptTime = "UPSTREAMDOWN the script takes longer than a command may while Redis is unavailable: nothing of it was executed"

// scriptTime is the time that scripts have. Guarded by the store's lock.
type scriptTime struct {
	until time.Time // of the one that runs; zero: only the engine's bound counts
	ended map[uint64]slowCall
}

// slowCall is a call, by the hash of its arguments, that was ended.
type slowCall struct {
	had time.Duration
	at  time.Time
}

func hashCall(argv [][]byte) uint64 {
	h := uint64(14695981039346656037)
	for _, a := range argv {
		for _, b := range a {
			h = (h ^ uint64(b)) * 1099511628211
		}
		h = (h ^ 0x100) * 1099511628211 // the end of an argument
	}
	return h
}

// slow reports whether the call was ended not long ago though it had about as much time.
func (t *scriptTime) slow(argv [][]byte, have time.Duration) bool {
	if len(t.ended) == 0 {
		return false
	}
	c, ok := t.ended[hashCall(argv)]
	return ok && have-have/8 <= c.had && time.Since(c.at) < slowFor
}

func (t *scriptTime) note(argv [][]byte, had time.Duration) {
	if t.ended == nil || len(t.ended) >= slowMax {
		t.ended = map[uint64]slowCall{}
	}
	t.ended[hashCall(argv)] = slowCall{had, time.Now()}
}

// limit gives a script that is about to be executed so much time. The result is
// called behind it.
func (t *scriptTime) limit(until time.Time, argv [][]byte) (end func()) {
	t.until = until
	start := time.Now()
	return func() {
		t.until = time.Time{}
		if !time.Now().Before(until) {
			t.note(argv, until.Sub(start))
		} else if len(t.ended) > 0 {
			delete(t.ended, hashCall(argv))
		}
	}
}

// followed is do with the limits of a script that Redis acknowledged.
func (t *scriptTime) followed(do func(db, proto int, argv [][]byte) engine.Result) func(db, proto int, argv [][]byte) engine.Result {
	return func(db, proto int, argv [][]byte) (res engine.Result) {
		for _, limit := range []time.Duration{followScript, followTwice} {
			until := time.Now().Add(limit)
			end := t.limit(until, argv)
			res = do(db, proto, argv)
			end()
			if time.Now().Before(until) || len(res.Reply) == 0 || res.Reply[0] != '-' {
				break // not ended: after an error nothing of it was executed
			}
		}
		return res
	}
}

// executeInTime executes a request whose scripts have until req.Until; late: that is
// over, and one of them may have been ended.
func (s *Store) executeInTime(req Request) (res engine.Result, late bool) {
	if req.Until.IsZero() {
		return s.execute(req), false
	}
	for _, argv := range req.Commands {
		if !runsScript(argv) {
			continue
		}
		if left := time.Until(req.Until); left <= 0 || s.scripts.slow(argv, left) {
			return engine.Result{Reply: resp.AppendError(nil, replyScriptTime)}, false
		}
		defer s.scripts.limit(req.Until, argv)()
	}
	res = s.execute(req)
	return res, s.scripts.until != (time.Time{}) && !time.Now().Before(req.Until)
}

func runsScript(argv [][]byte) bool {
	c, ok := command.Lookup(argv)
	return ok && c.Flags&command.Script != 0
}
