package store

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
	"github.com/tidwall/gjson"
)

// Options say how to reach the Redis. Errors and String never show a password.
type Options struct {
	// Enabled: a source names a Redis (by URL, host or port, or by saying enabled),
	// and none as strong or stronger says that none is to be used.
	Enabled bool
	// Off: the strongest word on it is that no Redis is to be used.
	Off            bool
	URL            string // redis://, rediss:// or redis-sentinel://; wins over Host and Port
	Host           string
	Port           int
	Password       string
	DB             int
	KeyPrefix      string
	ConnectTimeout time.Duration
	CommandTimeout time.Duration
}

// Sources are where connection settings come from, strongest first: flags,
// environment, a file of flags, the "redis" block of config.json, defaults.
type Sources struct {
	FlagURL    string              // --redis-url; "" for not given
	FlagPrefix *string             // --key-prefix; nil for not given
	Getenv     func(string) string // nil for no environment
	FileURL    string              // redis-url of the file of flags
	FilePrefix *string             // key-prefix of the file of flags
	ConfigJSON []byte              // config.json; nil for none
}

// use notes what one source says: it names a Redis, and, unless enabled is nil,
// whether one is to be used. Sources come in rising strength.
func (o *Options) use(names bool, enabled *bool) {
	if enabled == nil && !names {
		return
	}
	o.Enabled = enabled == nil || *enabled
	o.Off = !o.Enabled
}

// Resolve merges the sources. A setting that makes no sense is an error naming
// it, its value and the remedy.
func Resolve(s Sources) (Options, error) {
	env := s.Getenv
	if env == nil {
		env = func(string) string { return "" }
	}
	o := Options{Host: "localhost", Port: 6379, KeyPrefix: DefaultPrefix,
		ConnectTimeout: 5 * time.Second, CommandTimeout: time.Second}
	var errs []error
	switch block, ok := Member(s.ConfigJSON, "redis"); {
	case ok && block.IsObject():
		errs = append(errs, o.fromConfig([]byte(block.Raw))...)
	case ok && block.Type != gjson.Null:
		errs = append(errs, fmt.Errorf("read redis in config.json: %.80s is not an object: write it like {\"enabled\": true, \"url\": \"redis://localhost:6379\"}", block.Raw))
	}
	if s.FileURL != "" {
		o.URL = s.FileURL
		o.use(true, nil)
	}
	if s.FilePrefix != nil {
		o.KeyPrefix = *s.FilePrefix
	}
	errs = append(errs, o.fromEnv(env)...)
	if s.FlagURL != "" {
		o.URL = s.FlagURL
		o.use(true, nil)
	}
	if s.FlagPrefix != nil {
		o.KeyPrefix = *s.FlagPrefix
	}
	if o.URL != "" {
		if _, err := o.Universal(); err != nil {
			errs = append(errs, err)
		}
	}
	return o, errors.Join(errs...)
}

func (o *Options) fromConfig(block []byte) (errs []error) {
	names, enabled := false, (*bool)(nil)
	Members(block, func(key string, v gjson.Result) {
		if v.Type == gjson.Null {
			return
		}
		text := v.String()
		if err := wrongType(key, v); err != nil {
			errs = append(errs, err)
			return
		}
		switch key {
		case "enabled":
			on, err := readSwitch("redis.enabled in config.json", text)
			if err != nil {
				errs = append(errs, err)
			}
			enabled = &on
		case "url":
			o.URL = text
			names = names || text != ""
		case "host":
			if text == "" {
				errs = append(errs, errors.New("read redis.host in config.json: it is empty: name a host, or leave it out"))
			}
			o.Host, names = text, true
		case "port":
			names = true
			errs = append(errs, setInt(&o.Port, "redis.port in config.json", text, 1, 65535))
		case "password":
			o.Password = text
		case "db":
			errs = append(errs, setInt(&o.DB, "redis.db in config.json", text, 0, 1<<30))
		case "keyPrefix":
			o.KeyPrefix = text
		case "connectTimeout":
			errs = append(errs, setMillis(&o.ConnectTimeout, "redis.connectTimeout in config.json", text))
		case "commandTimeout":
			errs = append(errs, setMillis(&o.CommandTimeout, "redis.commandTimeout in config.json", text))
		}
	})
	o.use(names, enabled)
	return errs
}

