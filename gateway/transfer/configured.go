package transfer

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"strings"

	"github.com/tidwall/gjson"

	"holdfast/gateway/store"
)

// ErrElsewhere says that config.json names a file that is not the one that is
// imported and used.
var ErrElsewhere = errors.New("is another file than the one that is imported")

// checkPaths refuses a directory whose config.json names another file of
// accounts or models: the ones at the usual place would be imported instead, or
// none, and nobody would notice.
func (t *tree) checkPaths() error {
	raw, err := t.read(configFile)
	if err != nil {
		return nil // migrate reports on the file itself
	}
	for _, f := range []struct{ field, file string }{
		{"PROVIDER_POOLS_FILE_PATH", poolsFile},
		{"CUSTOM_MODELS_FILE_PATH", modelsFile},
	} {
		v, _ := store.Member(raw, f.field)
		if v.Type != gjson.String || v.String() == "" || t.leadsTo(v.String(), f.file) {
			continue
		}
		return fmt.Errorf("read %s: %s %q %w; nothing was written: move the file to %s in the directory, and set the field to \"configs/%s\"",
			configFile, f.field, v.String(), ErrElsewhere, f.file, f.file)
	}
	return nil
}

// leadsTo reports whether a path text means the file of that name in the
// directory. The directory may have had another name or place when the text was
// written, so its own file wins over one outside.
func (t *tree) leadsTo(text, name string) bool {
	form := strings.ReplaceAll(text, `\`, "/")
	if path.Base(form) != name {
		return false
	}
	for _, place := range places(form) {
		if place != name && t.exists(place) {
			return false
		}
	}
	if t.exists(name) {
		return true
	}
	for _, outside := range t.outside(form) {
		if _, err := os.Stat(outside); err == nil {
			return false
		}
	}
	return true
}

// checkRecords refuses a target whose bookkeeping keys hold something else: no
// provider type could be listed or compared there.
func (p *pass) checkRecords(ctx context.Context) error {
	types, err := p.st.FindTypes(ctx)
	if err != nil {
		return err
	}
	for _, typ := range types {
		p.known[typ] = true
	}
	for _, r := range []struct{ key, kind string }{
		{p.st.Keys.Meta(), "hash"}, {p.st.PoolIndex(), "set"},
	} {
		kind, err := p.st.Client().Type(ctx, r.key).Result()
		if err != nil {
			return fmt.Errorf("look for %s: %w", r.key, err)
		}
		if kind != "none" && kind != r.kind {
			return fmt.Errorf("read %s: it is a %s and ought to be a %s; nothing was written: delete this key, or use another --key-prefix", r.key, kind, r.kind)
		}
	}
	return nil
}
