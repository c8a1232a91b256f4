// Package transfer moves a configuration directory into Redis and back: migrate,
// export and init. What goes where, why nothing is lost and what a crash leaves
// is in DESIGN.md.
package transfer
