package proxy

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"html/template"
	"net"
	"net/http"
	"net/http/pprof"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"holdfast/backend/hostguard"
	"holdfast/proxy/front"
)

// Admin is the proxy's HTTP side: probes, metrics and status. It never shows
// secrets and changes nothing. Beyond loopback it wants the proxy's password.
type Admin struct {
	s     *Server
	ln    net.Listener
	srv   *http.Server
	guard hostguard.Guard
}

// OpenAdmin binds the admin address; loopback unless the proxy needs a password. hosts are
// further names by which a loopback address may be asked for.
func (s *Server) OpenAdmin(addr string, hosts ...string) (*Admin, error) {
	if _, _, err := net.SplitHostPort(addr); err != nil {
		return nil, fmt.Errorf("admin address %q: %w: use host:port", addr, err)
	}
	local := front.IsLoopback(addr)
	if !local && !s.needsAuth() {
		return nil, fmt.Errorf("admin address %q is not loopback and no password is set: set --requirepass, or use 127.0.0.1", addr)
	}
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("listen on admin address: %w", err)
	}
	a := &Admin{s: s, ln: ln, guard: hostguard.Guard{Hosts: hosts, Flag: "--admin-hosts"}}
	a.srv = &http.Server{Handler: a.handler(local), ReadHeaderTimeout: 5 * time.Second, IdleTimeout: time.Minute}
	return a, nil
}

// Addr is the bound address.
func (a *Admin) Addr() net.Addr { return a.ln.Addr() }

// Run serves until ctx ends.
func (a *Admin) Run(ctx context.Context) error {
	stop := context.AfterFunc(ctx, func() {
		end, cancel := context.WithTimeout(context.Background(), 2*time.Second)
		defer cancel()
		_ = a.srv.Shutdown(end)
		_ = a.srv.Close()
	})
	defer stop()
	if err := a.srv.Serve(a.ln); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve admin: %w", err)
	}
	return nil
}

// Close ends the admin listener. Idempotent.
func (a *Admin) Close() error { return a.srv.Close() }

// withPassword lets those in who know the password of the proxy or of one of its
// users, by HTTP Basic authentication.
func (a *Admin) withPassword(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		user, password, _ := r.BasicAuth()
		ok := a.s.cfg.Password != "" && a.s.checkPassword("default", []byte(password)) // whatever the user name
		if !ok && (user == "default" || !a.s.checkPassword(user, []byte(password))) {
			if password != "" || user != "" {
				a.s.loginFailed(r.Context(), r.RemoteAddr)
			}
			w.Header().Set("WWW-Authenticate", `Basic realm="holdfast"`)
			http.Error(w, "the proxy's password is needed: any user name, and the password of --requirepass", http.StatusUnauthorized)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// guarded keeps pages of other sites from reading what only this machine may see.
func (a *Admin) guarded(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if refusal := a.guard.Check(r); refusal != nil {
			http.Error(w, refusal.Text, refusal.Status)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// handler serves the pages; local says that only this machine can reach them.
func (a *Admin) handler(local bool) http.Handler {
	registry := prometheus.NewRegistry()
	registry.MustRegister(newCollector(a.s))
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintln(w, "ok")
	})
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, "ready mode=%s\n", a.s.cfg.Local.Mode())
	})
	mux.HandleFunc("GET /status", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		enc := json.NewEncoder(w)
		enc.SetIndent("", "  ")
		_ = enc.Encode(a.s.Status())
	})
	if local { // profiles of the running process show what is in its memory
		mux.HandleFunc("GET /debug/pprof/", pprof.Index)
		mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
		mux.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
	}
	mux.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.Header().Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'")
		_ = page.Execute(w, a.s.Status())
	})
	if !local {
		return a.withPassword(mux)
	}
	return a.guarded(mux)
}

var page = template.Must(template.New("page").Parse(`<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta http-equiv="refresh" content="2"><title>Holdfast: {{.Mode}}</title>
<style>body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:46rem;padding:0 1rem;color:#1d2430;background:#fafbfc}
h1{font-size:1.4rem}b.mode{padding:.1rem .6rem;border-radius:1rem;background:#dff3e4}b.offline,b.replaying{background:#fde8c8}
table{border-collapse:collapse;width:100%;margin:1rem 0}td,th{padding:.35rem .6rem;border-bottom:1px solid #e2e6ea;text-align:left}td:last-child{text-align:right;font-variant-numeric:tabular-nums}
.bad{color:#a4161a;font-weight:600}</style></head><body>
<h1>Holdfast <b class="mode {{.Mode}}">{{.Mode}}</b></h1>
<p>{{if .Upstream}}Redis: {{.Upstream}}, {{if .Connected}}connected{{else}}not connected{{end}}{{else}}no Redis behind it: embedded store{{end}}. In this mode since {{.Since.UTC.Format "2006-01-02 15:04:05"}} UTC.</p>
{{if .Journal.Failed}}<p class="bad">The journal failed: writes are refused while Redis is away.</p>{{end}}
{{if .Journal.Full}}<p class="bad">The journal is full: writes are refused while Redis is away.</p>{{end}}
<table><tr><td>Clients</td><td>{{.Clients}}</td></tr>
<tr><td>Writes waiting for Redis</td><td>{{.Journal.QueuedWrites}} ({{.Journal.Bytes}} bytes)</td></tr>
<tr><td>Writes replayed</td><td>{{.Replay.Replayed}}</td></tr>
<tr><td>Dead letters</td><td>{{.Replay.DeadLetters}}</td></tr>
<tr><td>Keys held locally</td><td>{{.Mirror.Keys}}{{if not .Mirror.Complete}} (mirror not complete){{end}}</td></tr>
<tr><td>Cached replies</td><td>{{.Cache.Entries}} ({{.Cache.Bytes}} bytes)</td></tr>
<tr><td>Cache hits / misses</td><td>{{.Cache.Hits}} / {{.Cache.Misses}}</td></tr>
{{if .LastError}}<tr><td>Last error</td><td>{{.LastError}}</td></tr>{{end}}</table>
<p>As JSON: <a href="/status">/status</a>. For Prometheus: <a href="/metrics">/metrics</a>. Version {{.Version}}.</p>
</body></html>
`))
