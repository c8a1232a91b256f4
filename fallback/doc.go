// Package fallback keeps an application going while its Redis is away.
//
// It owns the local state (an engine that executes Redis commands in process),
// the journal of acknowledged writes, the mirror that keeps the local state
// close to the real Redis while that is there, and the replay that brings the
// acknowledged writes to Redis, each once, when it returns. Without any Redis
// the same parts are an embedded durable store.
//
// DESIGN.md beside this file argues why nothing acknowledged is lost and
// nothing is applied twice.
package fallback
