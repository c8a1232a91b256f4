package main

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/url"

	"github.com/redis/go-redis/v9"
)

// selfURL is the URL of this process's own proxy for the gateway.
func selfURL(opts *redis.Options) string {
	u := url.URL{Scheme: "redis", Host: opts.Addr}
	if opts.TLSConfig != nil {
		u.Scheme = "rediss"
	}
	if opts.Network == "unix" {
		u = url.URL{Scheme: "unix", Path: opts.Addr}
	}
	if opts.Password != "" {
		u.User = url.UserPassword("", opts.Password)
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
