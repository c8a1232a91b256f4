// Package proxy is the Redis-protocol front end: it takes commands from clients
// and answers each from the reply cache, from the real Redis, or, while that is
// away, from the local state.
//
// The life of a batch of commands:
//
//	redcon hands over what one read brought (front guards its lengths)
//	→ client.serve: look up each command in the command table, check arity and auth
//	→ route: cache hit, forward, local state, connection state, or dedicated session
//	→ what is forwarded goes out as one call on the trunk, bytes untouched
//	→ replies are put in the order of the commands and flushed once
package proxy
