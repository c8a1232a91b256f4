package proxy

import (
	"slices"
	"strconv"

	"holdfast/backend/command"
)

// acked passes acknowledged writes on to the mirror; with a reply too long to
// be kept, or a unit over several databases, the mirror fetches the keys instead.
func (p *pump) acked(e *expect, argvs [][][]byte, unit bool) {
	local := p.r.c.s.cfg.Local
	if e.keep && !slices.ContainsFunc(argvs, selects) {
		local.Acked(e.db, argvs, p.whole, unit)
		return
	}
	db := e.db
	for _, argv := range argvs {
		cmd, ok := command.Lookup(argv)
		if !ok {
			continue
		}
		if cmd.Name == "select" {
			if n, err := strconv.Atoi(string(argv[len(argv)-1])); err == nil {
				db = n
			}
		}
		local.Unlearn(db, cmd.WriteKeys(nil, argv))
	}
}

// endWrites lets the keys of an answered write be cached again. What a blocking
// command took is fetched anew by the mirror.
func (r *relay) endWrites(e *expect) {
	for _, k := range e.wrote {
		if e.cmd != nil && e.cmd.Flags&command.Blocking != 0 {
			r.c.s.cfg.Local.Sending(e.db, k) // voids a fetch that is under way now
		}
		r.c.s.cache.WriteEnd(e.db, k)
		r.c.s.cfg.Local.Sent(e.db, k)
	}
	if e.cmd != nil && e.cmd.Flags&command.Dangerous != 0 {
		r.c.s.cache.Invalidate(nil)
	}
	if len(e.wrote) > 0 && e.cmd != nil && e.cmd.Flags&command.Blocking != 0 {
		r.refetch(e.wrote)
	}
}
