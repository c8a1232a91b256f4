package engine

import (
	"math"
	"strconv"
	"strings"

	"holdfast/fallback/engine/stream"
)

const errGroupNeedsKey = "ERR The XGROUP subcommand requires the key to exist. " +
	"Note that for CREATE you may want to use the MKSTREAM option to create an empty stream automatically."

// groupCommands are the subcommands of XGROUP.
var groupCommands = map[string]struct {
	arity int
	run   func(x *groupCall)
}{
	"CREATE":         {-5, (*groupCall).create},
	"SETID":          {-5, (*groupCall).setID},
	"DESTROY":        {4, (*groupCall).destroy},
	"CREATECONSUMER": {5, (*groupCall).createConsumer},
	"DELCONSUMER":    {5, (*groupCall).removeConsumer},
}

// groupCall is an XGROUP.
type groupCall struct {
	*call
	sub  string
	s    *stream.Stream // nil: there is none
	g    *stream.Group  // nil: there is none
	read int64
	mk   bool
}

// xgroup is XGROUP. "$" becomes the id that it means.
func (c *call) xgroup() {
	sub := strings.ToUpper(c.args[1])
	if sub == "HELP" {
		c.noEffect()
		c.help("XGROUP", "CREATE <key> <group> <id|$> [MKSTREAM] [ENTRIESREAD <n>]", "SETID <key> <group> <id|$> [ENTRIESREAD <n>]",
			"DESTROY <key> <group>", "CREATECONSUMER <key> <group> <consumer>", "DELCONSUMER <key> <group> <consumer>")
		return
	}
	cmd := groupCommands[sub]
	c.noEffect()
	switch {
	case cmd.run == nil:
		c.fail("ERR unknown subcommand '" + c.args[1] + "'. Try XGROUP HELP.")
		return
	case !(&spec{arity: cmd.arity}).arityOK(len(c.args)):
		c.fail(wrongArity("xgroup|" + sub))
		return
	}
	x := &groupCall{call: c, sub: sub, read: stream.UnknownRead}
	if !x.options() {
		return
	}
	var ok bool
	if x.s, ok = c.stream(c.args[2]); !ok {
		return
	}
	if x.s != nil {
		x.g = x.s.Group(c.args[3])
	}
	switch {
	case x.s == nil && !x.mk:
		c.fail(errGroupNeedsKey)
	case x.g == nil && sub != "CREATE" && sub != "DESTROY":
		c.noGroupFor(c.args[3], c.args[2])
	default:
		cmd.run(x)
	}
}

func (c *call) noGroupFor(group, key string) {
	c.fail("NOGROUP No such consumer group '" + group + "' for key name '" + key + "'")
}

// badSubcommand is the error of a subcommand's arguments.
func (c *call) badSubcommand() {
	c.fail("ERR unknown subcommand or wrong number of arguments for '" + c.args[1] + "'. Try " + strings.ToUpper(c.args[0]) + " HELP.")
}

// help answers the HELP of a command with subcommands.
func (c *call) help(name string, forms ...string) {
	if len(c.args) != 2 {
		c.fail(wrongArity(name + "|help"))
		return
	}
	r := c.buf()
	r.array(len(forms) + 2)
	r.status(name + " <subcommand> [<arg> [value] [opt] ...]. Subcommands are:")
	for _, f := range append(forms, "HELP") {
		r.status(f)
	}
	c.reply = r.b
}

// options reads what CREATE and SETID have behind the id.
func (x *groupCall) options() bool {
	c := x.call
	settable := x.sub == "CREATE" || x.sub == "SETID"
	for i := 5; i < len(c.args); i++ {
		switch opt := strings.ToUpper(c.args[i]); {
		case x.sub == "CREATE" && opt == "MKSTREAM":
			x.mk = true
		case settable && opt == "ENTRIESREAD" && i+1 < len(c.args):
			var ok bool
			i++
			if x.read, ok = c.countArg(c.args[i]); !ok {
				return false
			}
			if x.read < 0 && x.read != stream.UnknownRead {
				c.fail("ERR value for ENTRIESREAD must be positive or -1")
				return false
			}
		default:
			c.badSubcommand()
			return false
		}
	}
	if x.sub == "CREATE" && len(c.args) > 8 || x.sub == "SETID" && len(c.args) > 7 {
		c.badSubcommand()
		return false
	}
	return true
}

// position is the id at which a group is to be.
func (x *groupCall) position(parse func(string, uint64) (stream.ID, bool)) (stream.ID, bool) {
	switch {
	case x.args[4] != "$":
		return parse(x.args[4], 0)
	case x.s == nil:
		return stream.ID{}, true
	}
	return x.s.LastID, true
}

// journaled is the effect of CREATE and SETID. The counter is left out where it is
// not known, as servers before 7.0 know it not at all.
func (x *groupCall) journaled(id stream.ID, options ...string) {
	args := append([]string{"XGROUP", x.sub, x.args[2], x.args[3], id.String()}, options...)
	if x.read != stream.UnknownRead {
		args = append(args, "ENTRIESREAD", strconv.FormatInt(x.read, 10))
	}
	x.effect(args...)
}

