package transfer

import (
	"os"
	"path"
	"path/filepath"
	"slices"
)

// walk calls visit for each path below the directory that is not a directory
// itself, in order of name. Symbolic links to directories are followed where
// they stay inside and do not lead back to a directory being walked. err says
// why a path cannot be read; nil for a regular file.
func (t *tree) walk(visit func(rel string, err error) error) error {
	return t.walkDir("", []string{t.real}, visit)
}

func (t *tree) walkDir(rel string, open []string, visit func(rel string, err error) error) error {
	entries, err := os.ReadDir(filepath.Join(t.dir, rel))
	if err != nil {
		return visit(rel, plain(err))
	}
	for _, e := range entries {
		name := path.Join(rel, e.Name())
		if e.Type().IsRegular() || name == tempFile { // inside, as the directory is: no need to look where it leads
			if err := visit(name, nil); err != nil {
				return err
			}
			continue
		}
		real, err := t.resolveInside(name)
		if err != nil {
			if err := visit(name, err); err != nil {
				return err
			}
			continue
		}
		st, err := os.Stat(real)
		switch {
		case err != nil:
			err = visit(name, plain(err))
		case !st.IsDir() && !st.Mode().IsRegular():
			err = visit(name, errKind)
		case !st.IsDir():
			err = visit(name, nil)
		case slices.Contains(open, real):
			err = visit(name, errLoop)
		default:
			err = t.walkDir(name, append(slices.Clone(open), real), visit)
		}
		if err != nil {
			return err
		}
	}
	return nil
}
