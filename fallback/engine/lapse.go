package engine

import (
	"bytes"
	"slices"
	"strconv"
	"strings"
)

// What runs here on a key with a deadline may reach Redis when that deadline has
// passed and the key is gone there. The bare command would then make a key that
// never goes, or work on nothing. So such effects are journaled in forms that give
// the same before and after the deadline; see DESIGN.md, "Deadlines that pass".
//
// A form is an effect EVAL mark 1 key …: a mark is no script that compiles, so no
// client can have journaled one. Told makes it the command that ran here, ForRedis
// the script that Redis gets.
const (
	formIn = "-in" // deadline, command…: if the command makes the key, that has the deadline
	formIf = "-if" // 0, command…: only if the key is there; the command is an error otherwise
	formNX = "-nx" // deadline: unless the key has one
	formTo = "-to" // new deadline (0: none), old one, until, value…: as below
	formAt = "-at" // new deadline: if it has not passed
)

var formScripts = map[string]string{
	formIn: `local k=KEYS[1] local was=redis.call('EXISTS',k) local r=redis.call(unpack(ARGV,2)) ` +
		`if was==0 then redis.call('PEXPIREAT',k,ARGV[1]) end return r`,
	formIf: `if redis.call('EXISTS',KEYS[1])==0 then return 0 end return redis.call(unpack(ARGV,2))`,
	formNX: `if redis.call('PTTL',KEYS[1])==-1 then return redis.call('PEXPIREAT',KEYS[1],ARGV[1]) end return 0`,
	formAt: `local t=redis.call('TIME') if t[1]*1000+math.floor(t[2]/1000)<tonumber(ARGV[1]) ` +
		`then return redis.call('PEXPIREAT',KEYS[1],ARGV[1]) end return 0`,
	// A key whose old deadline has passed is made again. One that is there has been
	// kept or made by somebody else then: its deadline is not brought forward. The
	// second of tolerance is for servers that do not tell deadlines exactly.
	formTo: `local k,to,old,till=KEYS[1],tonumber(ARGV[1]),tonumber(ARGV[2]),tonumber(ARGV[3]) ` +
		`local t=redis.call('TIME') local now=t[1]*1000+math.floor(t[2]/1000) local left=redis.call('PTTL',k) ` +
		`if left==-2 then if now+1000<old or to>0 and till<=now then return 0 end ` +
		`local i=4 while i<=#ARGV do local n=tonumber(ARGV[i]) redis.call(unpack(ARGV,i+1,i+n)) i=i+n+1 end ` +
		`if to==0 then return 1 end return redis.call('PEXPIREAT',k,to>now and ARGV[1] or ARGV[3]) end ` +
		`if to==0 then return redis.call('PERSIST',k) end ` +
		`if to>now and (left==-1 or now+left<to+1000) then return redis.call('PEXPIREAT',k,ARGV[1]) end return 0`,
}

const (
	// maxState bounds the value that is journaled with a deadline that is put off. A
	// longer one is put off by the command alone, and is lost when the replay comes
	// after the old deadline.
	maxState = 4 << 20
	// A value longer than smallState is not journaled each time its deadline is put
	// off, but once for an eighth of the time that it has to live.
	smallState = 4 << 10
)

// keyID is a key of a database.
type keyID struct {
	db  int
	key string
}

// cover says how long the value that was journaled last keeps a key at Redis, if
// the replay comes late: deadlines up to until need no further value.
type cover struct{ deadline, until int64 }

// OutageOver says that Redis has everything: what was journaled to keep keys
// counts no more.
func (e *Engine) OutageOver() { clear(e.covers) }

// lapse is a key with a deadline that a command names, as it was before it ran.
type lapse struct {
	key string
	at  int64
}

// lapses are the keys with deadlines that a write names. Those of a command in a
// script make it unsure: it may read what is gone at the replay.
func (c *call) lapses() (found []lapse) {
	write := c.spec.flags&fWrite != 0
	if !write && c.e.run == nil || c.e.cfg.Replayed != nil && !c.e.cfg.Replayed() {
		return nil
	}
	for _, key := range c.keys() {
		en := c.e.find(c.db, key)
		if en == nil && len(c.e.covers) > 0 {
			c.uncover(key, write)
		}
		if en != nil && en.deadline != 0 {
			found = append(found, lapse{key, en.deadline})
		}
	}
	for _, l := range found {
		if !c.renews(l.key) {
			c.e.noteTime()
			break
		}
	}
	return found
}

