package engine

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"holdfast/backend/redistest"
)

// libraryCalls are what scripts return: what Lua 5.1 makes of strings and numbers.
var libraryCalls = strings.Split(strings.TrimSpace(`
tonumber('1e3')
tonumber('010')
tonumber('0x1F')
tonumber('-0x10')
tonumber('1F',16)
tonumber('zz',36)
tonumber('7',2)
tonumber('')
tonumber(' 12 ')
tonumber('12abc')
tonumber('1_000')
tonumber('inf')
tonumber('0b11')
tonumber('9223372036854775808')
tonumber('.5')*2
tostring(-0.0)
string.format('%d|%5d|%-5d|%05d|%+d|%i|%u', 3.7, '12', 3, '42', 3, 5, 5)
string.format('%x|%X|%#x|%o|%c', -1, '255', 255, 8, 65)
string.format('%g|%g|%g|%G|%.14g|%.3f|%f|%5.1f|%e', 0.1+0.2, 1000000, 1e20, 1e-10, 0.1, '1.5', 1, math.pi, 12345.678)
string.format('%f|%g|%5.1f', 1/0, -1/0, 1/0)
string.format('%s|%5s|%-5s|%.2s|%s|%s', 1, 'ab', 'ab', 'abcdef', 1e15, 1/3)
string.format('%q', 'a "b" \n \r \0')
string.format('%d%%', 5)
string.format('%5s|', 'é')
string.char(72, 105)
string.upper('aé')
string.lower('AÉ')
{string.find('hello', '', 3)}
{string.find('hello', '', 10)}
{string.find('abc', 'b', 10, true)}
{string.find('hello', '(l)(l)')}
{string.find('hello', '()ll()')}
{string.find('a.b', '.', 2, true)}
{string.find('abc', '^b', 2)}
{string.find('hello', 'l', -2)}
{string.match('key:123:x', '(%w+):(%d+)')}
{string.match('  trim  ', '^%s*(.-)%s*$')}
{string.match('f(a(b)c)d', '%b()')}
{string.match('THE (quick) fox', '%f[%a]%a+')}
{string.match('abcabc', '(abc)%1')}
{string.match('a]b', '[]]')}
{string.match('a-b', '[a%-]+')}
{string.match('a-b', '[a-]+')}
{string.match('abc', '[^a]+', -1)}
{string.match('colour', 'colou?r')}
{string.match('\0a\0', '%z')}
{string.match('abc', '', 10)}
{string.gsub('hello', '', '-')}
{string.gsub('hello world', 'o', '0', 1)}
{string.gsub('abc', 'b', '%x%%')}
{string.gsub('abc', 'b', 5)}
{string.gsub('abc def', '(%w)(%w)', '%2%1%0')}
{string.gsub('abc', '%w', {a='1', b=2})}
{string.gsub('abc', '%w', function(x) if x=='b' then return (x:gsub('b','B')) end end)}
{string.gsub('aaa', '^a', 'x')}
{string.gsub('abc', '()', '%1')}
(function() local r={} for k,v in string.gmatch('a=1, b=2', '(%w+)=(%w+)') do r[#r+1]=k..v end return r end)()
(function() local r={} for w in ('a,b,,c'):gmatch('([^,]*)') do r[#r+1]=w end return r end)()
(function() local r={} for w in ('aab'):gmatch('^a') do r[#r+1]=w end return r end)()
(function() local function f(n) if n==0 then return 0 end return 1+f(n-1) end return f(1500) end)()
(function() local t={} for i=1,7000 do t[i]=i end return redis.call('rpush','big',unpack(t)) end)()
cjson.decode('"a\tb"')
`), "\n")

// refusedCalls are errors in Redis, whose words may be others here.
var refusedCalls = []string{"string.format('%d')", "string.format('%d', 'x')", "string.format('%y', 1)", "string.format('%s', nil)", "string.char(256)",
	"string.match('a', '%')", "string.match('a', '[a')", "string.match('a', '(a')", "string.match('a', 'a)')", "string.match('a', '%2')", "string.match('a', '%f')",
	"string.gsub('a', 'a', '%2')", "string.gsub('a', 'a', function() return {} end)", "string.gsub('a', 'a', {a=true})",
	"(function() local t={} for i=1,9000 do t[i]=i end return select('#',unpack(t)) end)()"}

func TestScriptsHaveTheLibraryOfRedis(t *testing.T) {
	c := dial(t, redistest.Start(t).Addr(), 2)
	e := newTestEngine(t, nil)
	for _, call := range append(libraryCalls, refusedCalls...) {
		argv := toBytes([]string{"EVAL", "return " + call, "0"})
		want, got := string(c.do(argv)), string(e.Do(0, 2, argv).Reply)
		if want[0] == '-' {
			want, got = want[:1], got[:1]
		}
		require.Equal(t, want, got, call)
	}
}

// TestPatternsOnLongStrings: a matcher that recurses for each character ends the process on these.
func TestPatternsOnLongStrings(t *testing.T) {
	e := newTestEngine(t, nil)
	long := strings.Repeat("a,", 4<<20)
	for call, want := range map[string]string{
		"#string.match(ARGV[1], '^(.*),$')":                      ":8388607\r\n",
		"#string.match(ARGV[1], '.-$')":                          ":8388608\r\n",
		"select(2, string.gsub(ARGV[1]:sub(1, 2^20), ',', ';'))": ":524288\r\n",
		"string.match(ARGV[1], string.rep('(', 40))":             "-ERR user_script:1: too many captures",
		"string.match(ARGV[1], string.rep('.?', 1000000))":       "-ERR user_script:1: pattern too complex",
	} {
		reply := e.Do(0, 2, toBytes([]string{"EVAL", "return " + call, "0", long})).Reply
		require.True(t, strings.HasPrefix(string(reply), want), "%s: %.100q", call, reply)
	}
}

// TestRecursionsEnd: these fill the memory, or take longer than everybody can wait.
func TestRecursionsEnd(t *testing.T) {
	e := newTestEngine(t, nil)
	for body, want := range map[string]string{
		"local function f() coroutine.wrap(f)() end return f()":                                   "C stack overflow",
		"local function f() return coroutine.resume(coroutine.create(f)) end f() return [[done]]": "done",
		"local function f() return pcall(f) end return f()":                                       ":1",
		"local function f(s) return (s:gsub('.', f)) end return f('a')":                           "overflow",
		"local n=0 for i=1,1000 do n=n+coroutine.wrap(function() return 1 end)() end return n":    ":1000",
	} {
		require.Contains(t, string(e.Do(0, 2, toBytes([]string{"EVAL", body, "0"})).Reply), want, body)
	}
}
