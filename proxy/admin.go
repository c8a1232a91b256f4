package proxy

import (
	"encoding/json"
	"fmt"
	"net"
	"strings"
	"time"

	"holdfast/backend"
	"holdfast/backend/resp"
	"holdfast/fallback"
	"holdfast/fallback/engine"
)

// Status is what /status and HOLDFAST STATUS show. It holds no secrets.
type Status struct {
	Mode            string        `json:"mode"`
	Connected       bool          `json:"connected"`
	Source          string        `json:"source"` // of what is served: redis, mirror, files or embedded
	Upstream        string        `json:"upstream"`
	LastConnectedAt *time.Time    `json:"lastConnectedAt"`
	LastErrorAt     *time.Time    `json:"lastErrorAt"`
	LastError       string        `json:"lastError"`
	Since           time.Time     `json:"since"`
	Cache           cacheStatus   `json:"cache"`
	Mirror          mirrorStatus  `json:"mirror"`
	Journal         journalStatus `json:"journal"`
	Replay          replayStatus  `json:"replay"`
	Clients         int           `json:"clients"`
	OwnKeys         int           `json:"ownKeys"`      // keys of Holdfast at Redis that were seen, those of other proxies among them
	AuthFailures    uint64        `json:"authFailures"` // logins refused since the start
	Version         string        `json:"version"`
	Troubles        []string      `json:"troubles,omitempty"` // what an operator has to look at
}

type cacheStatus struct {
	Entries       int64  `json:"entries"`
	Bytes         int64  `json:"bytes"`
	Hits          uint64 `json:"hits"`
	Misses        uint64 `json:"misses"`
	Invalidations uint64 `json:"invalidations"`
	Coherent      bool   `json:"coherent"`
}

type mirrorStatus struct {
	Keys        int        `json:"keys"`
	Bytes       int64      `json:"bytes"`
	Complete    bool       `json:"complete"`
	RefreshedAt *time.Time `json:"refreshedAt"`
}

type journalStatus struct {
	QueuedWrites uint64     `json:"queuedWrites"`
	Bytes        int64      `json:"bytes"`
	OldestAt     *time.Time `json:"oldestAt"`
	LastSeq      uint64     `json:"lastSeq"`
	Fence        uint64     `json:"fence"`
	Full         bool       `json:"full"`
	Failed       bool       `json:"failed"`
	Refused      uint64     `json:"refusedWrites"`
	Recovered    int        `json:"recovered"` // how often it went on after it had failed
}

// OldestAge is how long the oldest write has waited for Redis; 0 when none waits.
func (j journalStatus) OldestAge() time.Duration {
	if j.OldestAt == nil {
		return 0
	}
	return max(0, time.Since(*j.OldestAt))
}

type replayStatus struct {
	Replayed       uint64 `json:"replayed"`
	Conflicts      uint64 `json:"conflicts"`
	Overwritten    uint64 `json:"overwritten"` // keys whose other value at Redis gave way to ours
	DeadLetters    int    `json:"deadLetters"`
	LastDurationMs int64  `json:"lastDurationMs"`
}

