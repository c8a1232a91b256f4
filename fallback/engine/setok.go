package engine

import "strings"

// Sets reports whether SET, SETEX, PSETEX or MSET will be carried out whatever its
// keys hold: the only errors that they can end in then are those of their
// arguments. Of any other command it knows nothing and says yes.
func (e *Engine) Sets(argv [][]byte) bool {
	if len(argv) == 3 && len(argv[0]) == len("SET") {
		return true // the usual one: no options
	}
	e.tick()
	name := strings.ToUpper(string(argv[0]))
	c := &call{e: e, args: []string{name, "", ""}} // names and values are nothing to the options
	switch {
	case name == "MSET":
		return len(argv)%2 == 1
	case (name == "SETEX" || name == "PSETEX") && len(argv) == 4:
		unit := int64(1000)
		if name == "PSETEX" {
			unit = 1
		}
		_, msg := c.deadline(string(argv[2]), unit, true, true)
		return msg == ""
	case name == "SET":
		for _, opt := range argv[3:] {
			c.args = append(c.args, string(opt))
		}
		_, msg := c.setOptions()
		return msg == ""
	}
	return true
}
