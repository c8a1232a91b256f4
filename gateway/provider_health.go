package gateway

import (
	"fmt"
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// healthItem is one account in the answer of /provider_health.
type healthItem struct {
	Provider      string  `json:"provider"`
	UUID          string  `json:"uuid"` // masked
	CustomName    string  `json:"customName"`
	IsHealthy     bool    `json:"isHealthy"`
	Reason        string  `json:"reason,omitempty"`
	ErrorsInARow  int     `json:"errorsInARow"`
	RecoversAt    *string `json:"recoversAt"`
	LastSuccessAt *string `json:"lastSuccessAt"`
	LastCheckAt   *string `json:"lastCheckAt"`
}

// providerHealth is that answer. Monitors know its names, spelling included.
type providerHealth struct {
	Timestamp      *string      `json:"timestamp"`
	Items          []healthItem `json:"items"`
	Count          int          `json:"count"`
	UnhealthyCount int          `json:"unhealthyCount"`
	UnhealthyRatio float64      `json:"unhealthyRatio"`
	SummaryMessage string       `json:"unhealthySummeryMessage"`
	SummaryHealth  bool         `json:"summaryHealth"`
}

// defaultUnhealthyRatio is what is still called healthy: practically none.
const defaultUnhealthyRatio = 0.0001

// report is the state of the accounts that are not disabled.
func (r *roster) report(s *snapshot, want func(*account) bool, now time.Time) []healthItem {
	r.mu.Lock()
	defer r.mu.Unlock()
	items := []healthItem{}
	for _, typ := range s.types {
		for _, a := range s.pools[typ].accounts {
			if a.disabled || !want(a) {
				continue
			}
			m := r.mark(a.id)
			d := r.diagnose(a, m, now)
			if s.pools[typ].info.adapter == nil && a.valid && d.ailment != unhealthy {
				d = diagnosis{} // kept for others: there is nothing more to know of it
			}
			items = append(items, healthItem{
				Provider: typ, UUID: mask(a.id.UUID), CustomName: a.name, IsHealthy: d.ailment == fit, Reason: d.text,
				ErrorsInARow: m.errors, RecoversAt: stamp(d.until), LastSuccessAt: stamp(m.goodAt), LastCheckAt: stamp(m.checkedAt),
			})
		}
	}
	return items
}

// mask leaves enough of an id to tell accounts apart.
func mask(id string) string {
	if len(id) <= 8 {
		return "****"
	}
	return id[:4] + "****" + id[len(id)-4:]
}

func (g *Gateway) serveProviderHealth(w http.ResponseWriter, r *request) *apiError {
	q := r.URL.Query()
	threshold := defaultUnhealthyRatio
	if text := q.Get("unhealthRatioThreshold"); text != "" {
		v, err := strconv.ParseFloat(text, 64)
		if err != nil || !(v >= 0 && v <= 1) {
			return invalidRequest("invalid_threshold", "unhealthRatioThreshold is not a number from 0 to 1")
		}
		threshold = v
	}
	provider, name := q.Get("provider"), q.Get("customName")
	now := time.Now()
	out := providerHealth{Timestamp: stamp(now)}
	out.Items = g.roster.report(r.state, func(a *account) bool {
		return (provider == "" || strings.EqualFold(provider, a.id.Type)) && (name == "" || name == a.name)
	}, now)
	out.Count = len(out.Items)
	var message strings.Builder
	for _, it := range out.Items {
		if it.IsHealthy {
			continue
		}
		out.UnhealthyCount++
		if out.UnhealthyCount <= 20 {
			fmt.Fprintf(&message, "%s %s: %s; ", it.Provider, it.UUID, it.Reason)
		}
	}
	ratio := 0.0
	if out.Count > 0 {
		ratio = float64(out.UnhealthyCount) / float64(out.Count)
	}
	out.SummaryHealth = ratio <= threshold
	out.UnhealthyRatio = math.Round(ratio*100) / 100
	if out.UnhealthyCount > 0 {
		out.SummaryMessage = fmt.Sprintf("%d of %d accounts are unhealthy: %s", out.UnhealthyCount, out.Count, strings.TrimSuffix(message.String(), "; "))
	}
	writeJSON(w, http.StatusOK, out)
	return nil
}
