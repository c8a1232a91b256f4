package transfer

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
)

// What an output file was before.
const (
	fileNew = iota
	fileSame
	fileOther
)

// fileError is trouble with one output file, which leaves the others alone.
type fileError struct{ err error }

func (e *fileError) Error() string { return e.err.Error() }
func (e *fileError) Unwrap() error { return e.err }

// output is the directory that export writes. All access goes through os.Root,
// so that neither a path in a key nor a symbolic link leads out of it.
type output struct {
	root  *os.Root // nil for a directory that does not exist, while planning
	write bool
	stage *stage
}

func openOutput(dir string, write bool) (*output, error) {
	if write {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return nil, fmt.Errorf("make output directory %s: %w", dir, plain(err))
		}
	}
	root, err := os.OpenRoot(dir)
	if errors.Is(err, fs.ErrNotExist) && !write {
		return &output{}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("open output directory %s: %w", dir, plain(err))
	}
	return &output{root: root, write: write, stage: newStage(root)}, nil
}

// settle puts all that was written in place, for good.
func (o *output) settle() error {
	if !o.write {
		return nil
	}
	return o.stage.finish()
}

func (o *output) close() {
	if o.write {
		o.stage.discard()
	}
	if o.root != nil {
		_ = o.root.Close()
	}
}

// unsafePath says why a path from a key is not written; "" for a good one.
func unsafePath(rel string) string {
	switch {
	case !filepath.IsLocal(rel) || path.Clean(rel) != rel || rel == ".":
		return "the path leads out of the output directory or is not in its simplest form"
	case strings.ContainsRune(rel, 0):
		return "the path has a zero byte"
	case within(tempFile, rel):
		return "the name is the one of export's own temporary files"
	}
	return ""
}

// file compares one file with what render gives and, where it works and may,
// stages its replacement: failed is called later if that cannot take its place.
// A *fileError is the file's own trouble.
func (o *output) file(rel string, force bool, render func(io.Writer) error, failed func(error)) (state int, err error) {
	if o.root == nil {
		return fileNew, render(io.Discard)
	}
	if !o.write {
		return o.compare(rel, render)
	}
	return o.replace(rel, force, render, failed)
}

func (o *output) compare(rel string, render func(io.Writer) error) (int, error) {
	st, err := o.root.Stat(rel)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fileNew, render(io.Discard)
	case err == nil && st.IsDir():
		return 0, &fileError{errors.New("a directory is in its place")}
	case err != nil:
		return 0, &fileError{plain(err)}
	case !st.Mode().IsRegular():
		return 0, &fileError{errKind}
	}
	f, err := o.root.Open(rel)
	if err != nil {
		return 0, &fileError{plain(err)}
	}
	defer f.Close()
	c := &comparer{have: bufio.NewReader(f), same: true}
	if err := render(c); err != nil {
		return 0, err
	}
	if c.finish() {
		return fileSame, nil
	}
	return fileOther, nil
}

// replace puts the new content into the staging area; it takes its place when
// that is settled. failed is called then if it cannot.
func (o *output) replace(rel string, force bool, render func(io.Writer) error, failed func(error)) (int, error) {
	state, err := o.compare(rel, render)
	if err != nil || state == fileSame || state == fileOther && !force {
		return state, err
	}
	return state, o.stage.add(rel, render, failed)
}

// comparer is a writer that compares what is written with a file.
type comparer struct {
	have *bufio.Reader
	buf  [4096]byte
	same bool
}

func (c *comparer) Write(b []byte) (int, error) {
	n := len(b)
	for len(b) > 0 && c.same {
		part := c.buf[:min(len(b), len(c.buf))]
		_, err := io.ReadFull(c.have, part)
		c.same = err == nil && bytes.Equal(part, b[:len(part)])
		b = b[len(part):]
	}
	return n, nil
}

// finish says whether the file held exactly what was written.
func (c *comparer) finish() bool {
	_, err := c.have.ReadByte()
	return c.same && err == io.EOF
}
