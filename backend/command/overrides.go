package command

import "strings"

// derived are the flags of ours that follow from the server's.
func derived(c *Command) Flags {
	var f Flags
	// A write that waits for nobody and names its keys has an effect that can be
	// applied later. What cannot be is taken out below.
	if c.Flags&Write != 0 && c.Flags&(Admin|Blocking) == 0 && (c.specs != nil || c.search != nil) {
		f |= QueueableOffline
	}
	if strings.HasPrefix(c.Name, "client|") {
		f |= ConnState
	}
	if c.Flags&Read != 0 && (c.LastKey < 0 || c.LastKey > c.FirstKey || (c.LastKey == 0 && c.specs != nil)) {
		f |= MultiKeyRead
	}
	return f
}

// override changes the flags of the commands it names; arity, when not 0,
// replaces the server's.
type override struct {
	names      string
	set, clear Flags
	arity      int
	why        string
}

// overrides is this project's judgement about commands, later rows on top of
// earlier ones.
var overrides = []override{
	// Connections.
	{names: "auth hello select reset quit asking readonly readwrite", set: ConnState,
		why: "state of one connection: on a shared one it would be everybody's"},
	{names: "client", set: ConnState,
		why: "what a newer server may add to it is about the client's connection, and that one ends at the proxy"},
	{names: "client|pause client|unpause", clear: ConnState, why: "they are about all clients of the server, not about this connection"},
	{names: "multi exec discard watch unwatch", set: ConnState,
		why: "a transaction belongs to one connection"},
	{names: "subscribe psubscribe ssubscribe unsubscribe punsubscribe sunsubscribe", set: ConnState,
		why: "subscriber mode belongs to one connection, and pushes have no request"},
	{names: "monitor sync psync replconf", set: ConnState | NonDeterministic,
		why: "turns the connection into a feed"},
	{names: "script|debug", set: ConnState,
		why: "the debugger takes over the connection"},
	{names: "wait waitaof", set: Blocking | NonDeterministic | AfterWrites,
		why: "waits for replicas or the disk, though the server does not flag it as blocking"},

	// Reply cache: the field's allow-list (go-redis client-side caching). Left
	// out on purpose: anything that depends on time or chance, SCAN, XREAD and
	// XPENDING (relative ids and idle times), SORT_RO (BY and GET read keys that
	// nothing announces), PFCOUNT, DUMP, OBJECT, MEMORY, vector search.
	{names: "get getbit getrange strlen substr", set: Cacheable, why: "strings"},
	{names: "mget lcs exists", set: Cacheable, why: "one or more keys"},
	{names: "hget hgetall hmget hkeys hvals hlen hexists hstrlen", set: Cacheable, why: "hashes"},
	{names: "lindex llen lpos lrange", set: Cacheable, why: "lists"},
	{names: "scard sismember smembers smismember sdiff sinter sintercard sunion", set: Cacheable, why: "sets"},
	{names: "zcard zcount zlexcount zmscore zrange zrangebylex zrangebyscore zrank zrevrange zrevrangebylex " +
		"zrevrangebyscore zrevrank zscore zdiff zinter zunion", set: Cacheable, why: "sorted sets"},
	{names: "bitcount bitfield_ro bitpos type", set: Cacheable, why: "bits and types"},
	{names: "geodist geohash geopos geosearch georadiusbymember_ro georadius_ro", set: Cacheable, why: "places"},
	{names: "xlen xrange xrevrange", set: Cacheable, why: "streams, by absolute ids"},

	// Doing it twice. A command is here when it sets what it touches to values
	// that do not depend on the data, so that any run of such commands that is
	// repeated from its beginning ends in the same state.
	{names: "set setex psetex mset setbit setrange", set: Repeatable, why: "plain assignment; SET only without conditions"},
	{names: "hset hmset hdel", set: Repeatable, why: "assignment of fields"},
	{names: "sadd srem zrem pfadd", set: Repeatable, why: "membership; only the count in the reply differs"},
	{names: "zadd geoadd", set: Repeatable, why: "assignment of scores; only without options"},
	{names: "del unlink persist", set: Repeatable, why: "absence of a key or of its expiry"},
	{names: "script|load", set: Repeatable, why: "the same script under the same name"},
	// Not here, though each alone may be repeated: EXPIREAT and PEXPIREAT (the
	// first try finds no key, a later HSET makes it, and the repeat gives the new
	// key an expiry it never had), everything that copies from another key
	// (*STORE, COPY, RENAME, BITOP, PFMERGE: the source may have changed since),
	// LSET and XADD (the repeat is an error), and all that answer old values.

	// Journal.
	{names: "eval evalsha", set: Script | QueueableOffline | MayReplicate,
		why: "journaled with the body; writes though the server does not flag it"},
	{names: "evalsha", set: ByDigest, why: "answers NOSCRIPT inside EXEC, where the fence moves all the same"},
	{names: "fcall", set: Script | MayReplicate, why: "the function lives on the server only: not offline"},
	{names: "eval_ro evalsha_ro fcall_ro", set: Script, why: "read-only scripts"},
	{names: "script|load", set: MayReplicate, why: "loaded scripts may be replicated"},
	{names: "publish spublish", set: MayReplicate, why: "reaches subscribers of replicas; those are not reachable offline"},
	{names: "pfcount", set: MayReplicate, why: "may store the count it computed; no value changes"},
	{names: "migrate move restore restore-asking pfdebug", clear: QueueableOffline,
		why: "involves another server or database, or bytes only a real server understands"},
	{names: "xgroup|create xgroup|createconsumer xgroup|delconsumer xgroup|destroy xgroup|setid " +
		"xclaim xautoclaim xack xackdel", clear: QueueableOffline,
		why: "consumer groups are shared work: offline nobody knows what others have taken"},

	// Beyond the named keys.
	{names: "flushall flushdb swapdb", set: Dangerous, clear: QueueableOffline, why: "all keys of a database"},
	{names: "config|set config|rewrite config|resetstat debug shutdown failover replicaof slaveof cluster|reset " +
		"cluster|flushslots cluster|flushslot cluster|failover module|load module|loadex module|unload acl|setuser acl|deluser " +
		"acl|load acl|save save bgsave bgrewriteaof client|pause client|unpause client|kill function|flush function|delete " +
		"function|load function|restore script|flush migrate", set: Dangerous, why: "changes the server for everybody"},
	{names: "role lastsave info time randomkey lolwut dbsize keys scan", set: NonDeterministic,
		why: "answers about the server or all keys, which no invalidation announces"},
	{names: "keys scan dbsize randomkey info", set: ShowsKeyspace,
		why: "Holdfast's own keys are left out of their replies"},
	{names: "srandmember hrandfield zrandmember spop", set: NonDeterministic, why: "chance"},
	{names: "object|encoding object|idletime object|freq object|refcount memory|usage dump", set: NonDeterministic,
		why: "about one server's memory, not about the data"},

	{names: "script|kill function|kill shutdown", set: Aside, why: "they end what keeps a server busy, and must not wait behind it"},

	{names: "publish spublish lpush rpush lpushx rpushx linsert lmove rpoplpush blmove brpoplpush zadd zincrby geoadd xadd xack xgroup|destroy " +
		"rename copy restore sort", set: Wakes, why: "what others subscribe to or block on"},

	{names: "eval evalsha eval_ro evalsha_ro fcall fcall_ro debug", set: OwnWords, why: "error_reply, and DEBUG ERROR"},

	// Newer versions take more arguments than the server the table is from: the
	// least strict arity is kept, and the server has the last word.
	{names: "zrank zrevrank", arity: -3, why: "WITHSCORE since 7.2"},
}

func applyOverrides(t *table) {
	for _, o := range overrides {
		for _, name := range strings.Fields(o.names) {
			c := t.findFull(name)
			if c == nil {
				continue // a test finds misspelt names
			}
			c.Flags = c.Flags&^o.clear | o.set
			if o.arity != 0 {
				c.Arity = o.arity
			}
		}
	}
}
