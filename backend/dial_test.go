package backend

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"holdfast/backend/redistest"
)

// certificate writes a self-signed certificate for 127.0.0.1 and its key.
func certificate(t *testing.T) (cert, key string) {
	t.Helper()
	priv, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, NotBefore: time.Now().Add(-time.Hour),
		NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &priv.PublicKey, priv)
	require.NoError(t, err)
	pk, err := x509.MarshalPKCS8PrivateKey(priv)
	require.NoError(t, err)
	cert, key = filepath.Join(t.TempDir(), "cert.pem"), filepath.Join(t.TempDir(), "key.pem")
	require.NoError(t, os.WriteFile(cert, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600))
	require.NoError(t, os.WriteFile(key, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pk}), 0o600))
	return cert, key
}

func TestTLSAndUnixSocket(t *testing.T) {
	cert, key := certificate(t)
	_, port, err := net.SplitHostPort(redistest.Reserve(t).Addr())
	require.NoError(t, err)
	sock := filepath.Join(t.TempDir(), "r.sock")
	redistest.Start(t, "--tls-port", port, "--tls-cert-file", cert, "--tls-key-file", key, "--tls-ca-cert-file", cert,
		"--tls-auth-clients", "no", "--unixsocket", sock)
	secure := "rediss://127.0.0.1:" + port
	for _, url := range []string{secure + "/0?skip_verify=true", "unix://" + sock} {
		u := runUp(t, Config{URL: url}, &recorder{})
		require.Equal(t, "+OK\r\n", do(t, u, "SET", "k", "v"), url)
		require.Equal(t, "$1\r\nv\r\n", do(t, u, "GET", "k"), url)
	}
	u := run(t, Config{URL: secure}, &recorder{})
	redistest.Eventually(t, bound, "an unknown certificate is refused", func() bool { return u.Status().LastError != "" })
	require.Contains(t, u.Status().LastError, "certificate")
}

func TestWrongSentinelsAreToldApart(t *testing.T) {
	addr := redistest.Reserve(t).Addr()
	u := run(t, Config{URL: "redis-sentinel://:s3cret@" + addr + "/mymaster"}, &recorder{})
	redistest.Eventually(t, bound, "the error shows", func() bool { return u.Status().LastError != "" })
	require.Contains(t, u.Status().LastError, "sentinel "+addr)
	require.NotContains(t, u.Status().LastError, "s3cret")
}

func TestSentinelFindsTheMaster(t *testing.T) {
	srv := redistest.Start(t)
	sentinel := redistest.Sentinel(t, srv, 30000)
	u := runUp(t, Config{URL: "redis-sentinel://" + sentinel + "/mymaster?db=1"}, &recorder{})
	require.Equal(t, "+PONG\r\n", do(t, u, "PING"))
	require.Equal(t, 1, u.DB())
}
