package gateway

import (
	"context"
	"encoding/json"
	"time"

	"holdfast/gateway/conversation"
	"holdfast/gateway/convert"
)

// What a model thought before it called a tool is kept until the client comes with the
// result, where the client's protocol has no place for it (convert/seals.go).
const (
	thoughtLifetime = 24 * time.Hour
	maxKeptThought  = 1 << 20
	maxKeptThoughts = 32 << 20
)

// thoughts keeps them, each with the account that it is of. Safe for concurrent use.
type thoughts struct{ shelf *conversation.Shelf }

// thought is one as it is kept.
type thought struct {
	Type string          `json:"type"`
	UUID string          `json:"uuid"`
	Seal json.RawMessage `json:"seal"`
}

// keep keeps what an account's model thought. What cannot be kept is left out: the
// model goes on without it.
func (t *thoughts) keep(ctx context.Context, account accountID, seals map[string][]byte) {
	for key, seal := range seals {
		value, err := json.Marshal(thought{account.Type, account.UUID, seal})
		if err == nil {
			_ = t.shelf.Put(ctx, key, value) // which logs
		}
	}
}

// of returns what one account gave of what is kept under keys, the newest first: that
// which gave the newest.
func (t *thoughts) of(ctx context.Context, typ string, keys []string) (accountID, map[string][]byte) {
	values, err := t.shelf.Get(ctx, keys...)
	if err != nil {
		return accountID{}, nil
	}
	var whose accountID
	seals := map[string][]byte{}
	for _, key := range keys {
		var th thought
		if json.Unmarshal(values[key], &th) != nil || th.Type != typ {
			continue
		}
		id := accountID{th.Type, th.UUID}
		if len(seals) == 0 {
			whose = id
		}
		if id == whose {
			seals[key] = th.Seal
		}
	}
	return whose, seals
}

// recalled is a request with what its model thought, for the account that gave that.
type recalled struct {
	account accountID
	body    []byte // nil: there is nothing
}

// bodyFor is the body that an account gets.
func (c *call) bodyFor(id accountID) []byte {
	if c.recalled.body != nil && c.recalled.account == id {
		return c.recalled.body
	}
	return c.body
}

// recall looks for what the model thought before the calls of this request, and makes
// the request with it for the account that it is of, which is asked first.
func (g *Gateway) recall(ctx context.Context, c *call, asked []byte) {
	c.recalled = recalled{}
	if c.op != opGenerate || len(c.conversion.Recalls) == 0 {
		return
	}
	account, seals := g.thoughts.of(ctx, c.pool.typ, c.conversion.Recalls)
	if len(seals) == 0 {
		return
	}
	_, body, err := convert.Convert(convert.Options{
		Client: formats[c.dialect.wire()], Provider: formats[c.pool.info.adapter.wire()], Body: asked, Model: c.model, Stream: c.stream,
		Shared: true, Seals: seals,
	})
	if err != nil { // it was converted without
		return
	}
	c.recalled = recalled{account, body}
	p := *c.pool // a snapshot's is shared
	p.preferred = account
	c.pool = &p
}