// renews reports whether a script is at work on a lock, see Config.Lock.
func (c *call) renews(key string) bool {
	return c.e.run != nil && c.e.cfg.Lock != nil && c.e.cfg.Lock(c.db, key)
}

// uncover notes that a key may begin a new life, which must not find what was kept
// of the last one at Redis; nor may a script decide by that.
func (c *call) uncover(key string, write bool) {
	id := keyID{c.db, key}
	cv, ok := c.e.covers[id]
	if ok && cv.until >= c.e.nowMS {
		c.e.noteTime()
		if write {
			c.remains = append(c.remains, key)
		}
	}
	if write {
		delete(c.e.covers, id)
	}
}

// outlast brings the effects into forms that hold after the deadlines too.
func (c *call) outlast(before []lapse) {
	if len(c.effects) == 0 || len(before)+len(c.remains) == 0 {
		return
	}
	var out [][][]byte
	for _, key := range c.remains {
		out = append(out, toBytes([]string{"DEL", key}))
	}
	for _, effect := range c.effects {
		out = append(out, c.lasting(effect, before)...)
	}
	c.effects, c.effectSet = out, true
}

func one(effect [][]byte) [][][]byte { return [][][]byte{effect} }

// lasting is one effect of a command that named keys with deadlines.
func (c *call) lasting(effect [][]byte, before []lapse) [][][]byte {
	name := strings.ToUpper(string(effect[0]))
	sp := lookup(name)
	if sp == nil {
		return one(effect)
	}
	args := toStrings(effect)
	keys := sp.keysIn(args)
	switch name {
	case "DEL", "UNLINK", "GETDEL", "GETSET", "MSET", "MOVE":
		return one(effect) // the old value does not matter
	case "SET":
		if len(args) != 4 { // KEEPTTL is the only option without a value that is left
			return one(effect)
		}
	case "PEXPIREAT", "PERSIST":
		return one(c.putOff(effect, args, before))
	case "SMOVE":
		return append(c.guarded1(toBytes([]string{"SREM", args[1], args[3]}), args[1], before),
			c.guarded1(toBytes([]string{"SADD", args[2], args[3]}), args[2], before)...)
	case "LMOVE", "RPOPLPUSH":
		return c.lastingMove(effect, args, before)
	case "LMPOP", "ZMPOP":
		return c.lastingPop(effect, args, before)
	case "RENAME", "RENAMENX":
		if timed(keys[:1], before) {
			return append([][][]byte{toBytes([]string{"DEL", args[1]})}, c.byState(args[2])...)
		}
		return one(effect)
	case "COPY":
		if timed(keys[:1], before) && !slices.ContainsFunc(args[3:], func(a string) bool { return strings.EqualFold(a, "DB") }) {
			return c.byState(args[2])
		}
		return one(effect)
	case "SORT", "GEORADIUS", "GEORADIUSBYMEMBER":
		if timed(keys[:1], before) {
			return c.byState(keys[len(keys)-1])
		}
		return one(effect)
	case "PFMERGE":
		return c.byState(keys[0])
	case "SDIFFSTORE", "SINTERSTORE", "SUNIONSTORE", "ZUNIONSTORE", "ZINTERSTORE", "ZDIFFSTORE", "ZRANGESTORE", "BITOP":
		if timed(keys[1:], before) {
			return c.byState(keys[0])
		}
		return one(effect)
	}
	if len(keys) != 1 {
		return one(effect)
	}
	return c.guarded1(effect, keys[0], before)
}

// timed reports whether one of the keys had a deadline.
func timed(keys []string, before []lapse) bool {
	return slices.ContainsFunc(before, func(l lapse) bool { return slices.Contains(keys, l.key) })
}

// guarded1 is a command that writes one key and leaves its deadline.
func (c *call) guarded1(effect [][]byte, key string, before []lapse) [][][]byte {
	en := c.e.find(c.db, key)
	if en == nil || en.deadline == 0 || !timed([]string{key}, before) {
		return one(effect)
	}
	at := strconv.FormatInt(en.deadline, 10)
	switch _, _, auto := autoID(effect); {
	case auto || len(effect) > maxUnpack:
		return [][][]byte{effect, form(formNX, key, at)}
	case failsOnNothing[strings.ToUpper(string(effect[0]))]:
		return one(append(form(formIf, key, "0"), effect...))
	}
	return one(append(form(formIn, key, at), effect...))
}

// failsOnNothing are the commands that are an error where the key is gone.
var failsOnNothing = map[string]bool{"LSET": true, "XGROUP": true, "XREADGROUP": true, "XCLAIM": true, "XSETID": true}

