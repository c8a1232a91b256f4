package engine

// BeginLoad says that many keys are about to be loaded, by whatever methods.
// Everything works meanwhile; the order of the keys is only made up by EndLoad,
// or by the first command that needs it.
func (e *Engine) BeginLoad() { e.loading = true }

// EndLoad ends what BeginLoad began.
func (e *Engine) EndLoad() {
	e.loading = false
	for _, ix := range e.dbs {
		ix.ordered()
	}
}

// LoadString is Apply for "SET key value PXAT deadline" (0: no deadline) without
// the cost of a command. false: there is no such database.
func (e *Engine) LoadString(db int, key, value string, deadline int64) bool {
	if db < 0 || db >= databases {
		return false
	}
	if deadline != 0 {
		e.tick()
		if deadline < e.nowMS {
			e.drop(db, key)
			return true
		}
	}
	e.putString(db, key, value, deadline)
	return true
}
