package fallback

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// JournalDir is where a data directory keeps its journal.
func JournalDir(dir string) string   { return filepath.Join(dir, "journal") }
func markPath(dir string) string     { return filepath.Join(dir, "replay.json") }
func snapshotPath(dir string) string { return filepath.Join(dir, "snapshot") }

// replayMark remembers which batch was sent last, and that a fence was ever
// written, so that a fence found missing can be told from one never made.
type replayMark struct {
	RunID     string `json:"runId"`
	From      uint64 `json:"from"`
	To        uint64 `json:"to"`
	FenceSeen bool   `json:"fenceSeen"`
}

func (s *Store) saveReplayMark(m replayMark) error {
	raw, err := json.Marshal(m)
	if err != nil {
		return fmt.Errorf("encode replay mark: %w", err)
	}
	if err := writeFile(markPath(s.cfg.Dir), raw); err != nil {
		return err
	}
	s.replay.mark = m
	return nil
}

func (s *Store) loadReplayMark() error {
	raw, err := os.ReadFile(markPath(s.cfg.Dir))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read replay mark: %w", err)
	}
	if err := json.Unmarshal(raw, &s.replay.mark); err != nil {
		return fmt.Errorf("read replay mark %s: %w: remove the file if it was edited by hand", markPath(s.cfg.Dir), err)
	}
	return nil
}

// writeFile replaces a file so that after a crash it is whole: the old or the
// new one. 0600, since values may be secrets.
func writeFile(path string, data []byte) error {
	tmp, err := os.OpenFile(path+".tmp", os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("create %s: %w", filepath.Base(path), err)
	}
	_, err = tmp.Write(data)
	return commitFile(tmp, path, err)
}

// commitFile syncs and closes a temporary file and renames it to path, then
// syncs the directory so that the rename itself survives a crash.
func commitFile(tmp *os.File, path string, err error) error {
	if err == nil {
		err = tmp.Sync()
	}
	if cerr := tmp.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = os.Rename(tmp.Name(), path)
	}
	if err != nil {
		_ = os.Remove(tmp.Name())
		return fmt.Errorf("write %s: %w", filepath.Base(path), err)
	}
	return syncDir(filepath.Dir(path))
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("open directory: %w", err)
	}
	defer d.Close()
	if err := d.Sync(); err != nil {
		return fmt.Errorf("sync directory: %w", err)
	}
	return nil
}
