package transfer

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/tidwall/gjson"

	"holdfast/gateway/store"
)

// singles imports the files that have one key each.
func (p *pass) singles(ctx context.Context) error {
	rep, k := p.rep, p.st.Keys
	for _, s := range []struct {
		what, file, key string
		c               *Counts
	}{
		{"config", configFile, k.Config(), &rep.Config},
		{"plugins", pluginsFile, k.Plugins(), &rep.Plugins},
		{"usage cache", usageFile, k.UsageCache(), &rep.Usage},
	} {
		raw, ok := p.readKnown(s.c, s.what, s.file)
		if !ok {
			continue
		}
		if s.file == configFile {
			p.audit.config = raw
		}
		if err := p.value(ctx, s.c, s.what, s.file, s.key, raw, p.same); err != nil {
			return err
		}
	}
	return p.password(ctx)
}

// readKnown reads a file of a known name that must be a JSON object. A file that
// cannot be used is reported, and kept as it is under files:.
func (p *pass) readKnown(c *Counts, what, file string) (raw []byte, ok bool) {
	if !p.tree.exists(file) {
		return nil, false
	}
	p.progress(1)
	raw, err := p.tree.read(file)
	switch {
	case err != nil:
		p.rep.fail(c, what, file, "%v", err)
	case len(raw) == 0:
		p.rep.fail(c, what, file, "the file is empty")
	case !store.ValidObject(raw):
		p.rep.fail(c, what, file, "not a JSON object")
	default:
		return raw, true
	}
	p.keep[file] = err == nil
	return nil, false
}

// same compares a file with what Redis has. JSON of the same meaning is the same:
// the original application formats anew what it writes. With force it is the
// bytes that count, so that afterwards an export gives the files back.
func (p *pass) same(have, raw []byte) bool {
	if p.cfg.Force {
		return bytes.Equal(have, raw)
	}
	return store.Equal(have, raw)
}

// value compares and writes one string key.
func (p *pass) value(ctx context.Context, c *Counts, what, file, key string, raw []byte, same func(have, raw []byte) bool) error {
	have, ok, err := p.st.Get(ctx, key)
	if redis.HasErrorPrefix(err, "WRONGTYPE") {
		have, ok, err = nil, true, nil // something else is there: it differs
	}
	if err != nil {
		return err
	}
	switch {
	case !ok:
		c.New++
	case same(have, raw):
		c.Identical++
		p.rep.item(Skipped, what, file, "identical in Redis")
		return nil
	case !p.cfg.Force:
		p.rep.refuse(c, key, file, "Redis holds a different value; --force replaces it")
		return nil
	default:
		c.Replaced++
	}
	if !p.writing() {
		return nil
	}
	return p.st.Set(ctx, key, raw)
}

// password imports the dashboard password as the file has it: the original
// application reads the same key.
func (p *pass) password(ctx context.Context) error {
	c := &p.rep.Password
	if !p.tree.exists(passwordFile) {
		return nil
	}
	p.progress(1)
	raw, err := p.tree.read(passwordFile)
	if err != nil {
		p.rep.fail(c, "password", passwordFile, "%v", err)
		return nil
	}
	clear := strings.TrimSpace(string(raw))
	if clear == "" {
		p.keep[passwordFile] = true
		p.rep.skip(c, "password", passwordFile, "the file is empty; no password was imported")
		return nil
	}
	same := bytes.Equal
	if !store.PasswordHashed(raw) {
		p.rep.item(Note, "password", passwordFile, "it is plain, and stays so for the original application; 'holdfast passwd' sets a new one, hashed")
		if !p.cfg.Force { // an earlier version hashed it
			same = func(have, _ []byte) bool { return bytes.Equal(have, raw) || store.CheckPassword(have, clear) }
		}
	}
	return p.value(ctx, c, "password", passwordFile, p.st.Keys.Password(), raw, same)
}

// sessions imports the dashboard sessions that still live.
func (p *pass) sessions(ctx context.Context) error {
	c := &p.rep.Sessions
	raw, ok := p.readKnown(c, "sessions", sessionsFile)
	if !ok {
		return nil
	}
	tokens, ok := store.Member(raw, "tokens")
	if !ok || !tokens.IsObject() {
		p.rep.skip(c, "sessions", sessionsFile, "has no object \"tokens\"")
		p.keep[sessionsFile] = true
		return nil
	}
	var failed error
	tokens.ForEach(func(key, v gjson.Result) bool {
		failed = p.session(ctx, key.String(), []byte(v.Raw))
		return failed == nil
	})
	return failed
}

func (p *pass) session(ctx context.Context, token string, raw []byte) error {
	c := &p.rep.Sessions
	p.progress(1)
	what := "session " + abbreviate(token)
	ends, ok := expiry(raw)
	left := ends.Sub(p.cfg.Now())
	switch {
	case !ok:
		p.rep.skip(c, what, sessionsFile, "has no expiryTime that can be read")
		return nil
	case left <= 0:
		p.rep.skip(c, what, sessionsFile, "expired at %s", ends.UTC().Format(time.RFC3339))
		return nil
	}
	have, exists, err := p.st.Session(ctx, token)
	if redis.HasErrorPrefix(err, "WRONGTYPE") {
		have, exists, err = nil, true, nil // something else is there: it differs
	}
	switch {
	case err != nil:
		return err
	case exists && p.same(have, raw):
		c.Identical++
		p.rep.item(Skipped, what, sessionsFile, "identical in Redis")
		return nil
	case exists && !p.cfg.Force:
		p.rep.refuse(c, what, sessionsFile, "Redis holds a different session; --force replaces it")
		return nil
	case exists:
		c.Replaced++
	default:
		c.New++
	}
	if !p.writing() {
		return nil
	}
	return p.st.PutSession(ctx, token, raw, left)
}

