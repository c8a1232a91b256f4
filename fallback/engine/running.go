package engine

import (
	"errors"
	"sync/atomic"
	"time"

	"holdfast/fallback/engine/lua"
)

// Running is a script that runs. Its methods may be called by any goroutine, also
// while the engine belongs to the script.
type Running struct {
	// Function is the name of the function that was called; "" for EVAL.
	Function string
	// Command is what the client sent; it must not be changed.
	Command [][]byte
	Started time.Time

	machine *lua.Machine
	dirty   atomic.Bool // it called a command that writes
}

// Why a script was ended.
var (
	errKilled  = refusal("Script killed by user with SCRIPT KILL...")
	errTime    = refusal("UPSTREAMDOWN the script takes longer than a command may while Redis is unavailable: nothing of it was executed")
	errAborted = errors.New("the server shuts down")
)

// Replies about scripts that run, as in Redis 7.0.
const (
	errNotBusy    = "NOTBUSY No scripts in execution right now."
	errUnkillable = "UNKILLABLE Sorry the script already executed write commands against the dataset. You can either wait the " +
		"script termination or kill the server in a hard way using the SHUTDOWN NOSAVE command."
	errBusyEval     = "BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE."
	errBusyFunction = "BUSY Redis is busy running a script. You can only call FUNCTION KILL or SHUTDOWN NOSAVE."
)

// Busy is the error for other commands while the script runs for long.
func (r *Running) Busy() string {
	if r.Function == "" {
		return errBusyEval
	}
	return errBusyFunction
}

// scriptParams are the two names of the time after which others are told that a script
// is busy, in milliseconds.
func scriptParams() (out []*param) {
	for _, name := range []string{"busy-reply-threshold", "lua-time-limit"} {
		out = append(out, &param{
			name: name,
			get:  func(e *Engine) string { return itoa(e.BusyAfter().Milliseconds()) },
			set: func(e *Engine, v string) string {
				n, ok := parseInt(v)
				switch {
				case !ok:
					return "argument couldn't be parsed into an integer"
				case n < 0:
					return "argument must be between 0 and 9223372036854775807 inclusive"
				}
				e.SetBusyAfter(time.Duration(min(n, 1<<40)) * time.Millisecond)
				return ""
			},
		})
	}
	return out
}

// Abort ends the script wherever it is; what it wrote is undone.
func (r *Running) Abort() { r.machine.Stop(errAborted) }

// Running is the script that runs, nil for none. Any goroutine may ask.
func (e *Engine) Running() *Running { return e.running.Load() }

// Kill is SCRIPT KILL, or FUNCTION KILL for a function. It returns the error to
// reply with, "" when the script will end. Any goroutine may call it.
func (e *Engine) Kill(function bool) string {
	r := e.running.Load()
	switch {
	case r == nil:
		return errNotBusy
	case r.dirty.Load():
		return errUnkillable
	case function != (r.Function != ""):
		return r.Busy()
	}
	r.machine.Stop(errKilled)
	return ""
}