func (o *Options) fromEnv(env func(string) string) (errs []error) {
	names, enabled := env("REDIS_HOST") != "" || env("REDIS_PORT") != "", (*bool)(nil)
	if v := env("REDIS_HOST"); v != "" {
		o.Host, o.URL = v, "" // the environment's host wins over the file's URL
	}
	if v := env("REDIS_PORT"); v != "" {
		o.URL = ""
		errs = append(errs, setInt(&o.Port, "REDIS_PORT", v, 1, 65535))
	}
	if v := env("REDIS_PASSWORD"); v != "" {
		o.Password = v
	}
	if v := env("REDIS_DB"); v != "" {
		errs = append(errs, setInt(&o.DB, "REDIS_DB", v, 0, 1<<30))
	}
	if v := env("REDIS_KEY_PREFIX"); v != "" {
		o.KeyPrefix = v
	}
	if v := env("REDIS_URL"); v != "" {
		o.URL, names = v, true
	}
	if v := env("REDIS_ENABLED"); v != "" {
		on, err := readSwitch("REDIS_ENABLED", v)
		if err != nil {
			errs = append(errs, err)
		}
		enabled = &on
	}
	o.use(names, enabled)
	return errs
}

// RedisFields are the members of the redis block, and whether each is a text, a
// number (its text will do) or a switch.
var RedisFields = map[string]string{
	"enabled": "a switch", "url": "a text", "host": "a text", "port": "a number", "password": "a text", "db": "a number",
	"keyPrefix": "a text", "connectTimeout": "a number", "commandTimeout": "a number",
}

// wrongType is the error of a member of the redis block with another type than it
// has. The value of a password is not shown.
func wrongType(key string, v gjson.Result) error {
	want, ok := RedisFields[key], true
	switch want {
	case "a text":
		ok = v.Type == gjson.String
	case "a number":
		ok = v.Type == gjson.Number || v.Type == gjson.String
	case "a switch":
		ok = v.Type != gjson.JSON
	}
	switch {
	case ok:
		return nil
	case key == "password" || key == "url":
		return fmt.Errorf("read redis.%s in config.json: it is not %s: write it in quotes", key, want)
	}
	return fmt.Errorf("read redis.%s in config.json: %.80s is not %s: write it like %s", key, v.Raw, want,
		map[string]string{"a text": `"aiclient:"`, "a number": "6379", "a switch": "true"}[want])
}

// readSwitch reads true or false, the same from a file and from the environment.
func readSwitch(name, text string) (bool, error) {
	on, err := strconv.ParseBool(strings.ToLower(strings.TrimSpace(text)))
	if err != nil {
		return false, fmt.Errorf("read %s: %q is neither true nor false", name, text)
	}
	return on, nil
}

func setInt(to *int, name, text string, low, high int) error {
	n, err := strconv.Atoi(strings.TrimSpace(text))
	if err != nil || n < low || n > high {
		return fmt.Errorf("read %s: %q is not a whole number from %d to %d", name, text, low, high)
	}
	*to = n
	return nil
}

func setMillis(to *time.Duration, name, text string) error {
	var n int
	if err := setInt(&n, name, text, 1, 24*3600*1000); err != nil {
		return fmt.Errorf("%w (milliseconds)", err)
	}
	*to = time.Duration(n) * time.Millisecond
	return nil
}

// String is the address without user and password, for people and logs.
func (o Options) String() string {
	if o.URL == "" {
		return fmt.Sprintf("redis://%s/%d", net.JoinHostPort(o.Host, strconv.Itoa(o.Port)), o.DB)
	}
	u, err := url.Parse(o.URL)
	if _, bad := o.Universal(); err != nil || bad != nil {
		return "redis://(unreadable URL)"
	}
	u.User, u.RawQuery, u.Fragment = nil, "", ""
	return u.String()
}

// Client makes a client of any of the URL's forms. It dials at the first command. RESP2 and no handshake
// extras: what every proxy understands. Commands are not retried: a caller knows
// which may be sent twice.
func (o Options) Client() (redis.UniversalClient, error) {
	u, err := o.Universal()
	if err != nil {
		return nil, err
	}
	// No handshake beyond plain Redis, and no look-up of host names for it.
	u.MaintNotificationsConfig = &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
	return redis.NewUniversalClient(u), nil
}

