// Package store is the key layout of the service's data in Redis, over
// go-redis: which keys exist, what their values look like, and the few atomic
// operations on them. It speaks only plain commands, so it works on a Redis and
// on any proxy in front of one.
//
// Values go in and out as raw bytes. They are never decoded and written again:
// a reader looks into them with Member, and a writer that changes one field
// replaces that field's bytes with SetMember, so that big integers, key order,
// duplicate keys and unknown fields survive.
//
// # Counters
//
// An account's usageCount, errorCount and refreshCount are two numbers: the one
// in its JSON, as it was imported (the base), and the one under counters:…, the
// increments since. Who reads an account wants their sum: Entry.Merged gives
// the JSON with the sums in place. Export writes the sums, and a forced migrate
// that replaces an account deletes its counters in the same atomic unit, so no
// increment is ever counted twice. A base that is not a number counts as 0.
//
// # Layout
//
// provider_pools.json is taken apart into one hash field for each account.
// layout:<type> remembers everything of the file that is not an account's
// bytes: order, white space, array elements that are no accounts, and where
// each account's token file was. See Layout.
package store
