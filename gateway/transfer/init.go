package transfer

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"holdfast/gateway/store"
)

// ErrNotEmpty says that there is something under the prefix already.
var ErrNotEmpty = errors.New("the prefix is not empty; nothing was written; --force starts afresh")

// InitConfig says what a fresh configuration holds. An empty APIKey or Password
// is generated.
type InitConfig struct {
	Client   redis.UniversalClient
	Prefix   string
	APIKey   string
	Password string
	Port     int
	Force    bool // remove everything under the prefix first
	DryRun   bool

	PasswordCost int // of bcrypt; 0 for the usual one
}

// InitResult is what was (in a dry run, would be) written. The secrets that were
// generated are here and nowhere else in clear.
type InitResult struct {
	DryRun            bool     `json:"dryRun"`
	APIKey            string   `json:"apiKey,omitempty"`
	Password          string   `json:"password,omitempty"`
	APIKeyGenerated   bool     `json:"apiKeyGenerated"`
	PasswordGenerated bool     `json:"passwordGenerated"`
	Port              int      `json:"port"`
	Removed           int      `json:"removed"`
	Existing          []string `json:"existing,omitempty"` // some of the keys found
	Keys              []string `json:"keys"`
}

// Init writes a fresh configuration. It refuses where the prefix holds a key,
// unless forced; then all of the prefix is replaced in one atomic unit.
func Init(ctx context.Context, cfg InitConfig) (*InitResult, error) {
	st := store.New(cfg.Client, cfg.Prefix)
	if cfg.Force && cfg.Prefix == "" {
		return nil, errors.New("init with --force and an empty key prefix would remove every key of the database; give --key-prefix")
	}
	k := st.Keys
	res := &InitResult{DryRun: cfg.DryRun, Port: cfg.Port,
		Keys: []string{k.Config(), k.Plugins(), k.Password(), k.Meta()}}
	var old []any
	found := map[string]bool{}
	err := st.Scan(ctx, cfg.Prefix, func(keys []string) error {
		for _, key := range keys {
			if !found[key] {
				found[key], old = true, append(old, key)
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	for _, key := range old[:min(len(old), 10)] {
		res.Existing = append(res.Existing, hideSession(key.(string)))
	}
	if len(old) > 0 && !cfg.Force {
		return res, fmt.Errorf("init %q: %d keys exist: %w", cfg.Prefix, len(old), ErrNotEmpty)
	}
	res.Removed = len(old)
	res.secrets(cfg)
	if cfg.DryRun {
		res.APIKey, res.Password = "", ""
		return res, nil
	}
	return res, writeInit(ctx, st, res, old, cfg.PasswordCost)
}

// hideSession shortens a session's key: its hash is nobody's business.
func hideSession(key string) string {
	head, _, ok := strings.Cut(key, "sessions:")
	if ok {
		return head + "sessions:…"
	}
	return key
}

func (r *InitResult) secrets(cfg InitConfig) {
	r.APIKey, r.Password = cfg.APIKey, cfg.Password
	if r.APIKey == "" {
		random := make([]byte, 24)
		_, _ = rand.Read(random) // documented never to fail
		r.APIKey, r.APIKeyGenerated = "sk-"+hex.EncodeToString(random), true
	}
	if r.Password == "" {
		r.Password, r.PasswordGenerated = rand.Text(), true
	}
}

func writeInit(ctx context.Context, st *store.Store, r *InitResult, old []any, cost int) error {
	hash, err := store.HashPassword(r.Password, cost)
	if err != nil {
		return err
	}
	config := []byte("{\n  \"REQUIRED_API_KEY\": " + string(quote(r.APIKey)) +
		",\n  \"SERVER_PORT\": " + strconv.Itoa(r.Port) +
		",\n  \"HOST\": \"0.0.0.0\"\n}\n") // without MODEL_PROVIDER every type is served
	u, err := newUnit(st.Client())
	if err != nil {
		return err
	}
	defer u.close()
	for from := 0; from < len(old); from += 500 {
		if err := u.do(ctx, append([]any{"DEL"}, old[from:min(from+500, len(old))]...)...); err != nil {
			return err
		}
	}
	for _, c := range [][]any{
		{"SET", st.Keys.Config(), config},
		{"SET", st.Keys.Plugins(), `{"plugins":{}}`},
		{"SET", st.Keys.Password(), hash},
		{"HSET", st.Keys.Meta(), "version", "1", "initializedAt", time.Now().UTC().Format(time.RFC3339), "initializedFrom", "cli-init"},
	} {
		if err := u.do(ctx, c...); err != nil {
			return err
		}
	}
	return u.commit(ctx)
}
