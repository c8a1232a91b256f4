package transfer

import (
	"cmp"
	"fmt"
	"slices"
)

// Auditor judges what an import brings: which settings have no effect in the
// service, and which accounts it will serve. Its texts hold no secrets.
type Auditor struct {
	// Settings and Fields list the fields of a config.json, and of an account,
	// that have no effect, each with what happens instead.
	Settings func(config []byte) [][2]string
	Fields   func(entry []byte) [][2]string
	// Enabled says which of the types config enables; Account, whether an account
	// will be served.
	Enabled func(config []byte, types []string) func(typ string) bool
	Account func(typ string, entry []byte, token, enabled bool) string
}

// maxAudited is how many accounts are named one by one; of more, the numbers are.
const maxAudited = 100

// audited is one account on its way to the verdicts.
type audited struct {
	typ, uuid string
	raw       []byte // of the first ones
	token     bool
}

// audit collects what there is to say. A pass has its own.
type audit struct {
	config []byte
	list   []audited
	fields map[[2]string]int
	more   map[[2]string]int // verdicts of accounts that are not in list
}

func (p *pass) auditAccount(typ string, a account) {
	if p.cfg.Audit == nil {
		return
	}
	for _, f := range p.cfg.Audit.Fields(a.raw) {
		if p.audit.fields == nil {
			p.audit.fields = map[[2]string]int{}
		}
		p.audit.fields[f]++
	}
	if len(p.audit.list) < maxAudited {
		p.audit.list = append(p.audit.list, audited{typ, a.uuid, a.raw, a.token != nil})
		return
	}
	if p.audit.more == nil {
		p.audit.more = map[[2]string]int{}
	}
	p.audit.more[[2]string{typ, p.cfg.Audit.Account(typ, a.raw, a.token != nil, true)}]++
}

// tellAudit adds the notes to the report: settings first, then the accounts.
func (p *pass) tellAudit() {
	a := p.cfg.Audit
	if a == nil {
		return
	}
	for _, f := range a.Settings(p.audit.config) {
		p.rep.item(Note, "setting "+f[0], configFile, "has no effect here: %s", f[1])
	}
	fields := make([][2]string, 0, len(p.audit.fields))
	for f := range p.audit.fields {
		fields = append(fields, f)
	}
	slices.SortFunc(fields, func(x, y [2]string) int { return cmp.Compare(x[0], y[0]) })
	for _, f := range fields {
		p.rep.item(Note, fmt.Sprintf("account field %s (%d accounts)", f[0], p.audit.fields[f]), poolsFile, "has no effect here: %s", f[1])
	}
	types := make([]string, 0, len(p.types))
	for typ := range p.types {
		types = append(types, typ)
	}
	slices.Sort(types)
	enabled := a.Enabled(p.audit.config, types)
	for _, x := range p.audit.list {
		p.rep.item(Account, x.typ+" "+x.uuid, "", "%s", a.Account(x.typ, x.raw, x.token, enabled(x.typ)))
	}
	more := make([][2]string, 0, len(p.audit.more))
	for m := range p.audit.more {
		more = append(more, m)
	}
	slices.SortFunc(more, func(x, y [2]string) int { return cmp.Or(cmp.Compare(x[0], y[0]), cmp.Compare(x[1], y[1])) })
	for _, m := range more {
		verdict := m[1]
		if !enabled(m[0]) {
			verdict = a.Account(m[0], []byte("{}"), false, false)
		}
		p.rep.item(Account, fmt.Sprintf("%s, %d more", m[0], p.audit.more[m]), "", "%s", verdict)
	}
}
