package proxy

import (
	"bytes"
	"strconv"

	"holdfast/backend"
	"holdfast/backend/command"
	"holdfast/backend/resp"
	"holdfast/proxy/syncstream"
)

// pump delivers the frames of one upstream connection. It looks at the first
// bytes of a frame to tell a reply from a push; the rest passes through as it
// comes, however long it is.
type pump struct {
	r       *relay
	split   resp.Splitter
	hold    []byte // start of a frame that is too short to judge
	instead []byte // goes out when the frame under way, which does not, has ended
	decided bool   // the frame under way is judged
	deliver bool   // its bytes go to the client
	reply   expect // what it answers, when it is a reply
	isReply bool
	head    [8]byte // its first bytes, which say how it went
	whole   []byte  // all of it, for what looks into replies to writes
	stream  bool    // from here on it is a replication stream, no frames
	sync    *syncstream.Filter
	locked  bool // the client's socket is ours: part of a frame has gone out
}

// run delivers until the client or the connection ends; after an outage it sets
// up standing state again and goes on.
func (r *relay) run() {
	for {
		r.mu.Lock()
		sess := r.sess
		r.mu.Unlock()
		p := &pump{r: r}
		p.copy(sess)
		_ = sess.Close()
		if r.lost(p, sess) {
			break
		}
		if !r.restore() {
			break
		}
	}
	r.close()
}

func (p *pump) copy(sess *backend.Session) {
	defer p.unlock()
	conn := sess.Conn()
	buf := make([]byte, 16<<10)
	for {
		n, err := conn.Read(buf)
		if n > 0 && p.take(buf[:n]) != nil {
			return
		}
		if err != nil {
			return
		}
		if !p.halfOut() {
			p.unlock()
		}
	}
}

// take passes on what was read: runs of delivered bytes in one write each.
func (p *pump) take(b []byte) error {
	if len(p.hold) > 0 {
		b = append(p.hold, b...)
		p.hold = nil
	}
	run, done := 0, 0 // b[run:i] waits to be written; replies completed
	i := 0
	for i < len(b) && !p.streams() {
		if !p.decided && !p.judge(b[i:]) {
			p.hold = append([]byte(nil), b[i:]...)
			b = b[:i]
			break
		}
		n, complete, err := p.split.Feed(b[i:])
		if err != nil {
			return err
		}
		if p.isReply && p.reply.keep {
			p.whole = append(p.whole, b[i:i+n]...)
			p.reply.keep = len(p.whole) <= maxKeptBytes || p.reply.shown != nil
		}
		if !p.deliver {
			if err := p.write(b[run:i]); err != nil {
				return err
			}
			run = i + n
		}
		i += n
		if complete {
			done += p.finish()
			if err := p.write(p.instead); err != nil {
				return err
			}
			p.instead = nil
		}
	}
	if run < i {
		if err := p.write(b[run:i]); err != nil {
			return err
		}
	}
	if err := p.write(p.streamed(b[i:])); err != nil {
		return err
	}
	p.r.settled(done)
	return nil
}

// streams reports whether what comes now is a replication stream, which passes
// through as it is: a snapshot has no line end, and line ends keep it alive.
func (p *pump) streams() bool {
	if p.stream || p.decided {
		return p.stream
	}
	p.r.mu.Lock()
	defer p.r.mu.Unlock()
	if p.stream = len(p.r.queue) > 0 && p.r.queue[0].stream; p.stream && p.r.queue[0].cmd.Name == "sync" {
		p.sync = &syncstream.Filter{Own: isOwn}
	}
	return p.stream
}

// streamed is what the client gets of b, which is of a replication stream.
func (p *pump) streamed(b []byte) []byte {
	if p.sync == nil {
		return b
	}
	return p.sync.Feed(b)
}

// settled counts replies that the client has got.
func (r *relay) settled(n int) {
	if n == 0 {
		return
	}
	r.mu.Lock()
	r.owed -= n
	r.expectSoon()
	r.cond.Broadcast()
	r.mu.Unlock()
}