// Status gathers the state of all parts.
func (s *Server) Status() Status {
	l, cs := s.cfg.Local.Status(), s.cache.Stats()
	st := Status{
		Mode: l.Mode, Since: l.Since, Clients: s.Clients(), OwnKeys: s.own.count(), AuthFailures: s.logins.total.Load(), Version: s.cfg.Version, Troubles: l.Troubles,
		Cache:   cacheStatus{Entries: cs.Entries, Bytes: cs.Bytes, Hits: cs.Hits, Misses: cs.Misses, Invalidations: cs.Invalidations},
		Mirror:  mirrorStatus{Keys: l.Keys, Bytes: l.Bytes, Complete: l.Complete, RefreshedAt: when(l.RefreshedAt)},
		Journal: journalStatus{l.QueuedWrites, l.JournalBytes, when(l.OldestAt), l.LastSeq, l.Fence, l.JournalFull, l.JournalFailed, l.RefusedWrites, l.JournalRecovered},
		Replay:  replayStatus{l.Replayed, l.Conflicts, l.Overwritten, l.DeadLetters, l.LastDurationMs},
	}
	if s.cfg.Upstream == nil {
		st.Source = "embedded"
		return st
	}
	u := s.cfg.Upstream.Status()
	st.Connected = l.Mode == fallback.Online.String() && s.cfg.Upstream.Up()
	st.Upstream = s.cfg.Upstream.SafeURL()
	st.LastConnectedAt, st.LastErrorAt = when(u.LastConnectedAt), when(u.LastErrorAt)
	st.LastError = u.LastError
	switch {
	case st.Connected:
		st.Source = "redis"
	case s.cfg.FromFiles && u.LastConnectedAt.IsZero():
		st.Source = "files"
	default:
		st.Source = "mirror"
	}
	st.Cache.Coherent = st.Connected && u.Info.Coherent
	return st
}

// when gives null instead of the year 1 for what never happened.
func when(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC()
	return &t
}

var holdfastHelp = []string{
	"HOLDFAST <subcommand>. Subcommands are:",
	"STATUS", "    State of the proxy as JSON, as GET /status of the admin address gives it.",
	"CACHE STATS", "    Figures of the reply cache.",
	"CACHE PURGE [prefix]", "    Drop cached replies, of all keys or of those with the prefix.",
	"JOURNAL STATS", "    Figures of the journal of queued writes.",
	"DEADLETTERS [n]", "    The number of writes that Redis refused at replay; list them with 'holdfast journal deadletters'.",
	"HELP", "    This text.",
}

// holdfast answers the proxy's own command.
func (s *Server) holdfast(proto int, argv [][]byte) []byte {
	words := make([]string, 0, 3)
	for _, a := range argv[1:min(len(argv), 4)] {
		words = append(words, strings.ToLower(string(a)))
	}
	switch {
	case len(words) == 1 && words[0] == "status":
		raw, err := json.Marshal(s.Status())
		if err != nil {
			return resp.AppendError(nil, "ERR "+err.Error())
		}
		return resp.AppendBulk(nil, raw)
	case len(words) == 2 && words[0] == "cache" && words[1] == "stats":
		return s.fields(proto, s.Status().Cache)
	case len(words) >= 2 && words[0] == "cache" && words[1] == "purge":
		prefix := []byte(nil)
		if len(argv) > 3 {
			prefix = argv[3]
		}
		return resp.AppendInt(nil, int64(s.cache.Purge(prefix)))
	case len(words) == 2 && words[0] == "journal" && words[1] == "stats":
		return s.fields(proto, s.Status().Journal)
	case len(words) >= 1 && words[0] == "deadletters":
		return resp.AppendInt(nil, int64(s.Status().Replay.DeadLetters))
	case len(words) == 1 && words[0] == "help":
		out := resp.AppendArrayLen(nil, len(holdfastHelp))
		for _, line := range holdfastHelp {
			out = resp.AppendSimple(out, line)
		}
		return out
	}
	return resp.AppendError(nil, fmt.Sprintf("ERR unknown HOLDFAST subcommand or wrong number of arguments: '%s'. Try HOLDFAST HELP.", strings.Join(words, " ")))
}

// fields answers a flat struct as a map of names and texts.
func (s *Server) fields(proto int, v any) []byte {
	raw, err := json.Marshal(v)
	if err != nil {
		return resp.AppendError(nil, "ERR "+err.Error())
	}
	dec := json.NewDecoder(strings.NewReader(string(raw)))
	dec.UseNumber()
	var pairs []string
	_, _ = dec.Token()
	for dec.More() {
		name, _ := dec.Token()
		value, _ := dec.Token()
		text := fmt.Sprint(value)
		if value == nil {
			text = ""
		}
		pairs = append(pairs, fmt.Sprint(name), text)
	}
	out := resp.AppendMapLen(nil, proto, len(pairs)/2)
	for _, p := range pairs {
		out = resp.AppendBulkString(out, p)
	}
	return out
}

