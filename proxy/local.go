package proxy

import (
	"bytes"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"holdfast/backend"
	"holdfast/backend/command"
	"holdfast/backend/resp"
)

var (
	replyOK   = []byte("+OK\r\n")
	replyPong = []byte("+PONG\r\n")
)

// localCommands are answered by the proxy itself: they are about the client's
// own connection, or about the proxy. Connection-state commands that are not
// here get a dedicated connection to Redis.
var localCommands map[string]func(c *client, argv [][]byte)

func init() {
	localCommands = map[string]func(c *client, argv [][]byte){
		"ping": (*client).cmdPing, "echo": (*client).cmdEcho, "quit": (*client).cmdQuit, "reset": (*client).cmdReset,
		"auth": (*client).cmdAuth, "hello": (*client).cmdHello, "select": (*client).cmdSelect,
		"multi": (*client).cmdMulti, "exec": (*client).cmdExec, "discard": (*client).cmdDiscard,
		"info": (*client).cmdInfo, "unwatch": (*client).cmdUnwatch, "watch": (*client).cmdWatch,
		"command": (*client).cmdCommand, "command|count": (*client).cmdCommand, "command|docs": (*client).cmdCommand,
		"command|info": (*client).cmdCommand, "command|list": (*client).cmdCommand, "command|getkeys": (*client).cmdCommand,
		"command|getkeysandflags": (*client).cmdCommand, "command|help": (*client).cmdCommand,
		"client|id": (*client).clientID, "client|getname": (*client).clientGetName, "client|setname": (*client).clientSetName,
		"client|setinfo": (*client).clientSetInfo, "client|info": (*client).clientInfo, "client|list": (*client).clientList,
		"client|no-evict": (*client).clientOnOff, "client|no-touch": (*client).clientOnOff,
		"client|reply": (*client).clientReply, "client|kill": (*client).clientKill, "client|unblock": (*client).clientUnblock,
	}
}

// local answers a command that concerns the connection or the proxy. False:
// it needs a dedicated connection.
func (c *client) local(cmd *command.Command, argv [][]byte) bool {
	run := localCommands[cmd.Name]
	if cmd.Name == "watch" && c.online() && c.multi == nil && !c.watchLost {
		if len(c.watch) == 0 {
			return false
		}
		c.watchLost = true // keys watched while Redis was away cannot be judged any more
	}
	if run == nil {
		if answer := embeddedCommands[cmd.Name]; answer != nil && c.s.cfg.Upstream == nil {
			run = answer
		}
	}
	if run == nil {
		switch {
		case cmd.Name == "script|debug" && strings.EqualFold(string(argv[2]), "no"):
			c.answer(replyOK) // nobody debugs on a shared connection
			return true
		case c.answerOffline(cmd, argv):
			return true
		case c.online(), cmd.Name == "client|tracking", cmd.Name == "monitor" && c.s.cfg.Upstream == nil:
			return false
		case cmd.Flags&command.ConnState != 0 || c.s.cfg.Upstream != nil:
			c.reject("UPSTREAMDOWN Redis is unavailable and '" + cmd.Name + "' cannot be answered without it")
		default:
			c.reject(command.UnknownError(argv))
		}
		return true
	}
	if c.s.cfg.Upstream == nil {
		defer countAnswer(c, cmd, argv)()
	}
	run(c, argv)
	return true
}

func (c *client) cmdPing(argv [][]byte) {
	switch len(argv) {
	case 1:
		c.answer(replyPong)
	case 2:
		c.answer(resp.AppendBulk(nil, argv[1]))
	default:
		c.reject(command.ByName("ping").ArityError())
	}
}

func (c *client) cmdEcho(argv [][]byte) { c.answer(resp.AppendBulk(nil, argv[1])) }

func (c *client) cmdQuit([][]byte) {
	c.release()
	c.answer(replyOK)
	c.closing = true
}

// cmdReset brings the connection back to its beginning.
func (c *client) cmdReset([][]byte) {
	c.release()
	c.flush()
	c.endSession()
	c.multi, c.watch, c.mute = nil, nil, muteOff
	c.proto, c.db = 2, c.s.baseDB()
	c.name.Store(nil)
	c.user = "default"
	c.authed.Store(!c.s.needsAuth())
	c.publish()
	c.answer([]byte("+RESET\r\n"))
}

func (c *client) cmdUnwatch([][]byte) {
	c.watch, c.watchLost = nil, false
	c.answer(replyOK)
}

// cmdAuth checks AUTH password and AUTH user password.
func (c *client) cmdAuth(argv [][]byte) {
	if len(argv) > 3 {
		c.reject("ERR syntax error")
		return
	}
	if len(argv) == 2 && !c.s.needsAuth() {
		c.reject("ERR AUTH <password> called without any password configured for the default user. Are you sure your configuration is correct?")
		return
	}
	user := "default"
	if len(argv) == 3 {
		user = string(argv[1])
	}
	if !c.login(user, argv[len(argv)-1]) {
		return
	}
	c.answer(replyOK)
}

