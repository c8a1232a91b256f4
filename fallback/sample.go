package fallback

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"holdfast/backend/resp"
	"holdfast/fallback/datadir"
	"holdfast/fallback/record"
)

// A sample is data that nobody asked for: what the first start without a Redis
// fills an empty store with. A note of it stays in the data directory, so that the
// keys that nobody changed since are never brought to a Redis.

func samplePath(dir string) string { return filepath.Join(dir, "sample.json") }

// sampleNote is that file.
type sampleNote struct {
	DB   int               `json:"db"`
	Keys map[string]string `json:"keys"` // fingerprints of the values, in hex
}

// holds reports whether commands, which recreate a key, give what the sample had.
func (n *sampleNote) holds(db int, key string, commands [][][]byte) bool {
	d, _ := record.DigestOf(commands)
	return len(n.Keys) > 0 && db == n.DB && n.Keys[key] == hex.EncodeToString(d[:])
}

// LoadSample executes the commands, which recreate keys, as one unit, and returns
// when it is durable. The note is durable before: after a crash in between it
// speaks of keys that are not there.
func (s *Store) LoadSample(db int, commands [][][]byte) error {
	byKey := map[string][][][]byte{}
	for _, argv := range commands {
		byKey[string(argv[1])] = append(byKey[string(argv[1])], argv)
	}
	note := sampleNote{DB: db, Keys: map[string]string{}}
	for key, cmds := range byKey {
		d, _ := record.DigestOf(cmds)
		note.Keys[key] = hex.EncodeToString(d[:])
	}
	if err := datadir.Replace(samplePath(s.cfg.Dir), func(w io.Writer) error { return json.NewEncoder(w).Encode(note) }); err != nil {
		return err
	}
	reply, pending, err := s.Do(Request{DB: db, Proto: 2, Unit: true, Commands: commands})
	if err != nil {
		return err
	}
	if v, _, err := resp.Parse(reply); err != nil || len(v.Elems) != len(commands) {
		return fmt.Errorf("load sample: %q", reply)
	}
	return pending.Wait()
}

// UntouchedSample lists the keys that still hold exactly what LoadSample put there,
// and their database.
func (s *Store) UntouchedSample() (db int, keys []string, err error) {
	note, err := readSample(s.cfg.Dir)
	if err != nil || len(note.Keys) == 0 {
		return 0, nil, err
	}
	byKey := map[string][][][]byte{}
	err = s.Dump(func(db int, argv [][]byte) error {
		if key := record.Recreated(argv); db == note.DB && note.Keys[key] != "" {
			byKey[key] = append(byKey[key], argv)
		}
		return nil
	})
	for key, commands := range byKey {
		if note.holds(note.DB, key, commands) {
			keys = append(keys, key)
		}
	}
	return note.DB, keys, err
}

// HandingOver reports whether the keys of a store that was embedded until it got a
// Redis wait to be created there, none of them sent yet.
func (s *Store) HandingOver() bool {
	return s.mark().NothingSent() && s.jr.Count(s.settled.Load()) > 0
}

// readSample is the note of what was loaded; empty when there is none.
func readSample(dir string) (n sampleNote, err error) {
	raw, err := os.ReadFile(samplePath(dir))
	if errors.Is(err, os.ErrNotExist) {
		return n, nil
	}
	if err == nil {
		err = json.Unmarshal(raw, &n)
	}
	if err != nil {
		return n, fmt.Errorf("read note of the sample %s: %w: remove it to bring the sample configuration to Redis, too", samplePath(dir), err)
	}
	return n, nil
}
