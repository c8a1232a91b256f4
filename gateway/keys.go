package gateway

import "holdfast/gateway/store"

// keys names every Redis key the gateway touches, as migrate writes them.
type keys struct{ store.Keys }

func (k keys) customModels() string { return k.File("custom_models.json") }

// responses is what stands before the id of a response that is kept.
func (k keys) responses() string { return k.Prefix + "responses:" }

// thoughts is what stands before what a model thought.
func (k keys) thoughts() string { return k.Prefix + "thoughts:" }

func (k keys) counter(id accountID, name string) string { return k.Counter(id.Type, id.UUID, name) }

// counted holds the number of the last batch of counts that this process
// delivered.
func (k keys) counted(process string) string { return k.Prefix + "counters:delivered:" + process }
