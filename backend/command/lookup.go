package command

import (
	"sort"
	"strings"
)

// table is an open-addressing hash table from names to commands. It is at most
// a quarter full, so a look-up is one hash and, nearly always, one comparison.
type table struct {
	slots []slot
	mask  uint32
}

type slot struct {
	name string
	cmd  *Command
}

var commands, allCommands = build()

// build joins the generated commands, the newer ones and the overrides.
func build() (*table, []*Command) {
	rows := append(append([]Command(nil), generated...), newerCommands...)
	for name, subs := range newerSubs {
		for i := range rows {
			if rows[i].Name == name {
				rows[i].subs = append(append([]Command(nil), rows[i].subs...), subs...)
			}
		}
	}
	top := newTable(len(rows))
	var all []*Command
	for i := range rows {
		c := &rows[i]
		top.put(c.Name, c)
		all = append(all, c)
		if len(c.subs) == 0 {
			continue
		}
		c.subTable = newTable(len(c.subs))
		for j := range c.subs {
			s := &c.subs[j]
			_, name, _ := cutSub(s.Name)
			c.subTable.put(name, s)
			all = append(all, s)
		}
	}
	for _, c := range all {
		c.Flags |= derived(c)
	}
	applyOverrides(top)
	for _, c := range all {
		if c.tells() {
			c.Flags |= Tells
		}
	}
	sort.Slice(all, func(i, j int) bool { return all[i].Name < all[j].Name })
	return top, all
}

func newTable(n int) *table {
	size := uint32(8)
	for size < uint32(4*n) {
		size *= 2
	}
	return &table{slots: make([]slot, size), mask: size - 1}
}

func (t *table) put(name string, c *Command) {
	i := hash([]byte(name)) & t.mask
	for t.slots[i].cmd != nil && t.slots[i].name != name {
		i = (i + 1) & t.mask
	}
	t.slots[i] = slot{name: name, cmd: c}
}

func (t *table) find(name []byte) *Command {
	for i := hash(name) & t.mask; ; i = (i + 1) & t.mask {
		s := &t.slots[i]
		if s.cmd == nil {
			return nil
		}
		if equalFold(name, s.name) {
			return s.cmd
		}
	}
}

// findFull finds a command by its full name, such as "client|id".
func (t *table) findFull(name string) *Command {
	container, sub, isSub := cutSub(name)
	c := t.find([]byte(container))
	if c == nil || !isSub {
		return c
	}
	if c.subTable == nil {
		return nil
	}
	return c.subTable.find([]byte(sub))
}

// maxHashed bounds the work that a long unknown name costs; no command has a
// longer name that differs only after it.
const maxHashed = 32

// hash is FNV-1a over the name with the letter case bit set everywhere.
func hash(name []byte) uint32 {
	h := uint32(2166136261)
	for _, c := range name[:min(len(name), maxHashed)] {
		h = (h ^ uint32(c|0x20)) * 16777619
	}
	return h ^ h>>15
}

// equalFold reports whether b is lower, which is in lower case, in any case of
// ASCII letters.
func equalFold(b []byte, lower string) bool {
	if len(b) != len(lower) {
		return false
	}
	for i := range b {
		c := b[i]
		if c-'A' < 26 {
			c += 'a' - 'A'
		}
		if c != lower[i] {
			return false
		}
	}
	return true
}

// cutSub splits "client|id".
func cutSub(name string) (container, sub string, isSub bool) {
	return strings.Cut(name, "|")
}