func (x *groupCall) create() {
	id, ok := x.position(x.streamID)
	switch {
	case !ok:
		return
	case x.g != nil:
		x.fail("BUSYGROUP Consumer Group name already exists")
		return
	}
	var options []string
	if x.mk {
		options = []string{"MKSTREAM"}
	}
	if x.s != nil {
		x.indexed = true // a new group is no change of the value
	}
	x.madeStream(x.args[2], x.s).AddGroup(x.args[3], id, x.read)
	x.ok()
	x.journaled(id, options...)
}

func (x *groupCall) setID() {
	id, ok := x.position(x.loose)
	if !ok {
		return
	}
	x.indexed = true
	x.g.LastID, x.g.Read = id, x.read
	x.ok()
	x.journaled(id)
}

func (x *groupCall) destroy() {
	x.indexed = true
	if !x.s.RemoveGroup(x.args[3]) {
		x.integer(0)
		return
	}
	x.integer(1)
	x.effect(x.args...)
}

func (x *groupCall) createConsumer() {
	x.indexed = true
	if !x.g.AddConsumer(x.args[4], x.e.nowMS) {
		x.integer(0)
		return
	}
	x.integer(1)
	x.effect(x.args...)
}

func (x *groupCall) removeConsumer() {
	x.indexed = true
	if x.g.Consumer(x.args[4]) != nil {
		x.effect(x.args...)
	}
	x.integer(int64(x.g.RemoveConsumer(x.args[4])))
}

// xack is XACK.
func (c *call) xack() {
	c.indexed = true
	s, ok := c.stream(c.args[1])
	switch {
	case !ok:
		return
	case s == nil || s.Group(c.args[2]) == nil:
		c.integer(0)
		return
	}
	ids, ok := c.streamIDs(c.args[3:])
	if !ok {
		return
	}
	g, n := s.Group(c.args[2]), int64(0)
	for _, id := range ids {
		if g.Ack(id) {
			n++
		}
	}
	c.integer(n)
}

// pendingRange is what XPENDING with a range asks for.
type pendingRange struct {
	minIdle    int64
	start, end stream.ID
	count      int64
	consumer   *string
}

func (c *call) xpending() {
	var q *pendingRange
	if len(c.args) != 3 {
		var ok bool
		if q, ok = c.parsePending(); !ok {
			return
		}
	}
	s, ok := c.stream(c.args[1])
	switch {
	case !ok:
		return
	case s == nil || s.Group(c.args[2]) == nil:
		c.noGroup(c.args[1], c.args[2])
		return
	}
	r := c.buf()
	if q == nil {
		r.pendingSummary(s.Group(c.args[2]))
	} else {
		r.pending(s.Group(c.args[2]), q, c.e.nowMS)
	}
	c.reply = r.b
}

func (c *call) parsePending() (q *pendingRange, ok bool) {
	if len(c.args) < 6 || len(c.args) > 9 {
		c.fail(errSyntax)
		return nil, false
	}
	q = &pendingRange{}
	args := c.args[3:]
	if strings.EqualFold(args[0], "IDLE") {
		if q.minIdle, ok = c.countArg(args[1]); !ok {
			return nil, false
		}
		if args = args[2:]; len(args) < 3 {
			c.fail(errSyntax)
			return nil, false
		}
	}
	if q.count, ok = c.countArg(args[2]); !ok {
		return nil, false
	}
	if q.start, ok = c.rangeStart(args[0]); !ok {
		return nil, false
	}
	if q.end, ok = c.rangeEnd(args[1]); !ok {
		return nil, false
	}
	if len(args) > 3 {
		q.consumer = &args[3]
	}
	return q, true
}

// pendingSummary writes how much is pending, its ends, and how much each consumer has.
func (r *replyBuf) pendingSummary(g *stream.Group) {
	r.array(4)
	r.integer(int64(g.Len()))
	if g.Len() == 0 {
		r.null()
		r.null()
		r.nullArray()
		return
	}
	r.bulk(g.First().ID.String())
	r.bulk(g.Last().ID.String())
	var busy []*stream.Consumer
	for _, name := range g.Consumers() {
		if c := g.Consumer(name); c.Len() > 0 {
			busy = append(busy, c)
		}
	}
	r.array(len(busy))
	for _, c := range busy {
		r.strings([]string{c.Name, strconv.Itoa(c.Len())})
	}
}

func (r *replyBuf) pending(g *stream.Group, q *pendingRange, now int64) {
	ascend := g.Ascend
	if q.consumer != nil {
		c := g.Consumer(*q.consumer)
		if c == nil {
			r.array(0)
			return
		}
		ascend = c.Ascend
	}
	var list []*stream.Pending
	if q.count > 0 {
		ascend(q.start, q.end, func(p *stream.Pending) bool {
			if q.minIdle == 0 || now-p.Time >= q.minIdle {
				list = append(list, p)
			}
			return int64(len(list)) < min(q.count, math.MaxInt32)
		})
	}
	r.array(len(list))
	for _, p := range list {
		r.array(4)
		r.bulk(p.ID.String())
		r.bulk(p.Consumer)
		r.integer(max(now-p.Time, 0))
		r.integer(p.Count)
	}
}
