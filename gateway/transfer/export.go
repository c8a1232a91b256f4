package transfer

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"slices"
	"strings"

	"github.com/redis/go-redis/v9"

	"holdfast/gateway/store"
)

// ErrExists says that the output directory holds other files already.
var ErrExists = errors.New("files with other content exist already; nothing was written; --force replaces them")

// ErrEmpty says that there is nothing under the prefix.
var ErrEmpty = errors.New("no configuration under this prefix; name another with --key-prefix")

// ExportConfig says what to export. Plan and Progress may be nil.
type ExportConfig struct {
	Client redis.UniversalClient
	Prefix string
	Dir    string
	DryRun bool
	Force  bool // replace existing files

	Plan     func(*Report)
	Progress func(done int)
}

// Export writes what Redis holds as a configuration directory. Each file
// replaces the one before it in one step and is on disk by then, so a reader, or
// whoever looks after a crash, sees the old or the new one, whole. Nothing is written where a file with other content exists, unless
// forced. Files that Redis does not know are left alone.
func Export(ctx context.Context, cfg ExportConfig) (*Report, error) {
	st := store.New(cfg.Client, cfg.Prefix)
	plan, err := exportPass(ctx, cfg, st, false)
	if err != nil {
		return plan, fmt.Errorf("plan: %w", err)
	}
	plan.DryRun = cfg.DryRun
	if cfg.Plan != nil {
		cfg.Plan(plan)
	}
	if plan.Total()+plan.Layout.total() == 0 {
		return plan, fmt.Errorf("export %q: %w", cfg.Prefix, ErrEmpty)
	}
	refused := 0
	for _, c := range plan.all() {
		refused += c.Refused
	}
	if refused > 0 {
		return plan, fmt.Errorf("export to %s: %d %w", cfg.Dir, refused, ErrExists)
	}
	if cfg.DryRun {
		return plan, nil
	}
	return exportPass(ctx, cfg, st, true)
}

// exporter is one run over Redis: the plan, or the work.
type exporter struct {
	cfg ExportConfig
	st  *store.Store
	out *output
	rep *Report

	seen    map[[16]byte]bool     // paths that are written
	covered map[[16]byte]bool     // (type, uuid) of the tokens that have a place
	places  map[[16]byte][16]byte // place of a token file → what is in it
	paths   map[string]string     // for pathsFile
	order   []string              // its keys in order
	tokens  []tokenPlace
	done    int
}

type tokenPlace struct{ typ, uuid, place string }

func exportPass(ctx context.Context, cfg ExportConfig, st *store.Store, write bool) (*Report, error) {
	x := &exporter{cfg: cfg, st: st, rep: &Report{}, seen: map[[16]byte]bool{}, covered: map[[16]byte]bool{},
		places: map[[16]byte][16]byte{}, paths: map[string]string{}}
	var err error
	if x.out, err = openOutput(cfg.Dir, write); err != nil {
		return x.rep, err
	}
	defer x.out.close()
	for _, step := range []func(context.Context) error{
		x.singles, x.pools, x.tokenFiles, x.pathsFile, x.orphans, x.files,
	} {
		if err := step(ctx); err != nil {
			return x.rep, err
		}
	}
	return x.rep, x.out.settle()
}

// emit writes one file, or while planning compares it.
func (x *exporter) emit(c *Counts, what, rel string, render func(io.Writer) error) error {
	x.done++
	if x.out.write && x.cfg.Progress != nil {
		x.cfg.Progress(x.done)
	}
	if reason := unsafePath(rel); reason != "" {
		x.rep.fail(c, what, rel, "%s; not written", reason)
		return nil
	}
	x.seen[short(rel)] = true
	counter := new(int)
	state, err := x.out.file(rel, x.cfg.Force, render, func(err error) {
		*counter--
		x.rep.fail(c, what, rel, "%v", err)
	})
	var bad *fileError
	switch {
	case errors.As(err, &bad):
		x.rep.fail(c, what, rel, "%v", bad.err)
		return nil
	case err != nil:
		return err
	}
	switch {
	case state == fileOther && !x.cfg.Force:
		x.rep.refuse(c, what, rel, "exists with other content; --force replaces it")
		return nil
	case state == fileOther:
		counter = &c.Replaced
	case state == fileSame:
		counter = &c.Identical
	default:
		counter = &c.New
	}
	*counter++
	return nil
}

func (x *exporter) emitBytes(c *Counts, what, rel string, raw []byte) error {
	return x.emit(c, what, rel, func(w io.Writer) error {
		_, err := w.Write(raw)
		return err
	})
}