func form(mark, key string, args ...string) [][]byte {
	return toBytes(append([]string{"EVAL", mark, "1", key}, args...))
}

// lastingMove is LMOVE and RPOPLPUSH by what they moved.
func (c *call) lastingMove(effect [][]byte, args []string, before []lapse) [][][]byte {
	from, to := "R", "L"
	if len(args) == 5 {
		from, to = strings.ToUpper(args[3][:1]), strings.ToUpper(args[4][:1])
	}
	v, _ := parseReply(c.reply)
	if args[1] == args[2] || v.kind != '$' {
		return c.guarded1(effect, args[1], before)
	}
	return append(c.guarded1(toBytes([]string{from + "POP", args[1]}), args[1], before),
		c.guarded1(toBytes([]string{to + "PUSH", args[2], v.str}), args[2], before)...)
}

// lastingPop is LMPOP and ZMPOP of the key that they popped from.
func (c *call) lastingPop(effect [][]byte, args []string, before []lapse) [][][]byte {
	v, _ := parseReply(c.reply)
	n, err := strconv.Atoi(args[1])
	if len(v.list) != 2 || err != nil || 2+n > len(args) {
		return one(effect)
	}
	key := v.list[0].str
	return c.guarded1(toBytes(append([]string{args[0], "1", key}, args[2+n:]...)), key, before)
}

// byState replaces a key by what it is now.
func (c *call) byState(key string) [][][]byte {
	out := one(toBytes([]string{"DEL", key}))
	for _, argv := range c.e.dumpAs(c.db, key, key) {
		out = append(out, keepBytes(argv))
	}
	return out
}

// putOff is PEXPIREAT or PERSIST. Where the key lives longer than it would have,
// its value goes along: after the old deadline Redis has nothing to put off.
func (c *call) putOff(effect [][]byte, args []string, before []lapse) [][]byte {
	key, old, to := args[1], int64(0), int64(0)
	for _, l := range before {
		if l.key == key {
			old = l.at
		}
	}
	if len(args) > 2 {
		to, _ = strconv.ParseInt(args[2], 10, 64)
	}
	if old == 0 || to != 0 && to <= old || c.e.find(c.db, key) == nil {
		return effect
	}
	id, at := keyID{c.db, key}, strconv.FormatInt(to, 10)
	if cv, ok := c.e.covers[id]; ok && cv.deadline == old && to != 0 && to <= cv.until {
		c.e.covers[id] = cover{to, cv.until}
		return form(formAt, key, at)
	}
	delete(c.e.covers, id)
	value, size := c.value(key)
	until := to
	if size > smallState && to != 0 {
		until = to + (to-c.e.nowMS)/8
		c.e.covers[id] = cover{to, until}
	}
	if size > maxState {
		return effect
	}
	return append(form(formTo, key, at, strconv.FormatInt(old, 10), strconv.FormatInt(until, 10)), value...)
}

// value is the commands that make a key, without its deadline, each behind the
// number of its words.
func (c *call) value(key string) (out [][]byte, size int) {
	cmds := c.e.dumpAs(c.db, key, key)
	for _, argv := range cmds {
		switch {
		case argv[0] == "PEXPIREAT":
			continue
		case argv[0] == "SET":
			argv = argv[:3]
		}
		out = append(out, []byte(strconv.Itoa(len(argv))))
		for _, a := range argv {
			size += len(a) + 8
		}
		out = append(out, keepBytes(argv)...)
	}
	return out, size
}

// formOf finds the form that an effect is in, "" for none.
func formOf(effect [][]byte) string {
	if len(effect) < 5 || !bytes.Equal(effect[0], []byte("EVAL")) || !bytes.HasPrefix(effect[1], []byte("-")) {
		return ""
	}
	if mark := string(effect[1]); formScripts[mark] != "" {
		return mark
	}
	return ""
}

// toldForm is the command that ran here.
func toldForm(mark string, effect [][]byte) [][]byte {
	switch {
	case mark == formIn, mark == formIf:
		return effect[5:]
	case mark == formNX:
		return [][]byte{[]byte("PEXPIREAT"), effect[3], effect[4], []byte("NX")}
	case string(effect[4]) == "0":
		return [][]byte{[]byte("PERSIST"), effect[3]}
	}
	return [][]byte{[]byte("PEXPIREAT"), effect[3], effect[4]}
}

// formForRedis is the script that Redis gets.
func formForRedis(mark string, effect [][]byte) [][]byte {
	out := slices.Clone(effect)
	out[1] = []byte(formScripts[mark])
	return out
}
