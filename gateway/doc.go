// Package gateway is the AI API gateway: one address for clients, many provider
// accounts behind it, its whole state in Redis. It speaks plain Redis commands,
// to the Holdfast proxy or to any Redis.
//
// Life of a request:
//
//	client ─▶ server.go   request id, body cap, client key (auth.go)
//	          generate.go which operation of which protocol
//	          named.go    operations whose bytes pass: embeddings, images, audio
//	          route.go    which provider type, which model
//	          owners.go   which pools name a model, aliases
//	          prompt.go   system prompts of the configuration
//	          fallback.go which pools take its place
//	          roster.go   which account of that pool
//	          forward.go  attempts, one account after another, until a first byte
//	          tokens.go   the access token of an account that has no key
//	          openai.go   the wire formats: request upstream, errors, end of stream
//	          responses.go, claude.go, gemini.go, passthrough.go: the same
//	          converted.go, gateway/convert: where client and provider differ
//	          disguised.go errors that call themselves success
//	          stream.go   events as they come, one error if it breaks
//	          client.go   signs of life while there is nothing to send
//	          counters.go what is counted, delivered to Redis exactly once
//
// State goes the other way: load.go (Redis) or files.go (a configuration
// directory, when Redis is away at start) builds an immutable snapshot
// (snapshot.go); link.go polls for changes and publishes the next one. A
// request works on the snapshot it started with. While Redis is away the last
// snapshot serves, and counts wait.
//
// Access tokens are renewed in refresh.go (who may, agreed on in Redis), grant.go
// (the token endpoint) and unsaved.go (what Redis does not have yet). health.go
// asks accounts a question from time to time; provider_health.go shows them,
// and so does the page of dashboard.go, behind a password (login.go).
//
// What a client protocol looks like is a dialect and what a provider type
// speaks is an adapter (protocol.go): a new protocol is a new file.
package gateway
