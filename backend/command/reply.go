package command

import (
	"bytes"
	"strings"
)

// Reply answers COMMAND and its subcommands from the table, in RESP proto (2 or
// 3), as the server that the table was generated from would: client libraries
// and redis-cli's hints work while there is no server to ask. argv begins with
// COMMAND itself. Names newer than that server are not listed.
func Reply(proto int, argv [][]byte) []byte {
	c, ok := Lookup(argv)
	if !ok {
		return appendError(nil, UnknownError(argv))
	}
	if !c.ArityOK(len(argv)) {
		return appendError(nil, c.ArityError())
	}
	d := documentation()
	switch c.Name {
	case "command":
		return d.info(proto, nil)
	case "command|count":
		return appendHeader(nil, ':', d.count())
	case "command|info":
		return d.info(proto, argv[2:])
	case "command|docs":
		return d.docs(proto, argv[2:])
	case "command|list":
		return d.list(argv[2:])
	case "command|getkeys":
		return getKeys(proto, argv[2:], false)
	case "command|getkeysandflags":
		return getKeys(proto, argv[2:], true)
	case "command|help":
		return Help("command")
	}
	return appendError(nil, UnknownError(argv))
}

// Help is the server's reply to HELP of a container such as "client", the same
// in both protocols; nil for a name that has none.
func Help(container string) []byte {
	e := documentation().byName[container]
	if e == nil || e.Help == "" {
		return nil
	}
	return []byte(e.Help)
}

// find gives the documentation of a command by its name in any case, or nil.
func (d *docs) find(name []byte) *entry {
	return d.byName[strings.ToLower(string(name))]
}

func isSubcommand(name string) bool { return strings.IndexByte(name, '|') >= 0 }

// count is the number of commands, not counting subcommands.
func (d *docs) count() int {
	n := 0
	for i := range d.entries {
		if !isSubcommand(d.entries[i].Name) {
			n++
		}
	}
	return n
}

func (d *docs) info(proto int, names [][]byte) []byte {
	if len(names) == 0 {
		out := appendHeader(nil, '*', d.count())
		for i := range d.entries {
			if !isSubcommand(d.entries[i].Name) {
				out = appendAs(out, proto, d.entries[i].Info)
			}
		}
		return out
	}
	out := appendHeader(nil, '*', len(names))
	for _, name := range names {
		if e := d.find(name); e != nil {
			out = appendAs(out, proto, e.Info)
		} else {
			out = appendAs(out, proto, "_\r\n")
		}
	}
	return out
}

func (d *docs) docs(proto int, names [][]byte) []byte {
	var found []*entry
	for _, name := range names {
		if e := d.find(name); e != nil {
			found = append(found, e)
		}
	}
	if len(names) == 0 {
		for i := range d.entries {
			if !isSubcommand(d.entries[i].Name) {
				found = append(found, &d.entries[i])
			}
		}
	}
	var out []byte
	if proto >= 3 {
		out = appendHeader(out, '%', len(found))
	} else {
		out = appendHeader(out, '*', 2*len(found))
	}
	for _, e := range found {
		out = appendBulk(out, e.Name)
		out = appendAs(out, proto, e.Docs)
	}
	return out
}

// list answers COMMAND LIST [FILTERBY (MODULE|ACLCAT|PATTERN) what].
func (d *docs) list(args [][]byte) []byte {
	match := func(*entry) bool { return true }
	switch {
	case len(args) == 0:
	case len(args) != 3 || !isWord(args[0], "FILTERBY"):
		return appendError(nil, "ERR syntax error")
	case isWord(args[1], "MODULE"):
		match = func(*entry) bool { return false }
	case isWord(args[1], "ACLCAT"):
		category := "@" + strings.ToLower(string(args[2]))
		match = func(e *entry) bool { return contains(e.Categories, category) }
	case isWord(args[1], "PATTERN"):
		pattern := bytes.ToLower(args[2])
		match = func(e *entry) bool { return matchGlob(pattern, e.Name) }
	default:
		return appendError(nil, "ERR syntax error")
	}
	var names []string
	for i := range d.entries {
		if match(&d.entries[i]) {
			names = append(names, d.entries[i].Name)
		}
	}
	out := appendHeader(nil, '*', len(names))
	for _, name := range names {
		out = appendBulk(out, name)
	}
	return out
}

func contains(list []string, s string) bool {
	for _, item := range list {
		if item == s {
			return true
		}
	}
	return false
}

// getKeys answers COMMAND GETKEYS and COMMAND GETKEYSANDFLAGS about call.
func getKeys(proto int, call [][]byte, withFlags bool) []byte {
	c, ok := Lookup(call)
	switch {
	case !ok:
		return appendError(nil, "ERR Invalid command specified")
	case c.specs == nil && c.search == nil:
		return appendError(nil, "ERR The command has no key arguments")
	case !c.ArityOK(len(call)):
		return appendError(nil, "ERR Invalid number of arguments specified for command")
	}
	keys := c.Keys(nil, call)
	if len(keys) == 0 && !c.Has(Script) {
		return appendError(nil, "ERR Invalid arguments specified for command")
	}
	out := appendHeader(nil, '*', len(keys))
	if !withFlags {
		for _, key := range keys {
			out = appendBulk(out, key)
		}
		return out
	}
	for i, key := range keys {
		out = appendBulk(appendHeader(out, '*', 2), key)
		flags := strings.Fields(c.keyFlags(call, i))
		if proto >= 3 {
			out = appendHeader(out, '~', len(flags))
		} else {
			out = appendHeader(out, '*', len(flags))
		}
		for _, f := range flags {
			out = append(out, '+')
			out = append(out, f...)
			out = append(out, "\r\n"...)
		}
	}
	return out
}
