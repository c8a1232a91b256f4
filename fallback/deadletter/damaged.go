package deadletter

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"

	"holdfast/fallback/datadir"
)

// letterStart begins every line of deadletters.jsonl. It cannot be inside one:
// quotes within a string are escaped there.
var letterStart = []byte(`{"seq":`)

func damagedPath(dir string) string { return datadir.DeadLetters(dir) + ".damaged" }

// damagedLetter is what cannot be read of a line of the dead letters.
type damagedLetter struct {
	line  int
	bytes []byte
}

// scanDeadLetters reads a file of dead letters. A line that an earlier version
// glued to a half-written one is told from it.
func scanDeadLetters(path string) (letters []Letter, damaged []damagedLetter, err error) {
	f, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil, nil
	}
	if err != nil {
		return nil, nil, fmt.Errorf("open dead letters: %w", err)
	}
	defer f.Close()
	n := 0
	err = datadir.EachLine(f, func(line []byte) error {
		n++
		for _, piece := range pieces(line) {
			var l Letter
			if json.Unmarshal(piece, &l) == nil {
				letters = append(letters, l)
			} else {
				damaged = append(damaged, damagedLetter{n, bytes.TrimSpace(piece)})
			}
		}
		return nil
	})
	return letters, damaged, err
}

// pieces splits a line before each place where a letter begins.
func pieces(line []byte) (out [][]byte) {
	for len(line) > 0 {
		next := bytes.Index(line[1:], letterStart) + 1
		if next == 0 {
			next = len(line)
		}
		out, line = append(out, line[:next]), line[next:]
	}
	return out
}

// setDamagedAside moves what cannot be read of the dead letters to a file of its
// own, so that it keeps neither the proxy from starting nor the others from
// being retried, and returns how much lies there: it counts until somebody
// removes that file.
func setDamagedAside(dir string, log *slog.Logger) (int, error) {
	path := datadir.DeadLetters(dir)
	letters, damaged, err := scanDeadLetters(path)
	if err != nil {
		return 0, err
	}
	for _, d := range damaged {
		log.Error("a dead letter is damaged", "file", path, "line", d.line, "kept_in", damagedPath(dir))
	}
	if len(damaged) > 0 {
		if err := moveDamaged(dir, letters, damaged); err != nil {
			log.Error("cannot move damaged dead letters: they stay where they are", "error", err)
			return len(damaged), nil
		}
	}
	_, kept, err := scanDeadLetters(damagedPath(dir))
	if err == nil && len(kept) > 0 {
		log.Error("damaged dead letters are kept: look at them, then remove the file", "file", damagedPath(dir), "lines", len(kept))
	}
	return len(kept), err
}

func moveDamaged(dir string, letters []Letter, damaged []damagedLetter) error {
	if err := datadir.CutTornLine(damagedPath(dir)); err != nil {
		return err
	}
	f, err := os.OpenFile(damagedPath(dir), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	for _, d := range damaged {
		_, werr := f.Write(append(d.bytes, '\n'))
		err = errors.Join(err, werr)
	}
	if err = errors.Join(err, f.Sync(), f.Close(), datadir.SyncDir(dir)); err != nil {
		return err
	}
	return WriteLetters(datadir.DeadLetters(dir), letters)
}

// WriteLetters replaces a file of dead letters.
func WriteLetters(path string, letters []Letter) error {
	return datadir.Replace(path, func(w io.Writer) error {
		buf := bufio.NewWriter(w)
		enc := json.NewEncoder(buf)
		for _, l := range letters {
			if err := enc.Encode(l); err != nil {
				return err
			}
		}
		return buf.Flush()
	})
}
