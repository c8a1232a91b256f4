package gateway

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/tidwall/gjson"
)

// proxyChoice is PROXY_URL and PROXY_ENABLED_PROVIDERS, of the configuration or of
// an account's entry.
type proxyChoice struct {
	url   string
	types []string
}

func parseProxyChoice(v gjson.Result) proxyChoice {
	return proxyChoice{strings.TrimSpace(v.Get("PROXY_URL").String()), providerList(v.Get("PROXY_ENABLED_PROVIDERS"))}
}

// names reports whether the types of the choice name one, or the group it is of.
func (p proxyChoice) names(typ string) bool {
	return slices.ContainsFunc(p.types, func(name string) bool {
		return strings.EqualFold(name, typ) || len(typ) > len(name) && strings.EqualFold(typ[:len(name)], name) && typ[len(name)] == '-'
	})
}

// proxyFor is the proxy that an account of a type is reached through, as written;
// "": none. What the entry says counts first: its URL is for this account, unless it
// lists types and not this one. The configuration's URL is for the types listed.
func proxyFor(typ string, own, general proxyChoice) string {
	if len(own.types) == 0 {
		if own.url != "" {
			return own.url
		}
		own.types = general.types
	}
	if !own.names(typ) {
		return ""
	}
	if own.url != "" {
		return own.url
	}
	return general.url
}

// through is the account with the proxy that the settings give it. One whose proxy
// cannot be used is asked for nothing: it must not be reached without.
func (a *account) through(s settings) *account {
	via := proxyFor(a.id.Type, a.ownProxy, s.proxy)
	if via == a.via {
		return a
	}
	out := *a
	out.via, out.proxy, out.badProxy = via, nil, ""
	if via != "" {
		out.proxy = parseProxy(via)
		if out.proxy == nil {
			out.badProxy = "its PROXY_URL is no http, https or socks5 URL with a host"
		}
	}
	return &out
}

// parseProxy reads a proxy's URL; nil where it is none. Without a scheme it is http.
func parseProxy(raw string) *url.URL {
	if !strings.Contains(raw, "://") {
		raw = "http://" + raw
	}
	u, err := url.Parse(raw)
	if err != nil || u.Hostname() == "" {
		return nil
	}
	switch u.Scheme = strings.ToLower(u.Scheme); u.Scheme {
	case "http", "https", "socks5", "socks5h":
		return u
	}
	return nil
}

type proxyKey struct{}

// withProxy says on a context which proxy a request goes through.
func (a *account) withProxy(ctx context.Context) context.Context {
	if a.proxy == nil {
		return ctx
	}
	return context.WithValue(ctx, proxyKey{}, a.proxy)
}

// proxyOf is the proxy of a request: the account's, or else the environment's.
func proxyOf(req *http.Request) (*url.URL, error) {
	if u, ok := req.Context().Value(proxyKey{}).(*url.URL); ok {
		return u, nil
	}
	return http.ProxyFromEnvironment(req)
}