// abbreviate shows enough of a secret to find it, and not enough to use it.
func abbreviate(secret string) string {
	if len(secret) < 16 {
		return "…"
	}
	return secret[:4] + "…"
}

// expiry is a session's end: milliseconds, or a time as text.
func expiry(raw []byte) (time.Time, bool) {
	v, ok := store.Member(raw, "expiryTime")
	switch {
	case !ok:
	case v.Type == gjson.Number && v.Int() > 0:
		return time.UnixMilli(v.Int()), true
	case v.Type == gjson.String:
		t, err := time.Parse(time.RFC3339, v.String())
		return t, err == nil
	}
	return time.Time{}, false
}

// fileBatch is other files on their way into Redis.
type fileBatch struct {
	names []string
	raws  [][]byte
	size  int
}

// files imports every other file of the directory as it is.
func (p *pass) files(ctx context.Context) error {
	var b fileBatch
	err := p.tree.walk(func(rel string, err error) error {
		if isCore(rel) && !p.keep[rel] {
			if rel == tempFile {
				p.rep.skip(&p.rep.Files, "other file", rel, "left by an export that was interrupted")
			}
			return nil
		}
		if err == nil && p.seen[short(rel)] {
			return nil
		}
		p.progress(1)
		var raw []byte
		if err == nil {
			raw, err = p.tree.read(rel)
		}
		if err != nil {
			p.unreadable(rel, err)
			return nil
		}
		p.seen[short(rel)] = true
		b.names, b.raws, b.size = append(b.names, rel), append(b.raws, raw), b.size+len(raw)+len(rel)
		if len(b.names) < batchAccounts && b.size < batchBytes {
			return nil
		}
		return p.fileBatch(ctx, &b)
	})
	if err != nil {
		return err
	}
	return p.fileBatch(ctx, &b)
}

// unreadable counts a file that cannot be taken. One that is no file of the
// directory at all is skipped, not failed.
func (p *pass) unreadable(rel string, err error) {
	switch err {
	case errOutside, errLoop, errKind:
		p.rep.skip(&p.rep.Files, "other file", rel, "%v", err)
	default:
		p.rep.fail(&p.rep.Files, "other file", rel, "%v", err)
	}
}

func (p *pass) fileBatch(ctx context.Context, b *fileBatch) error {
	if len(b.names) == 0 {
		return nil
	}
	keys := make([]string, len(b.names))
	for i, n := range b.names {
		keys[i] = p.st.File(n)
	}
	have, foreign, err := p.st.Strings(ctx, keys)
	if err != nil {
		return fmt.Errorf("read files: %w", err)
	}
	pipe := p.st.Client().Pipeline()
	for i, raw := range b.raws {
		if p.compareFile(b.names[i], keys[i], raw, have[i], foreign[keys[i]]) {
			pipe.Set(ctx, keys[i], raw, 0)
		}
	}
	*b = fileBatch{}
	if !p.writing() || pipe.Len() == 0 {
		return nil
	}
	if _, err := pipe.Exec(ctx); err != nil {
		return fmt.Errorf("write files: %w", err)
	}
	return nil
}

func (p *pass) compareFile(name, key string, raw, have []byte, foreign bool) bool {
	c := &p.rep.Files
	switch {
	case have == nil && !foreign:
		c.New++
	case !foreign && p.same(have, raw):
		c.Identical++
		p.rep.item(Skipped, "other file", name, "identical in Redis")
		return false
	case !p.cfg.Force:
		p.rep.refuse(c, key, name, "Redis holds something else; --force replaces it")
		return false
	default:
		c.Replaced++
	}
	return true
}

// sweep removes, if forced, the files and tokens that the directory does not
// have and that no type's unit removed.
func (p *pass) sweep(ctx context.Context) error {
	if !p.cfg.Force || p.keep[poolsFile] {
		return nil
	}
	if err := p.sweepKeys(ctx, &p.rep.Files, p.st.FilePrefix(), func(rest string) bool {
		return p.seen[short(rest)] && (!isCore(rest) || p.keep[rest])
	}); err != nil {
		return err
	}
	return p.sweepKeys(ctx, &p.rep.Tokens, p.st.TokenPrefix(), func(rest string) bool {
		typ, uuid, _ := store.TypeAndUUID(rest)
		return p.accounts[short(typ, uuid)]
	})
}

func (p *pass) sweepKeys(ctx context.Context, c *Counts, prefix string, keep func(rest string) bool) error {
	gone := map[[16]byte]bool{}
	return p.st.Scan(ctx, prefix, func(keys []string) error {
		pipe := p.st.Client().Pipeline()
		for _, key := range keys {
			if keep(strings.TrimPrefix(key, prefix)) || gone[short(key)] {
				continue
			}
			gone[short(key)] = true
			c.Removed++
			pipe.Del(ctx, key)
		}
		if !p.writing() || pipe.Len() == 0 {
			return nil
		}
		_, err := pipe.Exec(ctx)
		if err != nil {
			err = fmt.Errorf("remove what the files do not have: %w", err)
		}
		return err
	})
}