// login answers the error itself when the password is wrong.
func (c *client) login(user string, password []byte) bool {
	if !c.s.checkPassword(user, password) {
		c.refuseLogin()
		return false
	}
	c.user = user
	c.authed.Store(true)
	c.publish()
	return true
}

// checkPassword compares in constant time, whether or not the user exists.
func (s *Server) checkPassword(user string, password []byte) bool {
	want, ok := s.cfg.Users[user]
	if user == "default" {
		want, ok = s.cfg.Password, true
		if want == "" {
			return !s.needsAuth() || len(s.cfg.Users) == 0
		}
	}
	a, b := sha256.Sum256([]byte(want)), sha256.Sum256(password)
	return subtle.ConstantTimeCompare(a[:], b[:]) == 1 && ok
}

func (s *Server) needsAuth() bool { return s.cfg.Password != "" || len(s.cfg.Users) > 0 }

// cmdHello handles HELLO [2|3 [AUTH user password] [SETNAME name]].
func (c *client) cmdHello(argv [][]byte) {
	proto := c.proto
	var user, password []byte
	var name *string
	if len(argv) > 1 {
		v, err := strconv.Atoi(string(argv[1]))
		if err != nil {
			c.reject("ERR Protocol version is not an integer or out of range")
			return
		}
		if v != 2 && v != 3 {
			c.reject("NOPROTO unsupported protocol version")
			return
		}
		proto = v
	}
	for i := 2; i < len(argv); {
		switch opt := strings.ToUpper(string(argv[i])); {
		case opt == "AUTH" && i+2 < len(argv):
			user, password = argv[i+1], argv[i+2]
			i += 3
		case opt == "SETNAME" && i+1 < len(argv):
			v := string(argv[i+1])
			if !validName(argv[i+1]) {
				c.reject("ERR Client names cannot contain spaces, newlines or special characters.")
				return
			}
			name = &v
			i += 2
		default:
			c.reject(fmt.Sprintf("ERR Syntax error in HELLO option '%s'", argv[i]))
			return
		}
	}
	if user != nil && !c.login(string(user), password) {
		return
	}
	if !c.authed.Load() {
		c.reject("NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO AUTH <user> <pass> option can be used to authenticate the client and select the RESP protocol version at the same time")
		return
	}
	c.flush() // earlier commands of the batch are answered in the old protocol
	c.proto = proto
	c.publish()
	if name != nil {
		c.name.Store(name)
	}
	c.answer(c.s.helloReply(proto, c.id))
}

func (s *Server) helloReply(proto int, id int64) []byte {
	r := resp.AppendMapLen(nil, proto, 7)
	for _, kv := range [][2]string{{"server", "redis"}, {"version", s.redisVersion()}} {
		r = resp.AppendBulkString(r, kv[0])
		r = resp.AppendBulkString(r, kv[1])
	}
	r = resp.AppendInt(resp.AppendBulkString(r, "proto"), int64(proto))
	r = resp.AppendInt(resp.AppendBulkString(r, "id"), id)
	r = resp.AppendBulkString(resp.AppendBulkString(r, "mode"), "standalone")
	r = resp.AppendBulkString(resp.AppendBulkString(r, "role"), "master")
	return resp.AppendArrayLen(resp.AppendBulkString(r, "modules"), 0)
}

// cmdSelect changes the database. Whether it exists is Redis's to say: a
// connection to it is made, and its error is the answer.
func (c *client) cmdSelect(argv [][]byte) {
	db, err := strconv.Atoi(string(argv[1]))
	if err != nil || strconv.Itoa(db) != string(argv[1]) {
		c.reject("ERR value is not an integer or out of range")
		return
	}
	c.flush()
	if db < 0 || db > maxDB || (!c.online() && db >= c.s.databases()) {
		c.reject("ERR DB index is out of range")
		return
	}
	if c.online() && db != c.db {
		call := &backend.Call{}
		call.Payload, call.N = append(call.Payload, "*1\r\n$4\r\nPING\r\n"...), 1
		call.Deadline = time.Now().Add(c.s.cfg.CommandTimeout)
		var refusal resp.ReplyError
		if err := c.s.cfg.Upstream.Do(c.proto, db, call); errors.As(err, &refusal) {
			c.reject(string(refusal))
			return
		}
	}
	c.db = db
	c.publish()
	c.answer(replyOK)
}

const (
	maxDB            = 1 << 16
	defaultDatabases = 16 // where Redis has not said
)

// databases is how many Redis said it has, at the last connect.
func (s *Server) databases() int {
	if s.cfg.Upstream == nil {
		return defaultDatabases
	}
	n, err := strconv.Atoi(s.cfg.Upstream.Status().Info.Parameters["databases"].Value)
	if err != nil {
		return defaultDatabases
	}
	return n
}

func (c *client) cmdCommand(argv [][]byte) { c.answer(command.Reply(c.proto, argv)) }

// validName is Redis's rule for client names: printable, no spaces.
func validName(name []byte) bool {
	return bytes.IndexFunc(name, func(r rune) bool { return r < '!' || r > '~' }) < 0
}
