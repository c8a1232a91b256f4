package engine

import "strings"

// setReplies are the commands whose reply is a set in RESP3.
var setReplies = map[string]bool{"SMEMBERS": true, "SUNION": true, "SINTER": true, "SDIFF": true}

// pairReplies are those whose members come in pairs with their scores in RESP3.
var pairReplies = map[string]bool{"ZRANGE": true, "ZREVRANGE": true, "ZRANGEBYSCORE": true, "ZREVRANGEBYSCORE": true,
	"ZUNION": true, "ZINTER": true, "ZPOPMIN": true, "ZPOPMAX": true, "ZRANDMEMBER": true}

// fixRESP3 gives a reply of miniredis the RESP3 types that Redis uses.
func (c *call) fixRESP3() {
	name := strings.ToUpper(c.args[0])
	switch {
	case string(c.reply) == "*-1\r\n" || string(c.reply) == "$-1\r\n":
		c.null()
	case setReplies[name] && c.reply[0] == '*':
		c.reply[0] = '~'
	case pairReplies[name] && (len(c.args) > 2 || name[1] != 'P'):
		v, _ := parseReply(c.reply)
		if len(v.list) < 2 || v.list[1].kind != ',' {
			return
		}
		r := c.buf()
		r.array(len(v.list) / 2)
		for i := 0; i+1 < len(v.list); i += 2 {
			r.array(2)
			r.bulk(v.list[i].str)
			r.b = append(append(r.b, ','), v.list[i+1].str+"\r\n"...)
		}
		c.reply = r.b
	}
}
