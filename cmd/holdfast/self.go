package main

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/url"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
)

// selfOptions are the options of a client of this process's own proxy.
func (st *stack) selfOptions() *redis.Options {
	addr := st.server.Addrs()[0]
	user, password := st.settings.selfUser()
	return &redis.Options{
		Network: addr.Network(), Addr: reachable(addr), Username: user, Password: password,
		TLSConfig: selfTLS(st.settings.tls), DisableIdentity: true,
		MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
	}
}

// selfUser is who may log in at the proxy: without --requirepass, one of --user.
func (s *proxySettings) selfUser() (name, password string) {
	if s.password == "" && len(s.users) > 0 {
		name = sortedKeys(s.users)[0]
		return name, s.users[name]
	}
	return "", s.password
}

// toolFlags are the flags that point a tool at this process's own proxy, to be
// pasted: without them it would work on another Redis.
func toolFlags(opts *redis.Options, prefix string) string {
	open := *opts
	open.Password = ""
	flags := "--redis-url " + selfURL(&open)
	if prefix != "aiclient:" {
		flags += " --key-prefix '" + prefix + "'"
	}
	return flags
}

// selfURL is the URL of this process's own proxy for the gateway.
func selfURL(opts *redis.Options) string {
	u := url.URL{Scheme: "redis", Host: opts.Addr}
	if opts.TLSConfig != nil {
		u.Scheme = "rediss"
	}
	if opts.Network == "unix" {
		u = url.URL{Scheme: "unix", Path: opts.Addr}
	}
	switch {
	case opts.Password != "":
		u.User = url.UserPassword(opts.Username, opts.Password)
	case opts.Username != "":
		u.User = url.User(opts.Username)
	}
	return u.String()
}

// selfTLS lets the process trust its own certificate, and no other.
func selfTLS(server *tls.Config) *tls.Config {
	if server == nil {
		return nil
	}
	own := server.Certificates[0].Certificate[0]
	return &tls.Config{
		MinVersion:         tls.VersionTLS12,
		InsecureSkipVerify: true, // replaced by the comparison below
		VerifyPeerCertificate: func(raw [][]byte, _ [][]*x509.Certificate) error {
			if len(raw) == 0 || string(raw[0]) != string(own) {
				return fmt.Errorf("the proxy's listener shows another certificate than its own")
			}
			return nil
		},
	}
}
