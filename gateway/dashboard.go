package gateway

import (
	"bytes"
	"context"
	"crypto/rand"
	"embed"
	"fmt"
	"html/template"
	"net/http"
	"strconv"
	"time"

	"holdfast/gateway/store"
)

const (
	dashboardPath  = "/dashboard"
	sessionCookie  = "holdfast_session"
	maxLoginBody   = 4 << 10
	maxShown       = 500 // accounts on the page
	dashboardAwake = 3 * time.Second
)

//go:embed dashboard.html login.html
var pages embed.FS

var pageTemplates = template.Must(template.ParseFS(pages, "*.html"))

// dashboard is a page to look at: pools, accounts, counters, Redis. It changes
// nothing. Behind it is the password under pwd; sessions are in Redis, by the
// hash of their token.
type dashboard struct {
	gateway *Gateway
	store   *store.Store
	logins  logins
	origin  *http.CrossOriginProtection
	// hashing is held while a password is checked, which takes much of a processor.
	hashing chan struct{}
}

func newDashboard(g *Gateway, s *store.Store) *dashboard {
	return &dashboard{gateway: g, store: s, origin: http.NewCrossOriginProtection(), hashing: make(chan struct{}, 1)}
}

func (d *dashboard) endpoints(add func(path string, e endpoint)) {
	add("/", endpoint{route: "root", method: http.MethodGet, handler: d.page(func(_ context.Context, w http.ResponseWriter, r *request) {
		http.Redirect(w, r.Request, dashboardPath, http.StatusFound)
	})})
	add(dashboardPath, endpoint{route: "dashboard", method: http.MethodGet, handler: d.page(d.serve)})
	add(dashboardPath+"/login", endpoint{route: "dashboard_login", method: http.MethodPost, handler: d.page(d.login)})
	add(dashboardPath+"/logout", endpoint{route: "dashboard_logout", method: http.MethodPost, handler: d.page(d.logout)})
}

// page wraps a handler: headers, the switch, requests from other sites' pages,
// and time for Redis.
func (d *dashboard) page(next func(context.Context, http.ResponseWriter, *request)) func(http.ResponseWriter, *request) *apiError {
	return func(w http.ResponseWriter, r *request) *apiError {
		if !r.state.settings.login.enabled {
			return &apiError{status: http.StatusNotFound, kind: kindInvalid, code: "unknown_path", message: "the dashboard is switched off (UI_ENABLED)"}
		}
		if d.origin.Check(r.Request) != nil {
			return &apiError{status: http.StatusForbidden, kind: kindPermission, code: "cross_origin", message: "this request comes from another site's page"}
		}
		h := w.Header()
		h.Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cache-Control", "no-store")
		ctx, cancel := context.WithTimeout(r.Context(), d.gateway.cfg.CommandTimeout+dashboardAwake)
		defer cancel()
		next(ctx, w, r)
		return nil
	}
}

func (d *dashboard) serve(ctx context.Context, w http.ResponseWriter, r *request) {
	token := ""
	if c, err := r.Cookie(sessionCookie); err == nil {
		token = c.Value
	}
	if token == "" {
		d.ask(w, http.StatusOK, "")
		return
	}
	_, ok, err := d.store.Session(ctx, token)
	switch {
	case err != nil:
		d.ask(w, http.StatusServiceUnavailable, "Redis does not answer, so nobody can be let in just now.")
	case !ok:
		d.ask(w, http.StatusOK, "The session has ended.")
	default:
		d.render(w, http.StatusOK, "dashboard.html", d.view(ctx, r))
	}
}

// ask shows the login form.
func (d *dashboard) ask(w http.ResponseWriter, status int, message string) {
	d.render(w, status, "login.html", message)
}

