package gateway

import (
	"math"
	"net/http"
	"time"
)

// redisStatus is the answer of /api/redis/status. The fields that older tools
// read (storageType, stats, timestamps, health, degradedMode) stay.
type redisStatus struct {
	Enabled         bool     `json:"enabled"`
	Connected       bool     `json:"connected"`
	Mode            string   `json:"mode"`
	Storage         string   `json:"storage"`
	StorageType     string   `json:"storageType"`
	URL             string   `json:"url"`
	KeyPrefix       string   `json:"keyPrefix"`
	LastConnectedAt *string  `json:"lastConnectedAt"`
	QueuedWrites    int64    `json:"queuedWrites"`
	LatencyMs       *float64 `json:"latencyMs"`
	LastError       *string  `json:"lastError"`

	Stats struct {
		ReconnectCount int64 `json:"reconnectCount"`
		TotalCommands  int64 `json:"totalCommands"`
		FailedCommands int64 `json:"failedCommands"`
		QueuedWrites   int64 `json:"queuedWrites"`
		QueuedCounts   int64 `json:"queuedCounts"`
		UnsavedTokens  int64 `json:"unsavedTokens"`
	} `json:"stats"`
	Timestamps struct {
		InitialConnectionAt *string `json:"initialConnectionAt"`
		LastConnectedAt     *string `json:"lastConnectedAt"`
		LastErrorAt         *string `json:"lastErrorAt"`
		StateLoadedAt       *string `json:"stateLoadedAt"`
	} `json:"timestamps"`
	Health struct {
		Status    string   `json:"status"`
		LatencyMs *float64 `json:"latencyMs"`
		CheckedAt *string  `json:"checkedAt"`
	} `json:"health"`
	DegradedMode     bool          `json:"degradedMode"`
	DegradedModeInfo *degradedInfo `json:"degradedModeInfo,omitempty"`
}

// degradedInfo tells since when Redis is missing, in milliseconds.
type degradedInfo struct {
	Degraded     bool  `json:"degraded"`
	Since        int64 `json:"since"`
	Duration     int64 `json:"duration"`
	QueuedWrites int64 `json:"queuedWrites"`
}

// storageOf is where the state in use comes from: the store behind our
// connection, or what it was loaded from when there is none.
func storageOf(h linkHealth, s *snapshot) string {
	switch {
	case s.source == sourceFile:
		return sourceFile
	case h.storage != "":
		return h.storage
	}
	return s.source
}

func (g *Gateway) redisStatus(h linkHealth) redisStatus {
	s := g.link.snapshot()
	counts, unsaved := g.counters.pending(), g.tokens.unsavedTokens()
	out := redisStatus{
		Enabled: true, Connected: h.connected, Mode: h.mode,
		Storage: storageOf(h, s), URL: redisURL(h, g.cfg), KeyPrefix: g.cfg.KeyPrefix,
		LastConnectedAt: stamp(h.lastAt), QueuedWrites: h.queued + counts + unsaved,
		DegradedMode: !h.connected,
	}
	out.StorageType = out.Storage
	out.Stats.ReconnectCount, out.Stats.TotalCommands, out.Stats.FailedCommands = h.reconnects, h.commands, h.failures
	out.Stats.QueuedWrites, out.Stats.QueuedCounts, out.Stats.UnsavedTokens = out.QueuedWrites, counts, unsaved
	out.Timestamps.InitialConnectionAt, out.Timestamps.LastConnectedAt = stamp(h.firstAt), stamp(h.lastAt)
	out.Timestamps.LastErrorAt, out.Timestamps.StateLoadedAt = stamp(h.lastErrorAt), stamp(s.loadedAt)
	out.Health.CheckedAt = stamp(h.checkedAt)
	if h.answered {
		ms := math.Round(float64(h.latency.Microseconds())/10) / 100
		out.LatencyMs, out.Health.LatencyMs = &ms, &ms
	}
	if h.lastError != "" {
		out.LastError = &h.lastError
	}
	out.Health.Status = "healthy"
	if !h.connected {
		out.Health.Status = "disconnected"
		out.DegradedModeInfo = &degradedInfo{
			Degraded: true, Since: h.lostAt.UnixMilli(), Duration: time.Since(h.lostAt).Milliseconds(), QueuedWrites: out.QueuedWrites,
		}
	}
	return out
}

// redisURL names the Redis behind everything, without secrets.
func redisURL(h linkHealth, cfg Config) string {
	switch {
	case h.url != "":
		return h.url
	case h.storage == "embedded":
		return "embedded"
	}
	return safeURL(cfg.RedisURL)
}

func (g *Gateway) serveRedisStatus(w http.ResponseWriter, r *request) *apiError {
	writeJSON(w, http.StatusOK, g.redisStatus(g.link.probe(r.Context(), probeAge)))
	return nil
}

func (g *Gateway) serveStorageStatus(w http.ResponseWriter, r *request) *apiError {
	h := g.link.probe(r.Context(), probeAge)
	type redisPart struct {
		Enabled   bool `json:"enabled"`
		Connected bool `json:"connected"`
	}
	writeJSON(w, http.StatusOK, struct {
		Initialized  bool      `json:"initialized"`
		Type         string    `json:"type"`
		Redis        redisPart `json:"redis"`
		DegradedMode bool      `json:"degradedMode"`
	}{r.state.source != sourceNone, storageOf(h, r.state), redisPart{true, h.connected}, !h.connected})
	return nil
}

func (g *Gateway) serveHealth(w http.ResponseWriter, r *request) *apiError {
	writeJSON(w, http.StatusOK, map[string]any{
		"status": "healthy", "timestamp": stamp(time.Now()), "provider": r.state.defaults[0],
	})
	return nil
}

func (g *Gateway) serveHealthz(w http.ResponseWriter, _ *request) *apiError {
	writeJSON(w, http.StatusOK, map[string]string{"status": "ok"})
	return nil
}

// serveReadyz is 200 while new requests are welcome and there is a state to
// answer them from. Redis being away does not make the gateway unready.
func (g *Gateway) serveReadyz(w http.ResponseWriter, r *request) *apiError {
	status, text, remedy := http.StatusOK, "ready", ""
	switch {
	case g.draining.Load():
		status, text = http.StatusServiceUnavailable, "shutting_down"
	case r.state.source == sourceNone:
		status, text = http.StatusServiceUnavailable, "no_state_loaded"
		remedy = "Redis does not answer and there are no files: start Redis, or name a directory with --config-dir"
	case !r.state.settings.keySet: // every request would get 401
		status, text = http.StatusServiceUnavailable, "no_client_key"
		remedy = "there is no REQUIRED_API_KEY: 'holdfast init' or 'holdfast migrate' brings a configuration, HOLDFAST_API_KEY gives a key"
	}
	source := r.state.source
	if source == sourceRedis && g.link.lastHealth().storage == sourceFile {
		source = sourceFile // the proxy itself has it from files
	}
	answer := map[string]string{"status": text, "source": source, "version": g.cfg.Version}
	if remedy != "" {
		answer["remedy"] = remedy
	}
	writeJSON(w, status, answer)
	return nil
}
