package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/urfave/cli/v2"
	"gopkg.in/yaml.v3"
)

// applyConfigFile sets every flag that neither the command line nor the
// environment gave from the file named by --config. Its keys are the names of the
// flags of up and proxy: one file serves both. Unknown keys are errors.
func applyConfigFile(c *cli.Context, k *checker) (out fileValues) {
	path := c.String("config")
	if path == "" {
		return out
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		k.add(fmt.Errorf("--config: %w", err))
		return out
	}
	var doc struct {
		Values map[string]yaml.Node `yaml:",inline"`
	}
	if err := yaml.Unmarshal(raw, &doc); err != nil { // JSON is YAML, too
		k.add(fmt.Errorf("config file %s: %w", path, err))
		return out
	}
	known := flagNames(upFlags())
	for _, key := range sortedKeys(doc.Values) {
		node := doc.Values[key]
		values, err := scalars(&node)
		switch {
		case !known[key] || key == "config":
			k.add(fmt.Errorf("config file %s: unknown key %q: the keys are the names of the flags, see 'holdfast up --help'", path, key))
		case err != nil:
			k.add(fmt.Errorf("config file %s, line %d: %s: %w", path, node.Line, key, err))
		case len(values) == 0: // nothing given: the default stays
		case key == "redis-url":
			out.redisURL = values[0]
		case key == "key-prefix":
			out.keyPrefix = &values[0]
		case flagNames(c.Command.Flags)[key] && !c.IsSet(key):
			k.add(setFromFile(c, path, key, values))
		}
	}
	return out
}

func flagNames(flags []cli.Flag) map[string]bool {
	names := map[string]bool{}
	for _, f := range flags {
		names[f.Names()[0]] = true
	}
	return names
}

// scalars gives the texts of a value or of a list of values, as they were written:
// a password of digits is not a number.
func scalars(n *yaml.Node) ([]string, error) {
	for n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	switch {
	case n.Kind == yaml.ScalarNode && n.Tag == "!!null":
		return nil, nil
	case n.Kind == yaml.ScalarNode:
		return []string{n.Value}, nil
	case n.Kind == yaml.SequenceNode:
		var out []string
		for _, item := range n.Content {
			one, err := scalars(item)
			if err != nil || len(one) != 1 || item.Kind == yaml.SequenceNode {
				return nil, errors.New("an item of the list is not a single value")
			}
			out = append(out, one[0])
		}
		return out, nil
	}
	return nil, errors.New("give a value or a list of values, not a block of keys")
}

func setFromFile(c *cli.Context, path, key string, values []string) error {
	if _, ok := c.Value(key).(cli.StringSlice); !ok && len(values) > 1 {
		return fmt.Errorf("config file %s: %s takes one value, not a list", path, key)
	}
	for _, v := range values {
		if err := c.Set(key, v); err != nil {
			return fmt.Errorf("config file %s: %s: value %q: %w", path, key, v, err)
		}
	}
	return nil
}

func sortedKeys[V any](m map[string]V) []string {
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
func (k *checker) size(c *cli.Context, name string, least int64) int64 {
	n, err := humanize.ParseBytes(c.String(name))
	switch {
	case err != nil || n > 1<<60:
		k.add(fmt.Errorf("--%s %q is not a size: write it like 64MB or 1GB", name, c.String(name)))
		return 0
	case int64(n) < least:
		k.add(fmt.Errorf("--%s %q is too little: give at least %s", name, c.String(name), humanize.Bytes(uint64(least))))
	}
	return int64(n)
}

// duration reads a duration flag. Zero is allowed where it has a meaning.
func (k *checker) duration(c *cli.Context, name string, zero bool) time.Duration {
	d, err := time.ParseDuration(c.String(name))
	switch {
	case err != nil:
		k.add(fmt.Errorf("--%s %q is not a duration: write it like 500ms, 30s or 5m", name, c.String(name)))
	case d < 0 || d == 0 && !zero:
		k.add(fmt.Errorf("--%s %q: give a positive duration such as 1s", name, c.String(name)))
	}
	return d
}

// count reads a flag that is a number of at least 1.
func (k *checker) count(c *cli.Context, name string) int {
	n, err := strconv.Atoi(c.String(name))
	if err != nil || n < 1 {
		k.add(fmt.Errorf("--%s %q is not a number from 1: write it like 10000", name, c.String(name)))
	}
	return n
}

// address checks host:port, or with unix also unix:/path.
func (k *checker) address(name, addr string, unix bool) (ok bool) {
	remedy := "write host:port, like 127.0.0.1:6380"
	if unix {
		remedy += ", or unix:/path"
		if path, ok := strings.CutPrefix(addr, "unix:"); ok && path != "" {
			return true
		}
	}
	_, port, err := net.SplitHostPort(addr)
	if n, perr := strconv.Atoi(port); err != nil || perr != nil || n < 0 || n > 65535 {
		k.add(fmt.Errorf("--%s %q is not an address: %s", name, addr, remedy))
		return false
	}
	return true
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