func (x *exporter) singles(ctx context.Context) error {
	rep, k := x.rep, x.st.Keys
	for _, s := range []struct {
		what, file, key string
		c               *Counts
	}{
		{"config", configFile, k.Config(), &rep.Config},
		{"password", passwordFile, k.Password(), &rep.Password},
		{"plugins", pluginsFile, k.Plugins(), &rep.Plugins},
		{"usage cache", usageFile, k.UsageCache(), &rep.Usage},
	} {
		raw, ok, err := x.st.Get(ctx, s.key)
		if redis.HasErrorPrefix(err, "WRONGTYPE") {
			rep.fail(s.c, s.what, s.file, "key %s holds something that is no string", s.key)
			continue
		}
		if err != nil {
			return err
		}
		if !ok {
			continue
		}
		if err := x.emitBytes(s.c, s.what, s.file, raw); err != nil {
			return err
		}
	}
	return nil
}

// tokenFiles writes the token files, in batches.
func (x *exporter) tokenFiles(ctx context.Context) error {
	const batch = 50
	for list := range slices.Chunk(x.tokens, batch) {
		keys := make([]string, len(list))
		for i, t := range list {
			keys[i] = x.st.Keys.Token(t.typ, t.uuid)
		}
		vals, err := x.st.Client().MGet(ctx, keys...).Result()
		if err != nil {
			return fmt.Errorf("read tokens: %w", err)
		}
		for i, t := range list {
			raw, ok := vals[i].(string)
			if !ok {
				x.rep.fail(&x.rep.Tokens, keys[i], t.place, "it vanished while the export ran; run again")
				continue
			}
			if err := x.emitBytes(&x.rep.Tokens, keys[i], t.place, []byte(raw)); err != nil {
				return err
			}
		}
	}
	return nil
}

// pathsFile writes the map from token paths, as accounts have them, to places,
// where there is anything to say.
func (x *exporter) pathsFile(context.Context) error {
	if len(x.order) == 0 {
		return nil
	}
	var b bytes.Buffer
	b.WriteString("{")
	for i, text := range x.order {
		sep := ",\n  "
		if i == 0 {
			sep = "\n  "
		}
		fmt.Fprintf(&b, "%s%s: %s", sep, quote(text), quote(x.paths[text]))
	}
	b.WriteString("\n}\n")
	return x.emitBytes(&x.rep.Layout, "token paths", pathsFile, b.Bytes())
}

func quote(s string) []byte {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(s) // a string always encodes
	return bytes.TrimRight(b.Bytes(), "\n")
}

// orphanDir holds the tokens whose account does not exist any more.
const orphanDir = "_orphan-tokens"

func (x *exporter) orphans(ctx context.Context) error {
	prefix := x.st.TokenPrefix()
	return x.st.Scan(ctx, prefix, func(keys []string) error {
		for _, key := range keys {
			typ, uuid, _ := store.TypeAndUUID(strings.TrimPrefix(key, prefix))
			if x.covered[short(typ, uuid)] {
				continue
			}
			x.covered[short(typ, uuid)] = true
			raw, ok, err := x.st.Get(ctx, key)
			if redis.HasErrorPrefix(err, "WRONGTYPE") {
				x.rep.fail(&x.rep.Tokens, key, "", "holds something that is no string")
				continue
			}
			if err != nil {
				return err
			}
			if !ok {
				continue
			}
			place := orphanDir + "/" + safeName(typ) + "/" + safeName(uuid) + ".json"
			x.rep.item(Note, key, place, "no account names this token")
			if err := x.emitBytes(&x.rep.Tokens, key, place, raw); err != nil {
				return err
			}
		}
		return nil
	})
}

// files writes the other files. A file of a known name under files: is one that
// could not be used when it was imported; it gives way to a usable one.
func (x *exporter) files(ctx context.Context) error {
	prefix := x.st.FilePrefix()
	return x.st.Scan(ctx, prefix, func(keys []string) error {
		for _, key := range keys {
			rel := strings.TrimPrefix(key, prefix)
			if x.seen[short(rel)] {
				continue
			}
			raw, ok, err := x.st.Get(ctx, key)
			if redis.HasErrorPrefix(err, "WRONGTYPE") {
				x.rep.fail(&x.rep.Files, key, rel, "holds something that is no string")
				continue
			}
			if err != nil {
				return err
			}
			if !ok {
				continue
			}
			if err := x.emitBytes(&x.rep.Files, key, rel, raw); err != nil {
				return err
			}
		}
		return nil
	})
}

// safeName makes one path element of any text.
func safeName(s string) string {
	name := url.QueryEscape(s)
	if strings.Trim(name, ".") == "" {
		name = "_" + name
	}
	if len(name) > 200 {
		sum := short(name)
		name = fmt.Sprintf("%s-%x", name[:160], sum)
	}
	return name
}
