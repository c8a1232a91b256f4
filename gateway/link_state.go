package gateway

import (
	"context"
	"slices"
	"time"

	"holdfast/gateway/store"
)

// seed lets a configuration be put into a Redis that has none, once for each time
// that Redis came, and loads what is there then.
func (l *link) seed(ctx context.Context) (rawState, error) {
	h := l.lastHealth()
	if l.cfg.Seed == nil || !h.connected || l.seeded == h.reconnects+1 {
		return rawState{}, nil
	}
	l.seeded = h.reconnects + 1
	if err := l.cfg.Seed(ctx, l.client); err != nil {
		l.log.Warn("redis is empty and was not given a configuration", "error", err)
		return rawState{}, nil
	}
	l.loader.scanNext = time.Time{} // what was found before is old
	return l.loader.load(ctx)
}

// tellWinner says what Redis brought in place of the files, which are where they
// were.
func (l *link) tellWinner(files, there *snapshot) {
	if files.raw.equal(there.raw) {
		return
	}
	lost, won := files.size(), there.size()
	l.log.Warn("redis has a configuration of its own, which counts: the files served until now are not used",
		"config_dir", l.cfg.ConfigDir, "redis_types", won.types, "redis_accounts", won.accounts, "files_types", lost.types, "files_accounts", lost.accounts)
}

type stateSize struct{ types, accounts int }

func (s *snapshot) size() (n stateSize) {
	for _, entries := range s.raw.pools {
		n.types++
		n.accounts += len(entries)
	}
	return n
}

// lookAtPassword warns once of a dashboard password in plain text.
func (l *link) lookAtPassword(ctx context.Context) {
	if l.passwordSeen {
		return
	}
	raw, ok, err := l.loader.store.Get(ctx, l.loader.keys.Password())
	if err != nil {
		return
	}
	l.passwordSeen = true
	if ok && !store.PasswordHashed(raw) {
		l.log.Warn("the dashboard's password is stored as plain text: 'holdfast passwd' sets a new one")
	}
}

// promptKeys are the keys under which a prompt's file is looked for.
func promptKeys(k keys, file string) (out []string) {
	for _, name := range promptFiles(file) {
		out = append(out, k.File(name))
	}
	return out
}

// maxNamed bounds how many settings without effect are named one by one.
const maxNamed = 100

// nameUnused names each setting without effect once in the life of the process,
// and tells of an address that another start would listen on.
func (l *link) nameUnused(s *snapshot) {
	if l.named == nil {
		l.named = map[string]bool{}
	}
	say := func(where string, u Unused, args ...any) {
		if id := where + u.Field; !l.named[id] && len(l.named) < maxNamed {
			l.named[id] = true
			l.log.Info(where+" without effect", append([]any{"field", u.Field, "instead", u.Instead}, args...)...)
		}
	}
	for _, u := range UnusedSettings([]byte(s.raw.config)) {
		say("setting", u)
	}
	fields, counts := []Unused{}, map[Unused]int{}
	for _, typ := range s.types {
		for _, a := range s.pools[typ].accounts {
			for _, u := range a.unused {
				if counts[u]++; counts[u] == 1 {
					fields = append(fields, u)
				}
			}
		}
	}
	slices.SortFunc(fields, func(a, b Unused) int { return slices.Compare([]string{a.Field}, []string{b.Field}) })
	for _, u := range fields {
		say("account field", u, "accounts", counts[u])
	}
	for _, name := range s.settings.fallbacks.types() {
		if typ, _ := s.resolve(name); s.pools[typ] == nil && !l.named["fallback "+name] {
			l.named["fallback "+name] = true
			l.log.Warn("a fallback leads to a provider type without accounts", "type", name)
		}
	}
	if file := s.settings.prompt.file; file != "" && s.raw.prompt == "" && !l.named["prompt "+file] {
		l.named["prompt "+file] = true
		l.log.Warn("SYSTEM_PROMPT_FILE_PATH names a file that is not there: nothing is added to system prompts", "path", file, "keys", promptKeys(l.loader.keys, file))
	}
	if addr, err := ListenAddress([]byte(s.raw.config)); l.listens != "" && (err != nil || addr != l.listens) && !l.named[addr] {
		l.named[addr] = true
		l.log.Warn("HOST and SERVER_PORT take effect at the next start", "listening", l.listens, "configured", addr, "error", err)
	}
}
