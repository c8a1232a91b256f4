// Package stream is Redis's stream as a data structure: entries in the order of
// their ids, consumer groups and what is pending in them. It knows neither keys nor
// replies nor the clock.
//
// A Stream is not safe for concurrent use. A Clone shares memory with its origin
// until one of them changes, so that it costs next to nothing.
package stream
