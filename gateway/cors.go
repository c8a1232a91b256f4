package gateway

import (
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"github.com/tidwall/match"
)

// corsMethods and corsHeaders are what a preflight is allowed that asks for nothing.
const (
	corsMethods = "GET, POST, PUT, PATCH, DELETE, HEAD, OPTIONS"
	corsHeaders = "Content-Type, Authorization, X-Api-Key, X-Goog-Api-Key, Anthropic-Version, Anthropic-Beta, Anthropic-Dangerous-Direct-Browser-Access, Model-Provider, X-Requested-With, X-Request-Id, Accept"
	// maxAsked bounds what is repeated of a preflight.
	maxAsked = 8 << 10
)

// httpToken is the name of a header or a method.
var httpToken = regexp.MustCompile("^[A-Za-z0-9!#$%&'*+.^_`|~-]+$")

// checkOrigins checks a list of origins for a configuration.
func checkOrigins(origins []string) error {
	for _, o := range origins {
		u, err := url.Parse(strings.ReplaceAll(o, "*", "x"))
		if o == "*" || o == "null" || err == nil && u.Scheme != "" && u.Host != "" && strings.TrimSuffix(u.Path, "/") == "" && u.RawQuery == "" {
			continue
		}
		return fmt.Errorf("CORS origin %.80q is none: give * for all, or one like https://app.example or https://*.example", o)
	}
	return nil
}

// allowsOrigin reports whether pages of an origin may read what the API answers.
func (g *Gateway) allowsOrigin(origin string) bool {
	return slices.ContainsFunc(g.cfg.CORSOrigins, func(o string) bool {
		return match.Match(strings.ToLower(origin), strings.ToLower(strings.TrimSuffix(o, "/")))
	})
}

// setCORS lets the pages of the configured origins read an answer of the API. No
// cookie and no other thing that a browser adds by itself counts there, so a page
// needs the client key like everybody else, wherever its name leads.
func (g *Gateway) setCORS(h http.Header, r *http.Request) bool {
	origin := r.Header.Get("Origin")
	if slices.Contains(g.cfg.CORSOrigins, "*") {
		h.Set("Access-Control-Allow-Origin", "*")
	} else {
		h.Add("Vary", "Origin")
		if origin == "" || !g.allowsOrigin(origin) {
			return false
		}
		h.Set("Access-Control-Allow-Origin", origin)
	}
	h.Set("Access-Control-Expose-Headers", "X-Request-Id, X-Upstream-Request-Id, Retry-After, *")
	return true
}

// preflight answers what a browser asks before a request of another origin's page:
// the method and the headers that it names are allowed. What needs no key is for
// pages of its own origin, and gets no word of that.
func (g *Gateway) preflight(w http.ResponseWriter, r *request, ep endpoint) {
	h := w.Header()
	if (ep.api || ep.handler == nil) && g.setCORS(h, r.Request) {
		h.Add("Vary", "Access-Control-Request-Method, Access-Control-Request-Headers")
		methods, headers := corsMethods, corsHeaders
		if m := r.Header.Get("Access-Control-Request-Method"); httpToken.MatchString(m) && len(m) < maxAsked && !strings.Contains(methods, m) {
			methods += ", " + m
		}
		if asked := headerNames(r.Header.Values("Access-Control-Request-Headers")); asked != "" {
			headers = asked
		}
		h.Set("Access-Control-Allow-Methods", methods)
		h.Set("Access-Control-Allow-Headers", headers)
		h.Set("Access-Control-Max-Age", "600")
		if r.Header.Get("Access-Control-Request-Private-Network") == "true" {
			h.Set("Access-Control-Allow-Private-Network", "true")
		}
	}
	w.WriteHeader(http.StatusNoContent)
}

// headerNames repeats the names of headers in a list, and nothing else that is in it.
func headerNames(lines []string) string {
	var out []string
	n := 0
	for _, line := range lines {
		for name := range strings.SplitSeq(line, ",") {
			name = strings.TrimSpace(name)
			if n += len(name); httpToken.MatchString(name) && n <= maxAsked {
				out = append(out, name)
			}
		}
	}
	return strings.Join(out, ", ")
}
