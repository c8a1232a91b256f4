package gateway

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/tidwall/gjson"
)

// maxConfigFile bounds a configuration file; anything larger is a mistake.
const maxConfigFile = 64 << 20

// loadFiles reads the state from a configuration directory. A missing file is
// an empty one; skipped counts pool entries that cannot be used (no uuid, or
// not an object).
func loadFiles(dir string) (raw rawState, skipped int, err error) {
	config, err := readConfigFile(filepath.Join(dir, "config.json"))
	if err != nil {
		return raw, 0, err
	}
	pools, err := readConfigFile(filepath.Join(dir, "provider_pools.json"))
	if err != nil {
		return raw, 0, err
	}
	custom, err := readConfigFile(filepath.Join(dir, "custom_models.json"))
	if err != nil {
		return raw, 0, err
	}
	prompt := ""
	for _, name := range promptFiles(parsePrompt(gjson.Parse(config)).file) {
		if data, err := os.ReadFile(filepath.Join(dir, filepath.FromSlash(name))); err == nil && len(data) <= maxPrompt {
			prompt = string(data)
			break
		}
	}
	raw = rawState{config: config, prompt: prompt, customModels: custom, pools: map[string]map[string]string{}}
	gjson.Parse(pools).ForEach(func(typ, list gjson.Result) bool {
		if !list.IsArray() {
			return true // comments and the like
		}
		entries := map[string]string{}
		list.ForEach(func(_, entry gjson.Result) bool {
			uuid := text(entry.Get("uuid"))
			if !entry.IsObject() || uuid == "" {
				skipped++
				return true
			}
			entries[uuid] = entry.Raw
			return true
		})
		raw.pools[typ.Str] = entries
		return true
	})
	return raw, skipped, nil
}

// readConfigFile reads one JSON file, without its byte order mark.
func readConfigFile(path string) (string, error) {
	f, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("read configuration file: %w", err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxConfigFile+1))
	if err != nil {
		return "", fmt.Errorf("read configuration file: %w", err)
	}
	if len(data) > maxConfigFile {
		return "", fmt.Errorf("configuration file %s is over %d MiB: is it the right file?", path, maxConfigFile>>20)
	}
	s := string(data)
	if len(s) >= 3 && s[:3] == "\ufeff" {
		s = s[3:]
	}
	if s != "" && !gjson.Valid(s) {
		return "", fmt.Errorf("configuration file %s is not valid JSON", path)
	}
	return s, nil
}
