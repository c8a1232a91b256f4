package backend

import (
	"errors"
	"slices"
	"sync"
)

// logins are the passwords that may open a connection: the configured one, and those
// that clients gave to our user at the server since. Who changes it through the proxy
// must not shut the proxy out. They are held in memory only.
type logins struct {
	mu   sync.Mutex
	list []string // the one that worked last comes first; "" is none
}

// maxLogins bounds them; the configured one is never dropped.
const maxLogins = 4

func newLogins(configured string) *logins { return &logins{list: []string{configured}} }

// all gives them in the order in which they are tried.
func (l *logins) all() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.list)
}

// offer adds a password that may be the right one from now on.
func (l *logins) offer(password string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if slices.Contains(l.list, password) {
		return
	}
	if len(l.list) == maxLogins {
		l.list = slices.Delete(l.list, 2, 3)
	}
	l.list = append(l.list, password)
}

// worked puts one first.
func (l *logins) worked(password string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if i := slices.Index(l.list, password); i > 0 {
		l.list = slices.Insert(slices.Delete(l.list, i, i+1), 0, password)
	}
}

// OfferPassword tells of a password that the server may want of the user from now on, as
// a client has asked for that. It is tried where the ones known so far are refused.
func (u *Upstream) OfferPassword(user, password string) {
	if ours := u.target.user; user == ours || ours == "" && user == "default" {
		u.target.logins.offer(password)
	}
}

// login sets up the connection with the first password that the server takes.
func (t target) login(c *conn, proto, db int) error {
	var err error
	for i, password := range t.logins.all() {
		if err = t.setup(c, password, proto, db); !errors.Is(err, ErrAuth) {
			if err == nil && i > 0 {
				t.logins.worked(password)
			}
			return err
		}
	}
	return err
}
