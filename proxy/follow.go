package proxy

import (
	"time"

	"holdfast/backend"
	"holdfast/backend/resp"
	"holdfast/proxy/cache"
)

// followed answers a read that waited for the same read of another client. If
// that had been overtaken, one of those who waited sends the next one.
func (c *client) followed(i int) {
	b := &c.batch
	it := &b.items[i]
	reply, how := it.fill.Wait(time.Now().Add(c.s.cfg.CommandTimeout))
	switch how {
	case cache.Answered:
		b.out = append(b.out, reply...)
	case cache.Leads:
		c.lead(i)
	default:
		c.elsewhere(it)
	}
}

// lead sends item i, whose turn has come, and with it all later ones of this
// batch whose turn has come too. It waits for Redis alone: see cache.Fill.Wait.
func (c *client) lead(i int) {
	b := &c.batch
	led := make([]int, 1, 1+len(b.items)-i)
	led[0] = i
	for j := i + 1; j < len(b.items); j++ {
		if b.items[j].kind == kindFollow && b.items[j].fill.TryLead() {
			led = append(led, j)
		}
	}
	call := &backend.Call{N: 2 * len(led), Deadline: time.Now().Add(c.s.cfg.CommandTimeout)}
	for _, j := range led {
		call.Payload = appendWithLife(call.Payload, c.onlyKey(&b.items[j]), b.items[j].raw)
	}
	sent := time.Now()
	err := c.s.cfg.Upstream.Do(c.proto, c.db, call)
	answered := len(call.Ends)
	if err != nil {
		answered, _ = outcome(err, answered)
	}
	for n, j := range led {
		it := &b.items[j]
		if c.finishFill(it, call, 2*n, answered, err, sent) {
			start := len(b.aux)
			b.aux = append(b.aux, call.Reply(2*n+1)...)
			it.kind, it.local = kindDone, [2]int{start, len(b.aux)}
		} else {
			it.kind = kindFailed
		}
	}
	if it := &b.items[i]; it.kind == kindDone {
		b.out = append(b.out, b.aux[it.local[0]:it.local[1]]...)
	} else {
		c.elsewhere(it)
	}
}

// finishFill hands the reply at first+1 of call, behind its PTTL, to the cache
// and to whoever waits for the same read. False: Redis did not answer it.
func (c *client) finishFill(it *item, call *backend.Call, first, answered int, err error, sent time.Time) bool {
	if first+1 >= answered || (err != nil && refused(call.Reply(first+1))) {
		it.fill.Fail(err) // whoever waits for it looks elsewhere, as this client does
		return false
	}
	reply := call.Reply(first + 1)
	ttl := life(call.Reply(first), sent)
	if it.cmd.Name[0] == 'h' && (ttl < 0 || ttl > fieldLife) && fieldsExpire(c.s.cfg.Upstream.Status().Info) {
		ttl = fieldLife
	}
	if c.s.cfg.Upstream.NextBeat() == 0 && (ttl < 0 || ttl > silentLife) {
		ttl = max(0, silentLife-time.Since(sent)) // nobody will announce a change
	}
	it.fill.Done(reply, ttl, reply[0] != '-' && reply[0] != '!')
	return true
}

// silentLife bounds all replies of a server whose invalidations do not come or cannot be
// trusted: it is what a reader elsewhere may lag behind.
const silentLife = 1400 * time.Millisecond // the cache counts in steps of a fifteenth of a second

// fieldLife bounds replies about hashes where single fields may expire: PTTL does
// not tell, and the server announces it only when it gets to remove the field.
const fieldLife = time.Second

// fieldsExpire reports whether the server may have hash fields that expire: from
// Redis 7.4 and Valkey 9 on. Others are not known.
func fieldsExpire(info backend.Info) bool { return atLeast(info, "7.4", "9.0") }

// onlyKey is the key of a read that names one.
func (c *client) onlyKey(it *item) []byte {
	c.keys = it.cmd.Keys(c.keys[:0], it.argv)
	return c.keys[0]
}

// appendWithLife appends a read with PTTL in front, so that its entry in the
// cache dies with the key.
func appendWithLife(dst, key, raw []byte) []byte {
	dst = append(dst, ownPTTL...)
	dst = resp.AppendBulk(dst, key)
	return append(dst, raw...)
}
