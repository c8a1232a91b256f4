package gateway

import (
	"net/http"
	"strings"
)

// notForwarded are request headers that end here: those of one hop, those that
// carry the client's credentials or choose an account at the provider, and
// those that describe the client's own connection.
var notForwarded = headerSet(
	"Connection", "Keep-Alive", "Proxy-Connection", "Proxy-Authenticate", "Proxy-Authorization", "Te", "Trailer", "Transfer-Encoding", "Upgrade",
	"Authorization", "X-Api-Key", "X-Goog-Api-Key", "Api-Key", "Cookie", "Openai-Organization", "Openai-Project", "X-Goog-User-Project",
	"Host", "Content-Length", "Content-Type", "Content-Encoding", "Accept-Encoding", "Expect", "Origin", "Referer",
	"Model-Provider", "Forwarded", "Via", "X-Real-Ip", "X-Request-Id",
)

// notReturned are response headers that end here.
var notReturned = headerSet(
	"Connection", "Keep-Alive", "Proxy-Connection", "Proxy-Authenticate", "Te", "Trailer", "Transfer-Encoding", "Upgrade",
	"Set-Cookie", "Openai-Organization", "Openai-Project", "Anthropic-Organization-Id", "Alt-Svc", "Strict-Transport-Security", "Server", "Date", "Content-Length", "X-Request-Id",
)

func headerSet(names ...string) map[string]bool {
	set := make(map[string]bool, len(names))
	for _, n := range names {
		set[n] = true
	}
	return set
}

// copyRequestHeader adds the client's headers that may pass, where the request
// has none of that name. A header that repeats a key the client presented is
// left out whatever its name.
func copyRequestHeader(dst, src http.Header, presented []string) {
	named := connectionNames(src)
	for name, values := range src {
		if notForwarded[name] || named[name] || dst[name] != nil || holdsKey(values, presented) ||
			strings.HasPrefix(name, "X-Forwarded-") || strings.HasPrefix(name, "Sec-") || strings.HasPrefix(name, "Access-Control-") {
			continue
		}
		dst[name] = values
	}
	// A compressed stream could not be watched for its end.
	dst.Set("Accept-Encoding", "identity")
}

func holdsKey(values, presented []string) bool {
	for _, v := range values {
		for _, key := range presented {
			if key != "" && strings.Contains(v, key) {
				return true
			}
		}
	}
	return false
}

// copyResponseHeader adds the upstream's headers that may pass. Its request id
// gets a name of its own; ours stays.
func copyResponseHeader(dst, src http.Header) {
	named := connectionNames(src)
	for name, values := range src {
		if notReturned[name] || named[name] || strings.HasPrefix(name, "Access-Control-") {
			continue
		}
		dst[name] = values
	}
	if id := src.Get("X-Request-Id"); id != "" {
		dst.Set("X-Upstream-Request-Id", id)
	}
}

// convertedHeader is the header of an answer that was converted: what else the
// upstream says is about an answer that the client does not get.
func convertedHeader(dst, src http.Header, contentType string) {
	dst.Set("Content-Type", contentType)
	for _, name := range []string{"X-Request-Id", "Request-Id"} {
		if id := src.Get(name); id != "" {
			dst.Set("X-Upstream-Request-Id", id)
			return
		}
	}
}

// connectionNames are the headers that Connection declares to be of one hop.
func connectionNames(h http.Header) map[string]bool {
	var set map[string]bool
	for _, line := range h.Values("Connection") {
		for _, name := range strings.Split(line, ",") {
			if set == nil {
				set = map[string]bool{}
			}
			set[http.CanonicalHeaderKey(strings.TrimSpace(name))] = true
		}
	}
	return set
}
