package fallback

import "errors"

// Sentinels of the package; match them with errors.Is.
var (
	// ErrOnline says that the command belongs to the real Redis again: the local
	// state stopped serving between the caller's look and its call.
	ErrOnline = errors.New("local state is not serving: redis is online")

	// ErrWatchLost says that Redis took over since keys were watched here.
	ErrWatchLost = errors.New("watched keys cannot be judged: redis was back in between")
	// ErrClosed says that the store was closed.
	ErrClosed = errors.New("store is closed")
	// ErrServedRedis says that a directory was to be opened as an embedded store, and
	// is the copy of a Redis.
	ErrServedRedis = errors.New("holds the copy of a Redis and the writes queued for it")
)

// BusyError says that a script has had the state of an embedded store for long. Its
// text is Redis's error reply.
type BusyError struct{ text string }

func (e BusyError) Error() string { return e.text }

// Error replies that clients see. They must never contain ECONNREFUSED or
// ENOTCONN: some clients queue writes themselves when they read those words.
const (
	replyUnknownKey     = "UPSTREAMDOWN Redis is unavailable and this key is not held locally"
	replyUnknownRange   = "UPSTREAMDOWN Redis is unavailable and this command would need keys that are not held locally"
	replyNotOffline     = "UPSTREAMDOWN Redis is unavailable and this command cannot be answered without it"
	replyNoLock         = "UPSTREAMDOWN Redis is unavailable and only Redis can say who is the first to set this key: no lock is granted"
	replyNoExpiry       = "UPSTREAMDOWN Redis is unavailable and this key was not created with its expiry: it is not created without one"
	replyNoGroups       = "UPSTREAMDOWN Redis is unavailable and the consumer groups of streams are not held locally"
	replyReadOnly       = "UPSTREAMDOWN Redis is unavailable and the offline policy is readonly: write refused, not queued"
	replyRefuse         = "UPSTREAMDOWN Redis is unavailable and the offline policy is refuse"
	replyStrict         = "UPSTREAMDOWN Redis is unavailable and the offline policy is strict: the answer to this write depends on state that only Redis has"
	replyStale          = "STALE Redis is unavailable for longer than max-stale: local data is too old to be served"
	replyJournalFull    = "JOURNALFULL the journal of queued writes is full: write refused, not queued; raise --journal-bytes or bring Redis back"
	replyJournalFailed  = "JOURNALFAILED the journal cannot be written: write refused; see the log and 'holdfast status'"
	replyUnitTooLarge   = "ERR this write is larger than the journal accepts"
	replyUnknownOutcome = "UPSTREAMDOWN Redis went away while this write was under way: it may or may not have been applied"
)
