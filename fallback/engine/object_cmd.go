package engine

import "strings"

var objectHelp = []string{"OBJECT <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
	"ENCODING <key>", "    Return the kind of internal representation used in order to store the value", "    associated with a <key>.",
	"FREQ <key>", "    Return the access frequency index of the <key>. The returned integer is",
	"    proportional to the logarithm of the recent access frequency of the key.",
	"IDLETIME <key>", "    Return the idle time of the <key>, that is the approximated number of",
	"    seconds elapsed since the last access to the key.",
	"REFCOUNT <key>", "    Return the number of references of the value associated with the specified", "    <key>.",
	"HELP", "    Prints this help."}

// object is OBJECT.
func (c *call) object() {
	sub := strings.ToUpper(c.args[1])
	switch sub {
	case "HELP":
		if len(c.args) == 2 {
			r := c.buf()
			r.array(len(objectHelp))
			for _, line := range objectHelp {
				r.status(line)
			}
			c.reply = r.b
			return
		}
		c.fail(wrongArity("object|help"))
		return
	case "ENCODING", "REFCOUNT", "IDLETIME", "FREQ":
	default:
		c.fail("ERR unknown subcommand '" + cText(c.args[1]) + "'. Try OBJECT HELP.")
		return
	}
	if len(c.args) != 3 {
		c.fail(wrongArity("object|" + sub))
		return
	}
	en := c.e.find(c.db, c.args[2])
	switch {
	case en == nil:
		c.null()
	case sub == "ENCODING":
		r := c.buf()
		r.bulk(en.encoding())
		c.reply = r.b
	case sub == "FREQ":
		c.fail("ERR An LFU maxmemory policy is not selected, access frequency not tracked. Please note that when switching between policies at runtime LRU and LFU data will take some time to adjust.")
	case sub == "REFCOUNT":
		c.integer(1)
	default:
		c.integer(0)
	}
}

// encoding is how Redis would hold the value.
func (en *entry) encoding() string {
	switch {
	case en.obj != nil:
		return en.obj.encoding()
	case en.kind != "string":
		return en.kind
	case en.form == formRaw:
		return "raw"
	}
	if _, ok := parseInt(en.value); ok && en.form == formShort {
		return "int"
	}
	if len(en.value) <= 44 {
		return "embstr"
	}
	return "raw"
}
