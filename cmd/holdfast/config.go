package main

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/dustin/go-humanize"
	"github.com/urfave/cli/v2"
	"gopkg.in/yaml.v3"
)

// applyConfigFile sets every flag that neither the command line nor the
// environment gave from the file named by --config. Its keys are the names of
// the command's flags. All errors are reported at once; unknown keys are errors.
func applyConfigFile(c *cli.Context) error {
	path := c.String("config")
	if path == "" {
		return nil
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		return cli.Exit(fmt.Sprintf("read config file: %v", err), exitUsage)
	}
	var values map[string]any
	if err := yaml.Unmarshal(raw, &values); err != nil { // JSON is YAML, too
		return cli.Exit(fmt.Sprintf("config file %s: %v", path, err), exitUsage)
	}
	known := map[string]bool{}
	for _, f := range c.Command.Flags {
		known[f.Names()[0]] = true
	}
	delete(known, "config")
	var errs []error
	for _, key := range sortedKeys(values) {
		switch {
		case !known[key]:
			errs = append(errs, fmt.Errorf("config file %s: unknown key %q: the keys are the names of the flags, see 'holdfast %s --help'", path, key, c.Command.Name))
		case !c.IsSet(key):
			errs = append(errs, setFromFile(c, path, key, values[key])...)
		}
	}
	if err := errors.Join(errs...); err != nil {
		return cli.Exit(err.Error(), exitUsage)
	}
	return nil
}

func setFromFile(c *cli.Context, path, key string, value any) (errs []error) {
	list, ok := value.([]any)
	if !ok {
		list = []any{value}
	}
	for _, v := range list {
		if err := c.Set(key, fmt.Sprint(v)); err != nil {
			errs = append(errs, fmt.Errorf("config file %s: %s: value %q: %w", path, key, fmt.Sprint(v), err))
		}
	}
	return errs
}

func sortedKeys(m map[string]any) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// checker collects every wrong setting, so that all are reported at once.
type checker struct{ errs []error }

func (k *checker) add(err error) {
	if err != nil {
		k.errs = append(k.errs, err)
	}
}

// size reads a size flag such as 64MB.
func (k *checker) size(c *cli.Context, name string) int64 {
	n, err := humanize.ParseBytes(c.String(name))
	if err != nil || n > 1<<60 {
		k.add(fmt.Errorf("--%s %q is not a size: write it like 64MB or 1GB", name, c.String(name)))
		return 0
	}
	return int64(n)
}

// oneOf reads a flag that takes one of a few words.
func (k *checker) oneOf(c *cli.Context, name string, words ...string) string {
	v := c.String(name)
	if !slices.Contains(words, v) {
		k.add(fmt.Errorf("--%s %q: use %s", name, v, strings.Join(words, ", ")))
	}
	return v
}

func (k *checker) err() error {
	if len(k.errs) == 0 {
		return nil
	}
	return cli.Exit(errors.Join(k.errs...).Error(), exitUsage)
}
