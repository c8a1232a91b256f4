// Package command says what each Redis command is: its arity, where its keys
// are, and the flags that routing, caching and journaling decide by. The table
// is generated from a real server (table_gen.go, by scripts/gen-commands),
// extended by names newer than that server (newer.go) and by this project's own
// judgement (overrides.go). It is built once and never changes afterwards, so
// everything here may be used from any goroutine.
package command

// Flags are the facts about a command that policy decides by.
type Flags uint32

// The first block follows the server's own flags; the second is judged here,
// in overrides.go.
const (
	Write            Flags = 1 << iota // may change the data
	Read                               // reads the data and never changes it
	Admin                              // administers the server
	Blocking                           // may wait on the server; see Blocks for one call
	PubSub                             // publish and subscribe
	NoScript                           // not allowed in scripts
	NoMulti                            // not allowed between MULTI and EXEC
	NoAuth                             // allowed before AUTH
	DenyOOM                            // refused by a server that is out of memory
	Fast                               // constant or logarithmic time
	NonDeterministic                   // the same call on the same data may answer differently

	ConnState        // reads or changes the state of its connection: the proxy handles it, it never goes on a shared connection as is
	Cacheable        // a pure function of its keys, each announced by an invalidation; with MultiKeyRead only when the call has one key
	MultiKeyRead     // a read that may take more than one key
	Repeatable       // some or all calls of it may be done twice; ask Idempotent about one call
	QueueableOffline // a write that may be journaled and applied when Redis is back
	Script           // runs a script or a function: may read and write its declared keys
	Dangerous        // reaches beyond the keys it names: all data, the server, its replication
	MayReplicate     // not a write by its flags, yet may be sent to replicas
	ByDigest         // names a script by its SHA-1: fails where Redis has forgotten that
	AfterWrites      // waits for the replicas or the disk to have the writes of its connection
	Aside            // taken by a server that is busy with a script: it goes on a connection of its own, at once
	Wakes            // what it does, others may be waiting for: a message, or an element of a list, sorted set or stream
	OwnWords         // its errors may have any text, that of a refusal included
	Tells            // its reply may tell of keys that it does not change: reads, scripts, writes from other keys
	ShowsKeyspace    // its reply says which keys there are, or how many, without naming them in the call
)

// Command is one command or subcommand.
type Command struct {
	Name  string // lower case; subcommands are "client|id"
	Arity int    // number of arguments with the name; negative: at least that many
	Flags Flags

	// FirstKey, LastKey and KeyStep are as COMMAND INFO gives them: positions in
	// argv, LastKey counted from the end when negative, all 0 without a fixed
	// place. Use Keys to find keys: it knows the movable ones too.
	FirstKey, LastKey, KeyStep int

	specs    []keySpec
	search   searchFunc // instead of specs
	subs     []Command
	subTable *table
}

// Has reports whether all of flags are set.
func (c *Command) Has(flags Flags) bool { return c.Flags&flags == flags }

// ArityOK reports whether a call of n arguments, the name included, is allowed.
func (c *Command) ArityOK(n int) bool {
	if c.Arity >= 0 {
		return n == c.Arity
	}
	return n >= -c.Arity
}

// IsContainer reports whether c only groups subcommands, as CLIENT does.
func (c *Command) IsContainer() bool { return c.subTable != nil }

// Lookup finds the command that argv calls, in any case of letters, without
// allocating. A container with a subcommand that does not exist gives the
// container and false; an unknown command gives nil and false.
func Lookup(argv [][]byte) (*Command, bool) {
	if len(argv) == 0 {
		return nil, false
	}
	c := commands.find(argv[0])
	if c == nil {
		return nil, false
	}
	if c.subTable == nil || len(argv) == 1 {
		return c, true
	}
	if sub := c.subTable.find(argv[1]); sub != nil {
		return sub, true
	}
	return c, false
}

// ByName finds a command by its full name in any case of letters, such as "get"
// or "client|id"; nil when there is none.
func ByName(name string) *Command { return commands.findFull(name) }

// All lists every command and subcommand, by name.
func All() []*Command { return append([]*Command(nil), allCommands...) }
