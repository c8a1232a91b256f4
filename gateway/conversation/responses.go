package conversation

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
)

// ErrNotFound is a response that is not kept: it never was, its time is over, or it
// was deleted.
var ErrNotFound = errors.New("response is not kept")

// ErrTooLong is a conversation over the bounds of what is put together again.
var ErrTooLong = errors.New("conversation is too long to be kept: send it as input")

const (
	// maxChain bounds the responses of one conversation, maxHistory the bytes of its
	// items: a request is not larger anyway.
	maxChain   = 1000
	maxHistory = 32 << 20
)

// Response is one that a client may go on from.
type Response struct {
	// Body is the response as the client got it, Input the items that it was asked
	// with, without those of former responses, whose ids are in Chain, oldest first.
	Body  json.RawMessage   `json:"response"`
	Input []json.RawMessage `json:"input"`
	Chain []string          `json:"chain,omitempty"`
}

// Responses keeps responses of the Responses API. Safe for concurrent use.
type Responses struct{ shelf *Shelf }

// NewResponses keeps them on a shelf of their own.
func NewResponses(shelf *Shelf) *Responses { return &Responses{shelf} }

// Save keeps a response; the error is ErrTooLarge, or that of Redis.
func (r *Responses) Save(ctx context.Context, id string, resp Response) error {
	value, err := json.Marshal(resp)
	if err != nil {
		return fmt.Errorf("keep response: %w", err)
	}
	return r.shelf.Put(ctx, id, value)
}

// Load returns a response, or ErrNotFound, or an error of Redis.
func (r *Responses) Load(ctx context.Context, id string) (Response, error) {
	found, err := r.load(ctx, id)
	return found[id], err
}

// load returns all of some responses.
func (r *Responses) load(ctx context.Context, ids ...string) (map[string]Response, error) {
	values, err := r.shelf.Get(ctx, ids...)
	if err != nil {
		return nil, fmt.Errorf("read kept responses: %w", err)
	}
	out := map[string]Response{}
	for _, id := range ids {
		var resp Response
		value, ok := values[id]
		if !ok || json.Unmarshal(value, &resp) != nil {
			return nil, ErrNotFound
		}
		out[id] = resp
	}
	return out, nil
}

// Delete forgets a response and reports whether it was kept. Conversations that went
// on from it cannot be gone on with.
func (r *Responses) Delete(ctx context.Context, id string) (bool, error) {
	return r.shelf.Delete(ctx, id)
}

// History is everything said up to and with a response, as items of an input, and the
// ids of the responses that it is of, the last one included. They live on for a
// Lifetime. Errors are ErrNotFound, ErrTooLong, or those of Redis.
func (r *Responses) History(ctx context.Context, id string) (items []json.RawMessage, chain []string, err error) {
	last, err := r.Load(ctx, id)
	if err != nil {
		return nil, nil, err
	}
	chain = append(last.Chain, id)
	if len(chain) > maxChain {
		return nil, nil, ErrTooLong
	}
	all := map[string]Response{id: last}
	if len(last.Chain) > 0 {
		if all, err = r.load(ctx, last.Chain...); err != nil {
			return nil, nil, err
		}
		all[id] = last
	}
	size := 0
	for _, link := range chain {
		var answered struct {
			Output []json.RawMessage `json:"output"`
		}
		_ = json.Unmarshal(all[link].Body, &answered) // an object with items: this process's kind wrote it
		for _, item := range append(all[link].Input, answered.Output...) {
			items, size = append(items, item), size+len(item)
		}
		if size > maxHistory {
			return nil, nil, ErrTooLong
		}
	}
	_ = r.shelf.Touch(ctx, chain...) // they live for a while without it
	return items, chain, nil
}