// cmdInfo is Redis's own INFO with a section of the proxy's at the end; while
// Redis is away, what clients look for at connect.
func (c *client) cmdInfo(argv [][]byte) {
	c.flush()
	sections := map[string]bool{}
	for _, a := range argv[1:] {
		sections[strings.ToLower(string(a))] = true
	}
	own := len(sections) == 0 || sections["holdfast"] || sections["all"] || sections["everything"] || sections["default"]
	only := len(sections) == 1 && sections["holdfast"]
	text := ""
	if !only {
		upstream, refusal := c.upstreamInfo(argv)
		if refusal != nil {
			c.answer(refusal)
			return
		}
		text = upstream
	}
	if own {
		if text != "" {
			text += "\r\n"
		}
		text += c.s.infoSection()
	}
	c.answer(resp.AppendVerbatim(nil, c.proto, text))
}

// upstreamInfo asks Redis; an error of its own is returned as the reply.
func (c *client) upstreamInfo(argv [][]byte) (text string, refusal []byte) {
	if c.online() {
		c.s.lookForOwn(c.db)
		call := &backend.Call{}
		call.Payload, call.N = resp.AppendCommand(call.Payload, argv...), 1
		if err := c.s.cfg.Upstream.Do(c.proto, c.db, call); err == nil {
			if body, ok := textOf(call.Replies); ok {
				return c.s.writePause.withHeld(c.s.visibleInfo(body)), nil
			}
			return "", call.Replies
		}
	}
	return c.s.standInInfo(argv), nil
}

// textOf is the content of a bulk or verbatim string.
func textOf(reply []byte) (string, bool) {
	v, _, err := resp.Parse(reply)
	if err != nil || reply[0] == '-' || (reply[0] != '$' && reply[0] != '=') {
		return "", false
	}
	return string(v.Str), true
}

// standInInfo is INFO of the local state.
func (s *Server) standInInfo(argv [][]byte) string {
	var sections []string
	for _, a := range argv[1:] {
		sections = append(sections, string(a))
	}
	f := engine.Facts{Version: s.redisVersion(), Clients: s.Clients(), Blocked: int(s.cfg.Local.Blocked() + s.pause.Waiting()), Started: s.started, RunID: s.runID(), Tracked: s.hub.tracked()}
	f.Counted, f.Errors = s.counted.All()
	for _, a := range s.Addrs() {
		if tcp, ok := a.(*net.TCPAddr); ok {
			f.Port = tcp.Port
			break
		}
	}
	return s.cfg.Local.Info(sections, f)
}

// runID stands in for the id of a Redis process: another one after each start.
func (s *Server) runID() string {
	return fmt.Sprintf("%040x", s.started.UnixNano())
}

func (s *Server) infoSection() string {
	st := s.Status()
	yes := func(b bool) int {
		if b {
			return 1
		}
		return 0
	}
	return fmt.Sprintf("# Holdfast\r\nholdfast_version:%s\r\nholdfast_mode:%s\r\nholdfast_connected:%d\r\nholdfast_queued_writes:%d\r\nholdfast_journal_bytes:%d\r\nholdfast_journal_full:%d\r\nholdfast_journal_failed:%d\r\nholdfast_refused_writes:%d\r\nholdfast_dead_letters:%d\r\nholdfast_cache_entries:%d\r\nholdfast_cache_hits:%d\r\nholdfast_cache_misses:%d\r\nholdfast_cache_coherent:%d\r\nholdfast_mirror_keys:%d\r\nholdfast_mirror_complete:%d\r\n",
		st.Version, st.Mode, yes(st.Connected), st.Journal.QueuedWrites, st.Journal.Bytes, yes(st.Journal.Full), yes(st.Journal.Failed), st.Journal.Refused, st.Replay.DeadLetters,
		st.Cache.Entries, st.Cache.Hits, st.Cache.Misses, yes(st.Cache.Coherent), st.Mirror.Keys, yes(st.Mirror.Complete))
}
