// Package hostguard keeps web pages of other sites away from HTTP addresses that only
// this machine can reach. A page may have its own name resolve to 127.0.0.1 (DNS
// rebinding): the browser then takes the answer for the page's own and lets it read it.
// Such a request bears the page's name as its Host.
package hostguard

import (
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
)

// Guard says by which names an address may be asked for. Names of this machine
// (localhost, and IP addresses, which no name can be rebound to) always are. The zero
// value allows only those. Safe for concurrent use as long as nobody changes it.
type Guard struct {
	Hosts []string // further names, without port, in any case of letters
	Flag  string   // that sets Hosts, for the text of a refusal
}

// Refusal is a request that is not answered, with the HTTP status and the text to say so.
type Refusal struct {
	Status int
	Text   string
}

// Check judges a request; nil: it is fine.
func (g *Guard) Check(r *http.Request) *Refusal {
	if !g.allows(r.Host) {
		return &Refusal{http.StatusMisdirectedRequest, fmt.Sprintf("this address is not known as %q: ask for 127.0.0.1 or localhost, or allow that name with %s", clip(r.Host), g.Flag)}
	}
	origin := r.Header.Get("Origin")
	if origin != "" && !g.allowsOrigin(origin) {
		return &Refusal{http.StatusForbidden, fmt.Sprintf("the page at %q may not ask here: if it is yours, allow its host name with %s", clip(origin), g.Flag)}
	}
	// Browsers say so of what a page of another site asks for without an Origin, such as
	// images. A link that a person follows is fine.
	link := r.Header.Get("Sec-Fetch-Mode") == "navigate" && r.Header.Get("Sec-Fetch-Dest") == "document" && r.Method == http.MethodGet
	if origin == "" && r.Header.Get("Sec-Fetch-Site") == "cross-site" && !link {
		return &Refusal{http.StatusForbidden, "a page of another site may not ask here"}
	}
	return nil
}

func (g *Guard) allowsOrigin(origin string) bool {
	u, err := url.Parse(origin)
	return err == nil && u.Host != "" && g.allows(u.Host)
}

// allows judges the Host of a request, with or without a port. Without one (HTTP/1.0)
// it is no browser's.
func (g *Guard) allows(hostPort string) bool {
	host := hostPort
	if h, _, err := net.SplitHostPort(hostPort); err == nil {
		host = h
	}
	host = strings.TrimSuffix(strings.ToLower(host), ".")
	if host == "" || host == "localhost" || isIP(host) {
		return true
	}
	for _, name := range g.Hosts {
		if strings.EqualFold(strings.TrimSuffix(name, "."), host) {
			return true
		}
	}
	return false
}

func isIP(host string) bool {
	host = strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
	host, _, _ = strings.Cut(host, "%") // an IPv6 zone
	return net.ParseIP(host) != nil
}

// clip bounds what is repeated of a request.
func clip(s string) string { return s[:min(len(s), 100)] }
