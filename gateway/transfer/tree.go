package transfer

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/tidwall/gjson"

	"holdfast/gateway/store"
)

// Names with a meaning of their own at the top of a configuration directory.
const (
	configFile   = "config.json"
	poolsFile    = "provider_pools.json"
	passwordFile = "pwd"
	sessionsFile = "token-store.json"
	usageFile    = "usage-cache.json"
	pluginsFile  = "plugins.json"
	modelsFile   = "custom_models.json" // of no special meaning here, but to the gateway
	// pathsFile maps token paths, as written in accounts, to places in an
	// exported directory, where the path alone does not say it.
	pathsFile = ".holdfast-paths.json"
	// tempFile is where export writes before it renames; it is left by a kill.
	tempFile = ".holdfast-export.tmp"
	// externalDir holds, in an exported directory, the token files that were
	// outside the configuration directory.
	externalDir = "_external"
)

// maxFileBytes is what Redis takes as one value.
const maxFileBytes = 512<<20 - 1

var (
	errOutside = errors.New("symbolic link leads outside the configuration directory")
	errKind    = errors.New("not a regular file")
	errLoop    = errors.New("symbolic link leads back to a directory above it")
	errTooBig  = errors.New("larger than the 512 MB that Redis takes as one value")
)

// tree is a configuration directory that is read.
type tree struct {
	dir   string            // absolute
	real  string            // dir without symbolic links
	paths map[string]string // from pathsFile
	dirs  map[string]string // directories found so far → where they really are
}

const maxKnownDirs = 10_000

func openTree(dir string) (*tree, error) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("find configuration directory: %w", err)
	}
	real, err := filepath.EvalSymlinks(abs)
	if err != nil {
		return nil, fmt.Errorf("find configuration directory %s: %w", dir, plain(err))
	}
	if st, err := os.Stat(real); err != nil || !st.IsDir() {
		return nil, fmt.Errorf("find configuration directory %s: not a directory", dir)
	}
	t := &tree{dir: abs, real: real, paths: map[string]string{}, dirs: map[string]string{}}
	if raw, err := t.read(pathsFile); err == nil {
		store.Members(raw, func(text string, v gjson.Result) {
			if place := filepath.Clean(v.String()); filepath.IsLocal(place) && !isCore(place) {
				t.paths[text] = place
			}
		})
	}
	return t, nil
}

// resolveInside finds where a path below the directory really is. Directories
// are remembered: most have many files.
func (t *tree) resolveInside(rel string) (string, error) {
	dir, base := filepath.Split(filepath.Clean(rel))
	parent, known := t.dirs[dir]
	if !known {
		var err error
		if parent, err = filepath.EvalSymlinks(filepath.Join(t.dir, dir)); err != nil {
			return "", plain(err)
		}
		if len(t.dirs) < maxKnownDirs {
			t.dirs[dir] = parent
		}
	}
	if !within(t.real, parent) {
		return "", errOutside
	}
	name := filepath.Join(parent, base)
	st, err := os.Lstat(name)
	if err != nil {
		return "", plain(err)
	}
	if st.Mode()&fs.ModeSymlink == 0 {
		return name, nil
	}
	real, err := filepath.EvalSymlinks(name)
	if err != nil {
		return "", plain(err)
	}
	if !within(t.real, real) {
		return "", errOutside
	}
	return real, nil
}

func (t *tree) read(rel string) ([]byte, error) {
	real, err := t.resolveInside(rel)
	if err != nil {
		return nil, err
	}
	return readRegular(real)
}

// exists reports whether rel leads to something, inside or out.
func (t *tree) exists(rel string) bool {
	_, err := os.Lstat(filepath.Join(t.dir, rel))
	return err == nil
}

