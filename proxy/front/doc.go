// Package front guards the listener that redcon serves. redcon trusts what it
// reads: lengths, quoting and blank lines. The guard validates each byte stream
// by Redis's rules before redcon sees it, so that
//
//   - redcon only ever reads complete, well-formed RESP arrays (inline commands
//     are rewritten), and its read buffer stays at its initial 4 KiB;
//   - a violation is answered with Redis's own text, after the replies to all
//     commands before it;
//   - a command larger than redcon's buffer never passes through that buffer: a
//     small stand-in does, and Batch or Resolve puts the command itself in its place;
//   - so does a pipeline of small commands, which redcon would parse a second time.
//
// A handler must therefore take its commands through Batch (or Resolve).
package front
