package proxy

import (
	"bytes"
	"slices"
	"strconv"

	"holdfast/backend/resp"
)

// What Redis pushes to clients tells of Holdfast's own keys, too: keyspace events,
// invalidations, the feed of MONITOR. Those frames are left out, or rewritten.

// maxPushHeld bounds how much of a frame waits to be judged; longer ones pass.
const maxPushHeld = 1 << 20

// aboutOwn judges a message, push or line of a feed that begins with b. enough is
// false when more of it is needed. hide: it is not passed on, but instead is, if that
// is not nil.
func (s *Server) aboutOwn(b, word []byte, monitor bool) (hide bool, instead []byte, enough bool) {
	switch {
	case monitor && b[0] == '+':
		line, _, whole := bytes.Cut(b, []byte("\n"))
		return ownFeed(line), nil, whole || len(b) > maxPushHeld
	case string(word) == "invalidate":
		return s.ownInvalidated(b)
	case string(word) == "message", string(word) == "pmessage":
		return s.ownEvent(b)
	}
	return false, nil, true
}

// ownWords are the commands that the proxy adds to those of clients, as it spells them.
var ownWords = [][]byte{
	[]byte(`] "mULTI"`), []byte(`] "eXEC"`), []byte(`] "dISCARD"`), []byte(`] "pTTL"`), []byte(`] "dUMP"`), []byte(`] "pEXPIRETIME"`),
	[]byte(`] "hELLO"`), []byte(`] "sELECT"`), []byte(`] "cLIENT"`), []byte(`] "pING"`), []byte(`] "iNFO"`), []byte(`] "tIME"`),
}

// ownFeed reports whether a line of MONITOR's feed is about a key or command of Holdfast.
func ownFeed(line []byte) bool {
	return bytes.Contains(line, []byte(`"`+ownPrefix)) ||
		slices.ContainsFunc(ownWords, func(word []byte) bool { return bytes.Contains(line[:min(len(line), maxFeedHead)], word) })
}

// maxFeedHead is no less than comes before the end of one of ownWords in a line: the
// time, the database and the address.
const maxFeedHead = 160

// ownInvalidated handles an invalidation: its keys without those of Holdfast.
func (s *Server) ownInvalidated(b []byte) (hide bool, instead []byte, enough bool) {
	n, err := resp.ReplyLen(b)
	switch {
	case err != nil || len(b) > maxPushHeld:
		return false, nil, true
	case n == 0:
		return false, nil, false
	case !bytes.Contains(b[:n], []byte(ownPrefix)):
		return false, nil, true
	}
	head := lastArray(b[:n])
	keys := s.withoutOwn(b[head:n])
	if bytes.HasPrefix(keys, []byte("*0\r")) {
		return true, nil, true
	}
	return true, append(append([]byte(nil), b[:head]...), keys...), true
}

// ownEvent handles a message: a keyspace event about a key of Holdfast is hidden; an
// invalidation sent to a RESP2 client's channel is rewritten.
func (s *Server) ownEvent(b []byte) (hide bool, instead []byte, enough bool) {
	at, channel := channelOf(b)
	if at < 0 || !bytes.HasPrefix(channel, []byte("__")) {
		return false, nil, at >= 0 || len(b) > maxPushHeld
	}
	_, key, isSpace := bytes.Cut(channel, []byte("__:"))
	switch {
	case bytes.HasPrefix(channel, []byte("__keyspace@")) && isSpace:
		return isOwn(key), nil, true
	case bytes.HasPrefix(channel, []byte("__keyevent@")):
		payload, whole := bulkAt(b, at)
		return isOwn(payload), nil, whole || len(payload) >= len(ownPrefix)
	case string(channel) == "__redis__:invalidate":
		return s.ownInvalidated(b)
	}
	return false, nil, true
}

// channelOf finds the channel of a message or pmessage, and where its payload begins;
// -1 when more of it is needed.
func channelOf(b []byte) (at int, channel []byte) {
	at = bytes.IndexByte(b, '\n') + 1
	fields := 1 // before the channel
	if word, _ := bulkAt(b, at); string(word) == "pmessage" {
		fields = 2
	}
	for range fields {
		if at = afterBulk(b, at); at < 0 {
			return -1, nil
		}
	}
	channel, whole := bulkAt(b, at)
	if !whole {
		return -1, nil
	}
	return afterBulk(b, at), channel
}

// bulkAt is what is there of the bulk string at b[i].
func bulkAt(b []byte, i int) (text []byte, whole bool) {
	if i >= len(b) || b[i] != '$' {
		return nil, i < len(b)
	}
	head := bytes.IndexByte(b[i:], '\n')
	if head < 0 {
		return nil, false
	}
	n, err := strconv.Atoi(string(b[i+1 : i+head-1]))
	if err != nil || n < 0 {
		return nil, true
	}
	start := i + head + 1
	return b[start:min(len(b), start+n)], start+n <= len(b)
}

// afterBulk is where the bulk string at b[i] ends; -1 when that is not there yet.
func afterBulk(b []byte, i int) int {
	n, err := resp.ReplyLen(b[min(i, len(b)):])
	if err != nil || n == 0 {
		return -1
	}
	return i + n
}

// lastArray is where the last element of a frame begins, which is an array.
func lastArray(frame []byte) int {
	at := bytes.IndexByte(frame, '\n') + 1
	for at < len(frame) && frame[at] != '*' {
		n, err := resp.ReplyLen(frame[at:])
		if err != nil || n == 0 {
			return len(frame)
		}
		at += n
	}
	return at
}