// Universal are the options that Client uses.
func (o Options) Universal() (*redis.UniversalOptions, error) {
	u := &redis.UniversalOptions{
		Addrs:    []string{net.JoinHostPort(o.Host, strconv.Itoa(o.Port))},
		Password: o.Password, DB: o.DB,
	}
	if o.URL != "" {
		if err := o.fromURL(u); err != nil {
			return nil, err
		}
	}
	u.Protocol, u.DisableIdentity, u.MaxRetries = 2, true, -1
	u.MaintNotificationsConfig = &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
	u.DialTimeout = o.ConnectTimeout
	u.ReadTimeout, u.WriteTimeout = o.CommandTimeout, o.CommandTimeout
	return u, nil
}

// fromURL reads the URL. go-redis's own errors may quote the URL, password
// included, so ours name the place instead.
func (o Options) fromURL(u *redis.UniversalOptions) error {
	parsed, err := url.Parse(o.URL)
	if err != nil {
		return o.badURL("it is not a URL; write redis://user:password@host:port/db, with special characters of the password percent-encoded")
	}
	if parsed.Scheme == "redis-sentinel" {
		return o.sentinelURL(parsed, u)
	}
	opt, err := redis.ParseURL(o.URL)
	if err != nil {
		// Not even host and path are shown: with a "/" in a password, they are part of it.
		return o.badURL("it is not of the form redis://user:password@host:port/db (also rediss://, unix:///path?db=n, redis-sentinel://host:port,host:port/master/db), with special characters of the password percent-encoded")
	}
	u.Addrs, u.Username, u.TLSConfig = []string{opt.Addr}, opt.Username, opt.TLSConfig
	if opt.Password != "" {
		u.Password = opt.Password
	}
	if strings.Trim(parsed.Path, "/") != "" || parsed.Query().Has("db") {
		u.DB = opt.DB
	}
	return nil
}

// badURL names the field, its value unless there may be a password in it, and the
// remedy.
func (o Options) badURL(remedy string) error {
	shown := ""
	if strings.Contains(o.URL, "://") && !strings.ContainsAny(o.URL, "@?") {
		shown = fmt.Sprintf(" %q", o.URL)
	}
	return fmt.Errorf("read the Redis URL%s (--redis-url, REDIS_URL or redis.url in config.json): %s", shown, remedy)
}

// sentinelURL reads redis-sentinel://user:password@host:port,host:port/master/db;
// the database may also be given as ?db=.
func (o Options) sentinelURL(parsed *url.URL, u *redis.UniversalOptions) error {
	master, db, _ := strings.Cut(strings.Trim(parsed.Path, "/"), "/")
	if master == "" || parsed.Host == "" {
		return o.badURL("it names no master; write redis-sentinel://host:port/master/db")
	}
	u.MasterName, u.Addrs = master, strings.Split(parsed.Host, ",")
	for i, addr := range u.Addrs {
		if _, _, err := net.SplitHostPort(addr); err != nil {
			u.Addrs[i] = net.JoinHostPort(addr, "26379")
		}
	}
	u.Username = parsed.User.Username()
	if pw, ok := parsed.User.Password(); ok {
		u.Password = pw
	}
	if db == "" {
		db = parsed.Query().Get("db")
	}
	if db != "" {
		return setInt(&u.DB, "the database of the Redis URL", db, 0, 1<<30)
	}
	return nil
}

// FullURL is one URL with everything: the password and the database are added
// where the URL has none of its own. It is not for people.
func (o Options) FullURL() string {
	if o.URL == "" {
		u := url.URL{Scheme: "redis", Host: net.JoinHostPort(o.Host, strconv.Itoa(o.Port)), Path: "/" + strconv.Itoa(o.DB)}
		if o.Password != "" {
			u.User = url.UserPassword("", o.Password)
		}
		return u.String()
	}
	u, err := url.Parse(o.URL)
	if err != nil {
		return o.URL // whoever uses it says what is wrong with it
	}
	if _, has := u.User.Password(); !has && o.Password != "" {
		u.User = url.UserPassword(u.User.Username(), o.Password)
	}
	path := strings.Trim(u.Path, "/")
	hasDB := u.Query().Has("db") || u.Scheme != "unix" && path != "" && (u.Scheme != "redis-sentinel" || strings.Contains(path, "/"))
	if !hasDB && o.DB != 0 {
		q := u.Query()
		q.Set("db", strconv.Itoa(o.DB))
		u.RawQuery = q.Encode()
	}
	return u.String()
}
