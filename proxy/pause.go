package proxy

import (
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"holdfast/backend/command"
)

// pause is CLIENT PAUSE of an embedded store.
type pause struct {
	on      atomic.Bool  // looked at without the lock
	waiting atomic.Int64 // clients

	mu    sync.Mutex
	until time.Time
	all   bool          // reads as well
	ended chan struct{} // closed by CLIENT UNPAUSE, and replaced
}

// set is CLIENT PAUSE: a second one does not shorten the first, nor let through what it
// holds up.
func (p *pause) set(d time.Duration, all bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ended == nil {
		p.ended = make(chan struct{})
	}
	now := time.Now()
	over := !now.Before(p.until)
	if until := now.Add(d); over || until.After(p.until) {
		p.until = until
	}
	p.all = all || p.all && !over
	p.on.Store(true)
}

func (p *pause) end() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.on.Load() {
		p.on.Store(false)
		p.until = time.Time{}
		close(p.ended)
		p.ended = nil
	}
}

// holds reports how long a command is held up from now on; 0: it is not.
func (p *pause) holds(writes bool) (left time.Duration, ended <-chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.on.Load() || !p.all && !writes {
		return 0, nil
	}
	return time.Until(p.until), p.ended
}

// awaitLocalPause waits while CLIENT PAUSE of an embedded store holds the command up. What comes behind it on the
// same connection waits with it.
// True: the server ends, and the command is not carried out.
func (c *client) awaitLocalPause(cmd *command.Command, argv [][]byte) bool {
	p := &c.s.pause
	if !p.on.Load() {
		return false
	}
	writes := c.mayReplicate(cmd, argv)
	if left, _ := p.holds(writes); left <= 0 {
		return false
	}
	p.waiting.Add(1)
	defer p.waiting.Add(-1)
	for {
		left, ended := p.holds(writes)
		if left <= 0 {
			return false
		}
		timer := time.NewTimer(left)
		select {
		case <-timer.C:
		case <-ended:
		case <-c.s.closing:
			timer.Stop()
			c.closing = true
			return true
		}
		timer.Stop()
	}
}

// mayReplicate reports whether a command is held up by CLIENT PAUSE … WRITE: it may write,
// or be sent to replicas.
func (c *client) mayReplicate(cmd *command.Command, argv [][]byte) bool {
	if cmd.Name == "exec" && c.multi != nil {
		for _, queued := range c.multi.unit {
			if q, ok := command.Lookup(queued); ok && c.mayReplicate(q, queued) {
				return true
			}
		}
		return false
	}
	if strings.HasPrefix(cmd.Name, "eval") || strings.HasPrefix(cmd.Name, "fcall") {
		return !strings.HasSuffix(cmd.Name, "_ro") && !c.s.cfg.Local.OnlyReads(argv)
	}
	if strings.HasPrefix(cmd.Name, "script|") {
		return false
	}
	return cmd.Flags&(command.Write|command.MayReplicate) != 0
}

func (c *client) clientPause(argv [][]byte) {
	all := true
	if len(argv) == 4 {
		switch strings.ToLower(string(argv[3])) {
		case "write":
			all = false
		case "all":
		default:
			c.reject("ERR CLIENT PAUSE mode must be WRITE or ALL")
			return
		}
	}
	ms, err := strconv.ParseInt(string(argv[2]), 10, 64)
	switch {
	case len(argv) > 4:
		c.reject(command.UnknownError(argv))
	case err != nil:
		c.reject("ERR timeout is not an integer or out of range")
	case ms < 0:
		c.reject("ERR timeout is negative")
	default:
		c.s.pause.set(time.Duration(min(ms, int64(forEver/time.Millisecond)))*time.Millisecond, all)
		c.answer(replyOK)
	}
}

func (c *client) clientUnpause([][]byte) {
	c.s.pause.end()
	c.answer(replyOK)
}
