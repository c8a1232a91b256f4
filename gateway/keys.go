package gateway

import "strings"

// keys names every Redis key the gateway touches, all under one prefix.
type keys struct{ prefix string }

func (k keys) config() string       { return k.prefix + "config" }
func (k keys) poolIndex() string    { return k.prefix + "pools:index" }
func (k keys) customModels() string { return k.prefix + "files:custom_models.json" }

func (k keys) pool(typ string) string { return k.prefix + "pools:" + typ }

func (k keys) counter(id accountID, name string) string {
	return k.prefix + "counters:" + id.Type + ":" + id.UUID + ":" + name
}

// counted holds the number of the last batch of counts that this process
// delivered.
func (k keys) counted(process string) string { return k.prefix + "counters:delivered:" + process }

// poolPattern is the SCAN pattern of the pools. The prefix is the operator's
// and may hold characters that mean something in a pattern.
func (k keys) poolPattern() string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`, `]`, `\]`).Replace(k.prefix) + "pools:*"
}

// poolType is the provider type of a pool's key; false for any other key.
func (k keys) poolType(key string) (string, bool) {
	typ, ok := strings.CutPrefix(key, k.prefix+"pools:")
	return typ, ok && typ != "" && typ != "index"
}