// readRegular reads a regular file.
func readRegular(name string) ([]byte, error) {
	f, err := openRegular(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	raw, err := io.ReadAll(io.LimitReader(f, maxFileBytes+1))
	if err != nil {
		return nil, plain(err)
	}
	if len(raw) > maxFileBytes {
		return nil, errTooBig
	}
	return raw, nil
}

// openRegular looks before it opens: opening a named pipe would wait for ever.
func openRegular(name string) (*os.File, error) {
	st, err := os.Stat(name)
	switch {
	case err != nil:
		return nil, plain(err)
	case !st.Mode().IsRegular():
		return nil, errKind
	case st.Size() > maxFileBytes:
		return nil, errTooBig
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, plain(err)
	}
	return f, nil
}

// tokenFile is where the text of a *_FILE_PATH field leads.
type tokenFile struct {
	place string // relative path in the directory, or where export will put it
	file  string // the file to read; "" for place
	other string // another file that the text could mean as well; "" for none
}

// findToken finds the token file a path text names. A copy that an export made of
// a file from outside comes first, so that an exported directory is read in full
// from itself and never from the original beside it. Then it is as the original
// application has it: "./x" is beside the directory, where the application
// runs, and only then in it.
func (t *tree) findToken(text string) (tokenFile, error) {
	if place, ok := t.paths[text]; ok {
		return tokenFile{place: place}, nil
	}
	var found []tokenFile
	for _, form := range slashForms(text) {
		if rooted(form) {
			if t.exists(externalPlace(form)) {
				return tokenFile{place: externalPlace(form)}, nil
			}
			found = t.appendOutside(found, form, filepath.Join(filepath.Dir(t.dir), form))
		}
	}
	for _, place := range places(text) {
		if !isCore(place) && t.exists(place) {
			found = append(found, tokenFile{place: place})
		}
	}
	for _, form := range slashForms(text) {
		for _, name := range t.outside(form) {
			found = t.appendOutside(found, form, name)
		}
	}
	if len(found) == 0 {
		return tokenFile{}, fs.ErrNotExist
	}
	if form := strings.ReplaceAll(text, `\`, "/"); strings.HasPrefix(form, "./") {
		// "./configs/…" of a directory of another name: the neighbour counts as seen.
		for _, f := range t.appendOutside(found, form, filepath.Join(filepath.Dir(t.dir), form))[1:] {
			if found[0].other == "" && f.name() != found[0].name() {
				found[0].other = f.name()
			}
		}
	}
	return found[0], nil
}

// name is the file for people.
func (f tokenFile) name() string {
	if f.file != "" {
		return f.file
	}
	return f.place + " in the directory"
}

// rooted reports whether a path is relative to where the original application
// runs, beside the directory. "./configs/…" is the directory itself, whatever its
// name.
func rooted(form string) bool {
	return strings.HasPrefix(form, "./") && !strings.HasPrefix(path.Clean(form), "configs/")
}

// appendOutside adds the file of that name, if there is one.
func (t *tree) appendOutside(found []tokenFile, form, name string) []tokenFile {
	if _, err := os.Stat(name); err != nil {
		return found
	}
	if rel, ok := t.inside(name); ok {
		return append(found, tokenFile{place: rel})
	}
	return append(found, tokenFile{place: externalPlace(form), file: name})
}

// places lists where a token path text can lead inside the directory, best
// first. It depends on the text alone, so that an exported directory gives the
// same answer wherever it lies.
func places(text string) (list []string) {
	add := func(p string) {
		if filepath.IsLocal(p) && p != "." {
			list = append(list, p)
		}
	}
	for _, form := range slashForms(text) {
		if !isAbs(form) {
			clean := path.Clean(form)
			rest, inConfigs := strings.CutPrefix(clean, "configs/")
			if inConfigs {
				add(rest)
			}
			add(clean)
			add(externalPlace(form))
			if _, after, ok := strings.Cut(clean, "/"); ok && !inConfigs {
				add(after) // the directory had another name once
			}
			continue
		}
		add(externalPlace(form))
	}
	return list
}

// outside lists the files beyond the directory that a path text can mean: those
// beside it, and the usual meaning of an absolute path and of "~".
func (t *tree) outside(form string) []string {
	switch {
	case strings.HasPrefix(form, "~/"):
		home, err := os.UserHomeDir()
		if err != nil {
			return nil
		}
		return []string{filepath.Join(home, form[2:])}
	case filepath.IsAbs(form):
		return []string{filepath.Clean(form)}
	case isAbs(form) || strings.HasPrefix(path.Clean(form), "configs/"):
		return nil // "configs/…" means this directory, never a neighbour of that name
	}
	return []string{filepath.Join(filepath.Dir(t.dir), form), filepath.Join(t.dir, form)}
}

func (t *tree) inside(name string) (rel string, ok bool) {
	for _, root := range []string{t.dir, t.real} {
		if within(root, name) {
			rel, err := filepath.Rel(root, name)
			return rel, err == nil && filepath.IsLocal(rel) && !isCore(rel)
		}
	}
	return "", false
}

// externalPlace is the safe relative place of a file outside the directory. It
// never climbs, whatever the text.
func externalPlace(form string) string {
	var parts []string
	rest := form
	switch {
	case strings.HasPrefix(form, "~/"):
		parts, rest = []string{"home"}, form[2:]
	case strings.HasPrefix(form, "/"):
		parts = []string{"root"}
	case isAbs(form):
		parts, rest = []string{"drive-" + form[:1]}, form[2:]
	default:
		parts = []string{"beside"}
	}
	for _, p := range strings.Split(path.Clean(rest), "/") {
		switch p {
		case "", ".":
		case "..":
			parts = append(parts, "up")
		default:
			parts = append(parts, p)
		}
	}
	return path.Join(externalDir, path.Join(parts...))
}

// slashForms gives the text as it is and, where it has backslashes, as Windows
// means it.
func slashForms(text string) []string {
	if strings.Contains(text, `\`) {
		return []string{text, strings.ReplaceAll(text, `\`, "/")}
	}
	return []string{text}
}

func isAbs(form string) bool {
	drive := len(form) > 2 && form[1] == ':' && form[2] == '/' &&
		(form[0]|0x20) >= 'a' && (form[0]|0x20) <= 'z'
	return drive || strings.HasPrefix(form, "/") || strings.HasPrefix(form, "~/")
}

func isCore(rel string) bool {
	switch rel {
	case configFile, poolsFile, passwordFile, sessionsFile, usageFile, pluginsFile, pathsFile, tempFile:
		return true
	}
	return false
}

func within(root, name string) bool {
	return name == root || strings.HasPrefix(name, strings.TrimSuffix(root, "/")+"/")
}

// plain drops the operation and the path that the os package puts before an
// error: the report names the file already.
func plain(err error) error {
	var pe *fs.PathError
	if errors.As(err, &pe) {
		return pe.Err
	}
	return err
}
