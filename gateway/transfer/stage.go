package transfer

import (
	"bufio"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"strconv"
)

// A batch of staged files is flushed to disk and put in place together: with
// 100,000 token files, one flush for each would take minutes.
const (
	stageFiles = 4096
	stageBytes = 256 << 20
)

// stage holds files that are written and not yet in place. They lie in a
// directory of their own below tempFile, are flushed to disk together and only
// then renamed: a crash at any point leaves the old file or the new one under
// its name, and perhaps tempFile. Not safe for concurrent use; two exports into
// one directory make each other fail, and never mix their files up.
type stage struct {
	root  *os.Root
	dir   string // "" until something is staged
	files []stagedFile
	bytes int64
	count int                 // files staged so far, by which they are named
	dirs  map[string]struct{} // that got new names, to be flushed at the end
}

type stagedFile struct {
	temp, rel string
	failed    func(error)
}

func newStage(root *os.Root) *stage {
	return &stage{root: root, dirs: map[string]struct{}{}}
}

// begin makes the staging directory, in place of one that a killed run left.
func (s *stage) begin() error {
	if s.dir != "" {
		return nil
	}
	if err := s.root.RemoveAll(tempFile); err != nil {
		return fmt.Errorf("remove the temporary files of an earlier run: %w", plain(err))
	}
	dir := tempFile + "/" + rand.Text()
	if err := s.root.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("make a temporary directory: %w", plain(err))
	}
	s.dir = dir
	return nil
}

// add writes one file. It may settle those before it.
func (s *stage) add(rel string, render func(io.Writer) error, failed func(error)) error {
	if err := s.begin(); err != nil {
		return err
	}
	f := stagedFile{temp: s.dir + "/" + strconv.Itoa(s.count), rel: rel, failed: failed}
	s.count++
	n, err := s.write(f.temp, render)
	if err != nil {
		return fmt.Errorf("write %s: %w", rel, plain(err))
	}
	s.files, s.bytes = append(s.files, f), s.bytes+n
	if len(s.files) < stageFiles && s.bytes < stageBytes {
		return nil
	}
	return s.place()
}

func (s *stage) write(temp string, render func(io.Writer) error) (size int64, err error) {
	f, err := s.root.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return 0, err
	}
	w := bufio.NewWriterSize(f, 16<<10)
	if err = render(w); err == nil {
		err = w.Flush()
	}
	if err == nil {
		size, err = f.Seek(0, io.SeekCurrent)
	}
	return size, errors.Join(err, f.Close())
}

// place flushes what is staged to disk, then renames it.
func (s *stage) place() error {
	temps := make([]string, len(s.files))
	for i, f := range s.files {
		temps[i] = f.temp
	}
	if err := flush(s.root, temps); err != nil {
		return fmt.Errorf("flush files to disk: %w", plain(err))
	}
	for _, f := range s.files {
		if err := s.rename(f); err != nil {
			f.failed(err)
			_ = s.root.Remove(f.temp)
		}
	}
	s.files, s.bytes = s.files[:0], 0
	return nil
}

func (s *stage) rename(f stagedFile) error {
	dir := path.Dir(f.rel)
	if dir != "." {
		if err := s.root.MkdirAll(dir, 0o700); err != nil {
			return plain(err)
		}
	}
	err := s.root.Rename(f.temp, f.rel)
	var le *os.LinkError
	if errors.As(err, &le) {
		return le.Err
	}
	if err != nil {
		return plain(err)
	}
	for ; ; dir = path.Dir(dir) { // those above may be new
		if _, known := s.dirs[dir]; known {
			return nil
		}
		s.dirs[dir] = struct{}{}
		if dir == "." {
			return nil
		}
	}
}

// finish puts the rest in place and flushes the names.
func (s *stage) finish() error {
	if err := s.place(); err != nil {
		return err
	}
	s.discard()
	dirs := make([]string, 0, len(s.dirs))
	for d := range s.dirs {
		dirs = append(dirs, d)
	}
	if err := flush(s.root, dirs); err != nil {
		return fmt.Errorf("flush directories to disk: %w", plain(err))
	}
	return nil
}

// discard removes what was not put in place. Idempotent.
func (s *stage) discard() {
	if s.dir == "" {
		return
	}
	_ = s.root.RemoveAll(s.dir)
	_ = s.root.Remove(tempFile) // fails if another run has its own in it
	s.dir, s.files = "", nil
}