func (d *dashboard) render(w http.ResponseWriter, status int, name string, data any) {
	var page bytes.Buffer
	if err := pageTemplates.ExecuteTemplate(&page, name, data); err != nil {
		d.gateway.log.Error("page not rendered", "page", name, "error", err)
		http.Error(w, "the page could not be made", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write(page.Bytes())
}

// login checks the password and begins a session.
func (d *dashboard) login(ctx context.Context, w http.ResponseWriter, r *request) {
	cfg := r.state.settings.login
	from := loginSource(r.RemoteAddr)
	if pause := d.logins.try(from, cfg, time.Now()); pause > 0 {
		seconds := int((pause + time.Second - 1) / time.Second)
		w.Header().Set("Retry-After", strconv.Itoa(seconds))
		d.ask(w, http.StatusTooManyRequests, fmt.Sprintf("Too many attempts: wait %d seconds.", seconds))
		return
	}
	r.Body = http.MaxBytesReader(w, r.Body, maxLoginBody)
	given := r.PostFormValue("password")
	stored, ok, err := d.store.Get(ctx, d.store.Password())
	switch {
	case err != nil:
		d.ask(w, http.StatusServiceUnavailable, "Redis does not answer, so the password cannot be checked just now.")
		return
	case !ok:
		d.ask(w, http.StatusServiceUnavailable, "No password is set. 'holdfast init' and 'holdfast migrate' set one.")
		return
	}
	if !d.matches(ctx, stored, given) {
		d.gateway.log.Warn("dashboard login refused", "from", from)
		d.ask(w, http.StatusUnauthorized, "Wrong password.")
		return
	}
	now := time.Now()
	token := rand.Text() + rand.Text()
	session := fmt.Appendf(nil, `{"username":"admin","loginTime":%d,"expiryTime":%d}`, now.UnixMilli(), now.Add(cfg.life).UnixMilli())
	if err := d.store.PutSession(ctx, token, session, cfg.life); err != nil {
		d.ask(w, http.StatusServiceUnavailable, "Redis took no session: try again.")
		return
	}
	d.logins.passed(from)
	d.gateway.log.Info("dashboard login", "from", from)
	d.setCookie(w, r, token, int(cfg.life/time.Second))
	http.Redirect(w, r.Request, dashboardPath, http.StatusSeeOther)
}

// matches compares in the time that the hash takes, whatever was given; one at a
// time, so that guesses cannot take all processors.
func (d *dashboard) matches(ctx context.Context, stored []byte, given string) bool {
	select {
	case d.hashing <- struct{}{}:
	case <-ctx.Done():
		return false
	}
	defer func() { <-d.hashing }()
	return store.CheckPassword(stored, given)
}

func (d *dashboard) logout(ctx context.Context, w http.ResponseWriter, r *request) {
	if c, err := r.Cookie(sessionCookie); err == nil && c.Value != "" {
		if err := d.store.DeleteSession(ctx, c.Value); err != nil {
			d.ask(w, http.StatusServiceUnavailable, "Redis does not answer: the session goes on. Try again.")
			return
		}
	}
	d.setCookie(w, r, "", -1)
	http.Redirect(w, r.Request, dashboardPath, http.StatusSeeOther)
}

func (d *dashboard) setCookie(w http.ResponseWriter, r *request, value string, age int) {
	http.SetCookie(w, &http.Cookie{
		Name: sessionCookie, Value: value, Path: dashboardPath, MaxAge: age,
		HttpOnly: true, SameSite: http.SameSiteStrictMode, Secure: r.TLS != nil,
	})
}

// dashboardView is what the page shows. Nothing in it is a secret.
type dashboardView struct {
	Version, Now string
	Redis        redisStatus
	Pools        []poolView
	Skipped      []string // types that are stored and not served
	EnabledBy    string   // the field that says so
	More         int      // accounts that are not shown
	NoCounts     bool     // Redis did not give the counters
}

type poolView struct {
	Type                              string
	Accounts, Disabled, Healthy, Sick int
	Items                             []accountView
}

type accountView struct {
	healthItem
	Disabled                bool
	Verdict                 string // whether requests can go to it
	Usage, Errors, Renewals string
}

func (d *dashboard) view(ctx context.Context, r *request) dashboardView {
	g := d.gateway
	now := time.Now()
	v := dashboardView{Version: g.cfg.Version, Now: *stamp(now), Redis: g.redisStatus(g.link.probe(ctx, probeAge)),
		Skipped: r.state.skipped, EnabledBy: r.state.enabledBy()}
	shown := 0
	for _, typ := range r.state.types {
		p := poolView{Type: typ}
		accounts := r.state.pools[typ].accounts
		items := g.roster.report(r.state, func(a *account) bool { return a.id.Type == typ }, now)
		var batch []store.Entry
		for _, a := range accounts {
			p.Accounts++
			_, _, known := lookupProvider(typ)
			it := accountView{Disabled: a.disabled, Verdict: verdict(a, r.state.pools[typ].info, known, true, true), Usage: "?", Errors: "?", Renewals: "?"}
			if a.disabled {
				p.Disabled++
				it.healthItem = healthItem{UUID: mask(a.id.UUID), CustomName: a.name}
			} else { // in the same order
				it.healthItem, items = items[0], items[1:]
				if it.IsHealthy {
					p.Healthy++
				} else {
					p.Sick++
				}
			}
			if shown == maxShown {
				v.More++
				continue
			}
			shown++
			p.Items = append(p.Items, it)
			batch = append(batch, store.Entry{UUID: a.id.UUID, JSON: []byte(a.raw)})
		}
		if v.NoCounts || d.store.FillCounters(ctx, typ, batch) != nil {
			v.NoCounts = true // and the rest is not asked for
		} else {
			fillCounts(p.Items, batch)
		}
		v.Pools = append(v.Pools, p)
	}
	return v
}

func fillCounts(items []accountView, batch []store.Entry) {
	for i, e := range batch {
		merged := e.Merged()
		number := func(name string) string {
			n, ok := store.Member(merged, name)
			if text := n.String(); ok && text != "" {
				return text
			}
			return "0"
		}
		items[i].Usage, items[i].Errors, items[i].Renewals = number(store.UsageCount), number(store.ErrorCount), number(store.RefreshCount)
	}
}