// judge decides what the frame that begins with b is. False: more of it is needed.
func (p *pump) judge(b []byte) bool {
	word, enough := firstWord(b)
	if !enough {
		return false
	}
	r := p.r
	r.mu.Lock()
	defer r.mu.Unlock()
	inSub := r.subs.any() || (len(r.queue) > 0 && r.queue[0].confirm)
	feed := r.monitor && b[0] == '+' && b[1] >= '0' && b[1] <= '9'
	hide := false
	if b[0] == '>' || r.proto == 2 && inSub || feed {
		if hide, p.instead, enough = r.c.s.aboutOwn(b, word, feed); !enough {
			return false
		}
	}
	p.decided, p.deliver, p.isReply = true, !hide, false
	copy(p.head[:], b)
	switch {
	case len(r.queue) > 0 && r.queue[0].confirm && (bytes.HasSuffix(word, []byte("subscribe")) || b[0] == '-'):
		p.take1(b[0] == '-')
	case b[0] == '>':
	case r.proto == 2 && inSub && isMessage(word):
	case feed:
	case len(r.queue) > 0:
		p.take1(true)
		p.deliver = p.deliver && !p.reply.mute
		if p.deliver && p.reply.shown != nil {
			p.deliver = false // finish makes the reply
		} else {
			p.reply.shown = nil
		}
	}
	return true
}

// take1 books one frame on the reply that is due. The relay's lock is held.
func (p *pump) take1(all bool) {
	e := &p.r.queue[0]
	e.left--
	p.deliver = !e.swallow
	if e.left > 0 && !all {
		return
	}
	p.reply, p.isReply = *e, true
	p.reply.keep = e.shown != nil || e.cmd != nil && (e.cmd.Name == "exec" || isWrite(e.cmd))
	if e.cmd != nil && e.cmd.Name == "exec" {
		for _, argv := range p.r.unit {
			if cmd, ok := command.Lookup(argv); ok {
				p.r.c.s.tells(cmd, argv)
			}
		}
		p.reply.shown = p.r.shownUnit()
	} else if e.cmd != nil {
		p.r.c.s.tells(e.cmd, e.argv)
	}
	p.r.queue[0] = expect{}
	p.r.queue = p.r.queue[1:]
}

func isMessage(word []byte) bool {
	switch string(word) {
	case "message", "pmessage", "smessage":
		return true
	}
	return false
}

// firstWord is the first element of an array or push of bulk strings, nil for
// everything else.
func firstWord(b []byte) (word []byte, enough bool) {
	if b[0] != '*' && b[0] != '>' {
		return nil, len(b) >= 8 || bytes.IndexByte(b, '\n') >= 0
	}
	i := bytes.IndexByte(b, '\n') + 1
	if i == 0 {
		return nil, false
	}
	if c := b[1]; c == '0' || c == '-' {
		return nil, true
	}
	if i == len(b) {
		return nil, false
	}
	if b[i] != '$' {
		return nil, true
	}
	j := bytes.IndexByte(b[i:], '\n') + i + 1
	if j == i {
		return nil, false
	}
	n, err := strconv.Atoi(string(b[i+1 : max(i+1, j-2)]))
	if err != nil || n < 0 || n > len("punsubscribe") {
		return nil, true
	}
	if len(b) < j+n {
		return nil, false
	}
	return b[j : j+n], true
}

// finish notes the effects of a complete frame; it returns how many commands
// that answers.
func (p *pump) finish() int {
	p.decided = false
	if !p.isReply {
		return 0
	}
	p.isReply = false
	e := p.reply
	p.reply = expect{}
	e.handover.end()
	r := p.r
	failed := p.head[0] == '-' || p.head[0] == '!'
	r.mu.Lock()
	unit := r.answered(&e, p.head[:], p.whole, failed)
	r.mu.Unlock()
	defer r.endWrites(&e)
	switch {
	case unit != nil:
		p.acked(&e, unit, true)
	case !failed && isWrite(e.cmd) && !bytes.HasPrefix(p.head[:], []byte("+QUEUED")):
		p.acked(&e, [][][]byte{e.argv}, false)
	}
	if e.shown != nil {
		p.instead = e.shown(p.whole)
	}
	p.whole = nil
	return 1
}

