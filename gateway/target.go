package gateway

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"net/url"
	"regexp"
	"strings"
)

// target is where under an account's base URL a request goes.
type target struct {
	// version goes before path unless the base URL has one of its own.
	version string
	path    string
	// ending is a path that some base URLs already end with.
	ending string
	// params win over those of the base URL and of the client.
	params url.Values
}

// versioned recognises a path that already names the version of the API, as in
// /v1 or /api/paas/v4; the others one at an end of the path.
var (
	versioned       = regexp.MustCompile(`(^|/)v\d+[a-z0-9]*(/|$)`)
	leadingVersion  = regexp.MustCompile(`^/v\d+[a-z0-9]*`)
	trailingVersion = regexp.MustCompile(`/v\d+[a-z0-9]*$`)
)

// errNoEndpoint is an account whose base URL cannot be used.
var errNoEndpoint = errors.New("base URL is not an http or https URL with a host")

// url is the target under a base URL, which may carry its version or not, and
// parameters of its own. The client's own parameters are added, its key is not.
func (t target) url(base string, client url.Values) (*url.URL, error) {
	u, err := url.Parse(base)
	if err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") {
		return nil, errNoEndpoint // the parser's text would quote the URL
	}
	u.User = nil
	u.Fragment = ""
	u.Path, u.RawPath = t.under(strings.TrimRight(u.Path, "/")), ""
	q := u.Query()
	for name, values := range client {
		if name != "key" && !q.Has(name) {
			q[name] = values
		}
	}
	for name, values := range t.params {
		q[name] = values
	}
	u.RawQuery = q.Encode()
	return u, nil
}

// under joins the base URL's path and the target's.
func (t target) under(base string) string {
	if t.ending != "" && strings.HasSuffix(base, t.ending) {
		return strings.TrimSuffix(base, t.ending) + t.path
	}
	if !versioned.MatchString(base) {
		return base + t.version + t.path
	}
	if trailingVersion.MatchString(base) { // the provider's version counts, not the one of our path
		return base + "/" + strings.TrimPrefix(t.path, leadingVersion.FindString(t.path)+"/")
	}
	return base + t.path
}

// post makes a request for the call to a target of the account. Only what passes as
// it came may be anything else than JSON.
func (c *call) post(ctx context.Context, a *account, t target) (*http.Request, error) {
	u, err := t.url(a.baseURL, c.query)
	if err != nil {
		return nil, err
	}
	method, contentType := http.MethodPost, "application/json"
	switch c.op {
	case opForward:
		method, contentType = c.method, c.contentType
	case opNamed:
		contentType = c.contentType
	}
	req, err := http.NewRequestWithContext(ctx, method, u.String(), bytes.NewReader(c.bodyFor(a.id)))
	if err != nil {
		return nil, errNoEndpoint
	}
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	return req, nil
}
