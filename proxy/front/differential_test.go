package front

import (
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"holdfast/backend/redistest"
)

// streams are byte streams whose replies must be those of the real server.
var streams = map[string]string{
	"one command":                 command("PING"),
	"pipeline":                    strings.Repeat(command("PING")+command("ECHO", "hello")+command("SET", "k", "v")+command("GET", "k"), 50),
	"inline":                      "PING\r\nSET a b\r\nGET a\r\n",
	"inline without CR":           "PING\nECHO x\n",
	"inline between arrays":       command("PING") + "ECHO mid\r\n" + command("ECHO", "after"),
	"blank lines":                 "\r\n\n  \r\n \t \n" + command("PING") + "\r\n\r\nPING\r\n",
	"only blank lines":            strings.Repeat("\r\n", 3000),
	"empty array":                 "*0\r\n" + command("PING") + "*0\r\n",
	"negative array":              "*-1\r\n*-2147483649\r\n" + command("PING"),
	"empty arguments":             command("ECHO", "") + command("", "") + command("SET", "", "") + command("GET", ""),
	"unchecked line ends":         "*1\rX$4\rYPINGab*2\r\r$4\r\n\x00\x01\x02\x03zz$0\rq\x00\x00" + command("PING"),
	"binary":                      command("ECHO", "\x00\r\n$-1\r\n*3\xff"),
	"quotes":                      `ECHO "a\x41\n\q\t\a\b\\\""` + "\r\n" + `ECHO 'a\'b\x41\n'` + "\r\nECHO \"\"\r\nECHO ''\r\nECHO a\"b\"\r\nECHO \"\\x4\"\r\nECHO \"\\xzz\"\r\n",
	"empty name, quoted":          `""` + "\r\nPING\r\n",
	"odd blanks":                  "ECHO \va\f\r\nECHO a\tb\r\n\tPING\r\nECHO \"a\"\vPING\r\nECHO a\vb\r\nPING\r\r\nECHO a\rb\r\nECHO \"a\"\r\r\n",
	"high bytes":                  "PING\xa0\r\nECHO a\x85b\r\n\xff\xfe\r\n",
	"unbalanced double":           "PING\r\nECHO \"ab\r\nPING\r\n",
	"unbalanced single":           "ECHO 'ab\r\nPING\r\n",
	"unbalanced by backslash":     "ECHO \"ab\\\"\r\n",
	"quote ends by backslash":     "ECHO \"ab\\\r\n",
	"text after a quote":          "ECHO \"a\"b\r\n",
	"text after a single quote":   "ECHO 'a'b\r\n",
	"dollar inline":               "$-1\r\n$4\r\nPING\r\n",
	"NUL hides an inline line":    command("PING") + "PI\x00NG\r\nPING\r\n",
	"NUL hides an array header":   command("PING") + "*\x001\r\n" + command("PING"),
	"NUL hides a bulk header":     command("PING") + "*1\r\n\x00\r\n" + command("PING"),
	"array length: text":          command("PING") + "*x\r\n",
	"array length: empty":         "*\r\n",
	"array length: leading zero":  "*01\r\n",
	"array length: plus":          "*+1\r\n",
	"array length: minus zero":    "*-0\r\n",
	"array length: LF inside":     "*1\n2\r\n",
	"array length: overflow":      "*9223372036854775808\r\n",
	"array length: smallest":      "*-9223372036854775808\r\nPING\r\n",
	"array length: too small":     "*-9223372036854775809\r\n",
	"array length: too many":      "*2147483648\r\n",
	"array length: long":          "*" + strings.Repeat("1", 40) + "\r\n",
	"bulk length: text":           command("PING") + "*3\r\n$x\r\n",
	"bulk length: negative":       "*1\r\n$-1\r\n",
	"bulk length: smallest":       command("PING") + "*1\r\n$-9223372036854775808\r\n\r\n",
	"violation in a later header": command("PING") + "*8\r\n$4\r\nECHO\r\n$1\r\na\r\nn'\r\n",
	"bulk length: empty":          "*1\r\n$\r\n",
	"bulk length: overflow":       "*1\r\n$9223372036854775807\r\n",
	"bulk length: over the limit": "*1\r\n$536870913\r\n",
	"no dollar":                   command("PING") + "*1\r\nX\r\n",
	"no dollar, high byte":        "*1\r\n\xff\r\n",
	"no dollar, CR":               "*1\r\n\r\r\n",
	"no dollar, LF":               "*1\r\n\n\r\n",
	"no dollar, unfinished":       "*1\r\nX",
	"no dollar, percent":          "*1\r\n%s%n\r\n",
	"too long inline":             command("PING") + strings.Repeat("A", 65537),
	"long inline, unfinished":     strings.Repeat("A", 65536),
	"too long array header":       "*" + strings.Repeat("1", 65536),
	"too long bulk header":        "*1\r\n$" + strings.Repeat("1", 65536),
	"violation after a big one":   command("SET", "big", strings.Repeat("x", 70000)) + command("GET", "big") + "*x\r\n",
	"unfinished":                  command("PING") + "*2\r\n$4\r\nECHO\r\n$5\r\nab",
	"unfinished header":           command("PING") + "*2\r",
	"straddling":                  strings.Repeat(command("ECHO", strings.Repeat("s", 333)), 60),
	"size of the buffer":          command("ECHO", strings.Repeat("b", 4096-24)) + command("PING") + command("ECHO", strings.Repeat("b", 4096-25)) + command("PING"),
	"larger and larger":           grow(),
	"many arguments":              command("FLUSHALL") + command(append([]string{"RPUSH", "list"}, strings.Split(strings.Repeat("v ", 3000), " ")...)...) + command("LRANGE", "list", "-2", "-1"),
	"long inline":                 "ECHO " + strings.Repeat("y", 9000) + "\r\nPING\r\n",
	"many inline":                 strings.Repeat("SET k v\r\nGET k\r\n", 700),
}

