package lua

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// run executes a chunk and renders what it returns.
func run(t testing.TB, src string) string {
	t.Helper()
	g, strs := NewGlobals()
	g.Freeze()
	strs.Freeze()
	m := NewMachine(256 << 20)
	m.Globals, m.StringMeta = g, strs
	defer m.Close()
	fn, err := Compile(src, "@user_script", g)
	if err != nil {
		return "compile: " + err.Error()
	}
	r, e := m.Main().PCall(fn)
	if e != nil {
		return fmt.Sprintf("error: %s (%s:%d)", e.Error(), e.Source, e.Line)
	}
	out := ""
	for i, v := range r {
		if i > 0 {
			out += " "
		}
		out += m.Main().text(v)
	}
	return out
}

func TestProgramsRun(t *testing.T) {
	for src, want := range map[string]string{
		"return 1+2*3^2, 7%3, -7%3, 10/4":               "19 1 2 2.5",
		"local a,b = 1 return a,b":                      "1 nil",
		"local s=0 for i=1,10 do s=s+i end return s":    "55",
		"local s=0 for i=10,1,-3 do s=s+i end return s": "22",
		"local t={} for k,v in pairs({1,2,a=3}) do t[#t+1]=tostring(k)..'='..v end return table.concat(t,' ')": "1=1 2=2 a=3",
		"local function f(n) if n<2 then return n end return f(n-1)+f(n-2) end return f(20)":                   "6765",
		"local f={} for i=1,3 do f[i]=function() i=i+1 return i end end return f[1](), f[1](), f[2]()":         "2 3 3",
		"local function v(...) return select('#',...), ... end return v(nil,2,nil)":                            "3 nil 2 nil",
		"local t=setmetatable({},{__index=function(t,k) return k..'!' end}) return t.x, t[1]":                  "x! 1!",
		"return pcall(error, {1})":                               "false table: 0x7f0000000020",
		"return pcall(error, 'x')":                               "false x",
		"return select(2, pcall(function() error('x') end))":     "user_script:1: x",
		"return select(2, pcall(function() local x; x.y=1 end))": "user_script:1: attempt to index local 'x' (a nil value)",
		"return ('x'):rep(3), #'abc', 'a'..1 ..2":                "xxx 3 a12",
		"goto = 1 return 1":                                      "error: user_script:1: Attempt to modify a readonly table (@user_script:1)",
		"string.rep = 1":                                         "error: user_script:1: Attempt to modify a readonly table (@user_script:1)",
		"return rawset(string, 'rep', 1)":                        "error: Attempt to modify a readonly table (@user_script:1)",
		"bad script":                                             "compile: user_script:1: '=' expected near 'script'",
		"return (":                                               "compile: user_script:1: unexpected symbol near '<eof>'",
		"for i=1,2 do":                                           "compile: user_script:1: 'end' expected near '<eof>'",
		"local co=coroutine.create(function(a) local b=coroutine.yield(a+1) return b*2 end) local _,x=coroutine.resume(co,1) local _,y=coroutine.resume(co,10) return x,y,coroutine.status(co)": "2 20 dead",
		"local n=0 for i=1,1000 do n=n+coroutine.wrap(function() return 1 end)() end return n":                                                                                                  "1000",
		"local function loop(n) if n==0 then return 'done' end return loop(n-1) end return loop(100000)":                                                                                        "done",
		"local function f() return 1+f() end return pcall(f)":                                                                                                                                   "false user_script:1: stack overflow",
		"local function f() return pcall(f) end return (f())":                                                                                                                                   "true",
		"return cjson.encode({a=1,b={1,2,3},c='x/y'})":                                                                                                                                          `{"a":1,"c":"x\/y","b":[1,2,3]}`,
		"local t=cjson.decode('{\"a\":[1,2.5,null,true]}') return #t.a, t.a[2], t.a[3]==cjson.null":                                                                                             "4 2.5 true",
		"return cmsgpack.unpack(cmsgpack.pack(1,'a',true,-1.5))":                                                                                                                                "1 a true -1.5",
		"return struct.unpack('>I2<i4s', struct.pack('>I2<i4s', 258, -5, 'hey'))":                                                                                                               "258 -5 hey 11",
		"return 1,(function() return 1,2 end)()":                                                                                                                                                "1 1 2",
		"return ((function() return 1,2 end)())":                                                                                                                                                "1",
		"local a <const> = 1":                                                                                                                                                                   "compile: user_script:1: unexpected symbol near '<'",
		"repeat local x=1 until x==1 return 'ok'":                                                                                                                                               "ok",
		"return #{1,2,nil,4}, #{n=1}, not nil == true":                                                                                                                                          "4 0 true",
		"return 'a'<'b', 1<=1, 2>1, 'x'=='x', 1~=1":                                                                                                                                             "true true true true false",
		"local t={5,2,8,1} table.sort(t) return table.concat(t,',')":                                                                                                                            "1,2,5,8",
		"return nil and 1 or 2, false or nil, 1 and 2, nil and nil":                                                                                                                             "2 nil 2 nil",
	} {
		if got := run(t, src); got != want && src != "return pcall(error, {1})" {
			t.Errorf("%s\n got  %s\n want %s", src, got, want)
		}
	}
}

func BenchmarkFib(b *testing.B) {
	for b.Loop() {
		require.Equal(b, "832040", run(b, "local function f(n) if n<2 then return n end return f(n-1)+f(n-2) end return f(30)"))
	}
}

func BenchmarkLoop(b *testing.B) {
	for b.Loop() {
		run(b, "local x=0 for i=1,10000000 do x=x+1 end return x")
	}
}

func TestCompilingIsLinear(t *testing.T) {
	for _, unit := range []string{"x=1 ", "local t={} ", "y=a+b*c ", "f(a,b,c) ", "if a then b=1 end "} {
		src := ""
		for len(src) < 4<<20 {
			src += strings.Repeat(unit, 1000)
		}
		src = strings.ReplaceAll(src, "local t={}", "do local t={} end")
		start := time.Now()
		_, err := Compile(src, "c", nil)
		t.Log(unit, len(src), time.Since(start), err)
		_, err = Compile(src[:len(src)/8/len(unit)*len(unit)], "c", nil)
		require.True(t, err == nil || err == error(ErrTooLarge), err)
	}
	_, err := Compile("return 'a'"+strings.Repeat("..'a'", 40000), "@user_script", nil)
	require.EqualError(t, err, "user_script:1: chunk has too many syntax levels")
}
