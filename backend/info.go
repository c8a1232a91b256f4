package backend

import (
	"bytes"
	"strconv"
	"strings"
	"time"

	"holdfast/backend/resp"
)

// Info is what is known of the server since the last connect.
type Info struct {
	RunID   string // changes with each start of the server; "" when it does not tell
	Version string // such as "7.0.15"
	Flavor  string // "redis" or "valkey"
	Role    string // "master"
	// Coherent: invalidations arrive, so cached replies may be trusted.
	Coherent bool
	// StaleKilled: no connection of ours from before can still run commands on
	// this server. False when CLIENT KILL or INFO is forbidden to our user.
	StaleKilled bool
	Time        ServerTime
	Parameters  Parameters // of its configuration, as far as it tells
	ConnectedAt time.Time
}

// field finds "name:value" in the text of INFO.
func field(info []byte, name string) string {
	for len(info) > 0 {
		var line []byte
		line, info, _ = bytes.Cut(info, []byte("\r\n"))
		if k, v, ok := bytes.Cut(line, []byte(":")); ok && string(k) == name {
			return string(v)
		}
	}
	return ""
}

// identify reads the replies of INFO server, INFO replication and HELLO. INFO
// may be forbidden; HELLO then still tells version and role.
func identify(server, replication, hello resp.Value) Info {
	in := Info{RunID: field(server.Str, "run_id"), Version: field(server.Str, "redis_version"), Flavor: "redis", Role: field(replication.Str, "role")}
	if v := field(server.Str, "valkey_version"); v != "" {
		in.Version, in.Flavor = v, "valkey"
	}
	get := func(name string) string { v, _ := hello.Get(name); return v.Text() }
	if in.Version == "" {
		in.Version = get("version")
		if s := get("server"); s != "" {
			in.Flavor = s
		}
	}
	if in.Role == "" {
		in.Role = get("role")
	}
	if in.Role == "replica" {
		in.Role = "slave"
	}
	return in
}

// tracksReliably reports whether a server's tracking can be trusted. Redis
// before 6.2.11, and 7.0.0 to 7.0.8, can put an invalidation inside another
// reply or lose it.
func (in Info) tracksReliably() bool {
	if in.Flavor == "valkey" {
		return true
	}
	v := in.numbers()
	switch {
	case v[0] < 6 || v[0] == 6 && v[1] < 2:
		return false
	case v[0] == 6 && v[1] == 2:
		return v[2] >= 11
	case v[0] == 7 && v[1] == 0:
		return v[2] >= 9
	}
	return true
}

// numbers are those of the version, zeros for one that is not known.
func (in Info) numbers() (v [3]int) {
	for i, part := range strings.SplitN(in.Version, ".", 3) {
		digits := part
		if j := strings.IndexFunc(part, func(r rune) bool { return r < '0' || r > '9' }); j >= 0 {
			digits = part[:j]
		}
		v[i], _ = strconv.Atoi(digits)
	}
	return v
}

// NoPXAT reports whether the server is known to be older than Redis 6.2, whose SET
// does not take an absolute expiry.
func (in Info) NoPXAT() bool {
	v := in.numbers()
	return in.Version != "" && in.Flavor == "redis" && (v[0] < 6 || v[0] == 6 && v[1] < 2)
}