func grow() string {
	var s strings.Builder
	for n := 1; n < 300_000; n = n*2 + 1 {
		s.WriteString(command("SET", "g", strings.Repeat("g", n)))
		s.WriteString(command("STRLEN", "g"))
		s.WriteString(command("PING"))
	}
	return s.String()
}

func TestRepliesAreThoseOfTheRealServer(t *testing.T) {
	direct, behind := redistest.Start(t), redistest.Start(t)
	l := serve(t, Config{Limits: asServer}, forward(behind.Addr()))
	for name, stream := range streams {
		t.Run(name, func(t *testing.T) {
			want := exchange(t, direct.Addr(), [][]byte{[]byte(stream)})
			for how, chunks := range chunkings(t, stream) {
				require.Equal(t, want, exchange(t, l.Addr().String(), chunks), how)
			}
		})
	}
}

// chunkings cuts a stream whole, byte by byte (the ends of a long one), and randomly.
func chunkings(t testing.TB, stream string) map[string][][]byte {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 1))
	b := []byte(stream)
	var bytewise, random [][]byte
	for rest := b; len(rest) > 0; {
		n := 1
		if len(b)-len(rest) > 500 && len(rest) > 500 {
			n = len(rest) - 500
		}
		bytewise, rest = append(bytewise, rest[:n]), rest[n:]
	}
	for rest := b; len(rest) > 0; {
		n := 1 + rng.IntN(min(len(rest), 1+rng.IntN(6000)))
		random, rest = append(random, rest[:n]), rest[n:]
	}
	return map[string][][]byte{"whole": {b}, "byte by byte": bytewise, "random chunks": random}
}

func TestUnauthenticatedCaps(t *testing.T) {
	direct := redistest.Start(t, "--requirepass", "pw")
	behind := redistest.Start(t, "--requirepass", "pw")
	cfg := Config{Authed: authedAfterAuth(t)}
	l := serve(t, cfg, forwardAuth(forward(behind.Addr())))
	ten := strings.Split(strings.TrimSpace(strings.Repeat("a ", 10)), " ")
	for name, stream := range map[string]string{
		"ten arguments":           command(ten...),
		"eleven arguments":        command(append(ten, "b")...),
		"16384 bytes":             command("ECHO", strings.Repeat("x", 16384)),
		"16385 bytes":             command("ECHO", strings.Repeat("x", 16385)),
		"after AUTH":              command("AUTH", "pw") + command("ECHO", strings.Repeat("x", 16385)) + command(append([]string{"DEL"}, ten...)...),
		"after AUTH, many":        command("AUTH", "pw") + command(append([]string{"DEL"}, ten...)...),
		"after a wrong AUTH":      command("AUTH", "no") + command(append([]string{"DEL"}, ten...)...),
		"wrong before the length": command("PING") + "*11\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			want := exchange(t, direct.Addr(), [][]byte{[]byte(stream)})
			for how, chunks := range chunkings(t, stream) {
				require.Equal(t, want, exchange(t, l.Addr().String(), chunks), how)
			}
		})
	}
}