func selects(argv [][]byte) bool {
	cmd, ok := command.Lookup(argv)
	return ok && cmd.Name == "select"
}

// refetch makes the mirror fetch keys again.
func (r *relay) refetch(keys [][]byte) {
	if f, ok := r.c.s.cfg.Local.(interface{ Invalidate(keys [][]byte) }); ok && len(keys) > 0 {
		f.Invalidate(keys)
	}
}

func isWrite(cmd *command.Command) bool {
	return cmd != nil && cmd.Flags&(command.Write|command.Script) != 0
}

func isOK(head []byte) bool { return bytes.HasPrefix(head, []byte("+OK")) }

// answered follows what a reply says about the connection. It returns the unit
// that an EXEC has executed. The lock is held.
func (r *relay) answered(e *expect, head, whole []byte, failed bool) (unit [][][]byte) {
	if failed && e.undo != nil {
		e.undo()
	}
	if e.cmd == nil {
		return nil
	}
	if bytes.HasPrefix(head, []byte("+QUEUED")) {
		if len(r.held) == 0 {
			r.heldAt = e.sent
		}
		r.unit, r.held = append(r.unit, e.argv), append(r.held, e.wrote...)
		r.extras = append(r.extras, e.extra)
		e.wrote = nil
		return nil
	}
	switch e.cmd.Name {
	case "watch":
		if r.watch = r.watch || isOK(head); isOK(head) {
			r.watched += len(e.argv) - 1
		}
	case "multi":
		r.multi = r.multi || isOK(head)
	case "exec", "discard":
		if bytes.HasPrefix(head, []byte("-ERR")) {
			return nil // no unit, or wrong arity
		}
		if e.cmd.Name == "exec" && !failed && (head[0] == '*' && head[1] != '-') {
			unit = r.unit
		}
		r.watch, r.watched, r.multi, r.unit, r.extras = false, 0, false, nil, nil
		e.wrote, r.held = append(e.wrote, r.held...), nil
		r.unitDone(unit, whole)
	case "unwatch":
		if r.watch = r.watch && failed; !r.watch {
			r.watched = 0
		}
	case "select":
		if db, err := strconv.Atoi(string(e.argv[len(e.argv)-1])); err == nil && isOK(head) {
			r.db, r.selected = db, true
		}
	case "client|tracking":
		if isOK(head) {
			r.tracking = nil
			if bytes.EqualFold(e.argv[2], []byte("on")) {
				r.tracking = e.argv
			}
		}
	}
	return unit
}

// unitDone follows what an executed unit did to the connection: whole is the
// reply of EXEC when there is something to follow. The lock is held.
func (r *relay) unitDone(unit [][][]byte, whole []byte) {
	v, _, err := resp.Parse(whole)
	if err != nil || len(v.Elems) != len(unit) {
		return
	}
	for i, argv := range unit {
		cmd, _ := command.Lookup(argv)
		if cmd == nil || v.Elems[i].IsError() {
			continue
		}
		switch cmd.Name {
		case "hello":
			if len(argv) > 1 {
				r.proto, r.selected = int(argv[1][0]-'0'), true // 2 or 3, or it had failed
			}
		case "select":
			if db, err := strconv.Atoi(string(argv[1])); err == nil {
				r.db, r.selected = db, true
				r.c.s.cache.Invalidate(nil) // what was written where, nobody followed
			}
		case "client|setname":
			name := string(argv[2])
			r.c.name.Store(&name)
		}
	}
}
