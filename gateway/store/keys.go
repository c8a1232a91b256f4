package store

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"
)

// DefaultPrefix is put before every key unless configured otherwise.
const DefaultPrefix = "aiclient:"

// The counters of an account.
const (
	UsageCount   = "usageCount"
	ErrorCount   = "errorCount"
	RefreshCount = "refreshCount"
)

// CounterNames lists the counters that are merged into an account.
var CounterNames = [...]string{UsageCount, ErrorCount, RefreshCount}

// Keys names every key under one prefix. The zero value has no prefix.
type Keys struct{ Prefix string }

// Config is the service configuration (config.json).
func (k Keys) Config() string { return k.Prefix + "config" }

// PoolIndex is the set of provider types that the original application keeps: a
// hint, since people and programs add pools without it.
func (k Keys) PoolIndex() string { return k.Prefix + "pool-types" }

// OldPoolIndex is where earlier versions kept their set of types: among the
// pools, where the original application takes every key for a hash.
func (k Keys) OldPoolIndex() string { return k.PoolPrefix() + "index" }

// Pool is the hash of one provider type's accounts, by uuid. Nothing follows the
// type, so it stands there as it is, for the original application to read.
func (k Keys) Pool(typ string) string { return k.PoolPrefix() + typ }

// oldPool is where earlier versions kept the pool of a type with an odd name.
func (k Keys) oldPool(typ string) string { return k.PoolPrefix() + escapeType(typ) }

// PoolPrefix begins every key of Pool, and nothing else.
func (k Keys) PoolPrefix() string { return k.Prefix + "pools:" }

// PoolType is the provider type of a pool's key; false for any other key.
func (k Keys) PoolType(key string) (typ string, ok bool) {
	return strings.CutPrefix(key, k.PoolPrefix())
}

// Counter is one counter of an account.
func (k Keys) Counter(typ, uuid, name string) string {
	return k.Prefix + "counters:" + escapeType(typ) + ":" + uuid + ":" + name
}

// Token is an account's OAuth credentials.
func (k Keys) Token(typ, uuid string) string { return k.TokenPrefix() + escapeType(typ) + ":" + uuid }

// TokenPrefix begins every token key.
func (k Keys) TokenPrefix() string { return k.Prefix + "tokens:" }

// TokenLock is an account's refresh lease.
func (k Keys) TokenLock(typ, uuid string) string {
	return k.Prefix + "token-lock:" + escapeType(typ) + ":" + uuid
}

// Password is the dashboard password.
func (k Keys) Password() string { return k.Prefix + "pwd" }

// Session is a dashboard session; the key holds a hash, never the token itself.
func (k Keys) Session(token string) string {
	sum := sha256.Sum256([]byte(token))
	return k.SessionPrefix() + hex.EncodeToString(sum[:])
}

// SessionPrefix begins every key of Session, and of the original application's
// sessions.
func (k Keys) SessionPrefix() string { return k.Prefix + "sessions:" }

// UsageCache is the usage snapshot over all types.
func (k Keys) UsageCache() string { return k.Prefix + "usage:cache" }

// Usage is the usage snapshot of one type.
func (k Keys) Usage(typ string) string { return k.Prefix + "usage:" + escapeType(typ) }

// Plugins is the plugin switches.
func (k Keys) Plugins() string { return k.Prefix + "plugins" }

// Meta is the hash that says what was imported.
func (k Keys) Meta() string { return k.Prefix + "meta" }

// File is another file of the configuration directory, by its relative path.
func (k Keys) File(rel string) string { return k.FilePrefix() + rel }

// FilePrefix begins every key of File.
func (k Keys) FilePrefix() string { return k.Prefix + "files:" }

// Layout is how one type's array was written in provider_pools.json.
func (k Keys) Layout(typ string) string { return k.Prefix + "layout:" + escapeType(typ) }

// TypeAndUUID splits what follows TokenPrefix in a token key.
func TypeAndUUID(rest string) (typ, uuid string, ok bool) {
	typ, uuid, ok = strings.Cut(rest, ":")
	return unescapeType(typ), uuid, ok
}

var typeEscaper = strings.NewReplacer("%", "%25", ":", "%3A")

// escapeType keeps keys unambiguous in which something follows the type. All
// usual names stay as they are.
func escapeType(typ string) string {
	if typ == "index" {
		return "%69ndex"
	}
	return typeEscaper.Replace(typ)
}

var typeUnescaper = strings.NewReplacer("%25", "%", "%3A", ":", "%69", "i")

func unescapeType(s string) string { return typeUnescaper.Replace(s) }

// Pattern quotes s for use inside a SCAN pattern.
func Pattern(s string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`, `]`, `\]`).Replace(s)
}
