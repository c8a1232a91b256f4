package backend

import (
	"strings"

	"holdfast/backend/resp"
)

// parameters are those of the server's configuration that clients and frameworks
// ask for when they connect. None of them is a secret.
var parameters = []string{
	"databases", "maxmemory", "maxmemory-policy", "save", "appendonly", "appendfsync", "timeout",
	"notify-keyspace-events", "proto-max-bulk-len", "cluster-enabled",
}

// askParameters are the commands that ask for them, one each: several patterns in
// one CONFIG GET are of Redis 7.
func askParameters() (cmds [][]string) {
	for _, name := range parameters {
		cmds = append(cmds, []string{"CONFIG", "GET", name})
	}
	return cmds
}

// Parameters are what a server answered to CONFIG GET of single parameters. A
// parameter that it does not have is in it, and not Set; one that it did not
// tell, because CONFIG is forbidden to our user, is not in it.
type Parameters map[string]Parameter

// Parameter is the value of one.
type Parameter struct {
	Value string
	Set   bool
}

func readParameters(replies []resp.Value) Parameters {
	out := Parameters{}
	for i, v := range replies {
		if v.IsError() || v.Kind != resp.KindArray && v.Kind != resp.KindMap {
			continue
		}
		p := Parameter{}
		for j := 0; j+1 < len(v.Elems); j += 2 {
			if strings.EqualFold(v.Elems[j].Text(), parameters[i]) {
				p = Parameter{v.Elems[j+1].Text(), true}
			}
		}
		out[parameters[i]] = p
	}
	return out
}
