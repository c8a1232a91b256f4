return redis.REDIS_VERSION_NUM > 0

return {_VERSION, type(_G), tostring(nil), tostring(true), tostring(1e15), tostring(1e100), tostring(-0), tostring(0.1)}

setmetatable(_G, {})

local g = getmetatable(_G) g.__index = {}

redis = function() return 1 end

_G = {}

redis.call = function() return 1 end

cjson.encode = function() return 1 end

cmsgpack.pack = function() return 1 end

bit.lshift = function() return 1 end

struct.pack = nil

math.pi = 3

string.upper = nil

rawset(_G, 'x', 1)

rawset(string, 'upper', 1)

table.insert(_G, 1)

table.insert(string, 'x')

_G.x = 1

_G['tonumber'] = nil

loadfile('some file')

dofile('some file')

print('some data')

return debug

return require

return nosuchglobal.field

return _G.nosuch

local x = nil x.y = 1

local x = nil return x.y

local x = {} return x.y.z

local x = {} x.y.z = 1

local x = {} return x.a.b.c

local x = {} x.f()

local x = {} x:f()

local x = {} return x[1][2]

local x = 5 x()

local x = 5 return x.y

local x = 'a' return x.y

local x = 'a' x.y = 1

return 1 + nil

return 1 + {}

local a = {} return a + 1

local a = {} return 1 + a.b

return 'a' + 1

return 'a' .. nil

local a return 'x' .. a

local a = {} return a.b .. 'x'

local t = {} return t .. 'x' .. 'y'

return 1 .. 2

return #nil

local n = 5 return #n

return -{}

return 1 < 'x'

return {} < {}

return nil < 1

return {} <= 1

return 2^10, 7 % 3

return {2^10, 7 % 3, -7 % 3, 7 % -3, 5.5 % 2, 1/0 == math.huge, 10 / 4 * 2}

return tostring(0/0) == tostring(0/0)

return {tostring(1/0), tostring(-1/0), tostring(2^53), tostring(2^63), tostring(1e14), tostring(123456789012345678)}

for i = 1, 'x' do end

for i = {}, 2 do end

for i = 1, 2, {} do end

for k in 5 do end

for k in nil do end

local r = {} for i = 10, 1, -3 do r[#r+1] = i end return r

local r = {} for i = 1, 0 do r[#r+1] = i end return r

local r = {} for i = 1, 3 do for j = 1, 3 do if j == 2 then break end r[#r+1] = i * 10 + j end end return r

local i = 0 while true do i = i + 1 if i > 5 then break end end return i

local i = 0 repeat local j = i i = i + 1 until j >= 3 return i

local function f(...) return select('#', ...), ... end return {f(1, nil, 3)}

local function f(...) local t = {...} return #t end return f(1, 2, 3)

local function f(a, b, ...) return {a, b, ...} end return f(1, 2, 3, 4)

return {select(-1, 1, 2, 3)}

return {select(2, 'a', 'b', 'c')}

return select(0)

return select('x')

return {unpack({1, 2, 3}, 2)}

return {unpack({1, 2, 3}, 2, 5)}

return {unpack({}, 1, 0)}

return unpack()

return {pcall(error)}

return {pcall(error, nil)}

return {pcall(error, 'x', 0)}

return {pcall(error, 'x', 1)}

return {pcall(error, 'x', 2)}

return {pcall(error, {err = 'tab'})}

return {pcall(function() error('x') end)}

return {pcall(function() error('x', 2) end)}

return {pcall(function() error({code = 5}) end)}

return {pcall(function() local x = nil + 1 end)}

return {pcall(5)}

return {pcall()}

return {xpcall(function() error('x') end, function(e) return 'handled ' .. e end)}

return {xpcall(function() return 1, 2 end, function(e) return e end)}

return {xpcall(function() redis.call('nosuch') end, function(e) return type(e) .. e.err end)}

error('boom')

error('boom', 0)

error('boom', 2)

local function f() error('deep') end f()

local function f() error('deep', 2) end
f()

local function f() return error('tail') end
return f()

error({err = 'My custom'})

error({err = 'ERR with code'})

return error(redis.error_reply('CODE text'))

assert(false)

assert(nil, 'message')

assert(false, 5)

return assert(1, 'x')

local ok, e = pcall(assert, false, 'm') return e

return {type(1), type('x'), type({}), type(nil), type(true), type(type), type(coroutine.create(function() end)), type(cjson.null)}

type()

tostring()

tonumber()

return {tonumber('0x10'), tonumber('10', 2), tonumber('z', 36), tonumber(' 5 '), tonumber('5x'), tonumber(''), tonumber('1e2'), tonumber({})}

tonumber('1', 1)

tonumber({}, 10)

tonumber(nil)

return {rawequal('a', 'a'), rawequal({}, {}), rawget({5}, 1), rawget({}, 'x')}

local t = setmetatable({}, {__index = function(t, k) return k .. '!' end}) return {t.x, t.y, rawget(t, 'x')}

local t = setmetatable({}, {__newindex = function(t, k, v) rawset(t, k, v .. '!') end}) t.a = 'b' return t.a

local t = setmetatable({}, {__call = function(self, a, b) return a + b end}) return t(2, 3)

local t = setmetatable({}, {__add = function(a, b) return 'added' end, __concat = function() return 'joined' end, __unm = function() return 'neg' end, __len = function() return 9 end}) return {t + 1, 1 + t, t .. 'x', 'x' .. t, -t, #t}

local mt = {__eq = function() return true end, __lt = function() return true end, __le = function() return false end} local a, b = setmetatable({}, mt), setmetatable({}, mt) return {a == b, a < b, a <= b, a > b, a >= b, a ~= b}

local t = setmetatable({}, {__tostring = function() return 'custom' end}) return tostring(t)

local t = setmetatable({}, {__metatable = 'locked'}) return getmetatable(t)

local t = setmetatable({}, {__metatable = 'locked'}) setmetatable(t, {})

setmetatable({}, 5)

setmetatable(5, {})

return getmetatable('').__index == string

getmetatable('').__index = {}

return {('x'):rep(3), ('abc'):upper(), ('%d'):format(5)}

return {string.byte('abc', 1, -1)}

return {string.byte('abc', 10)}

return {string.sub('hello', 2, 3), string.sub('hello', -3), string.sub('hello', 0), string.sub('hello', 4, 2), string.sub('hello', -100, 100)}

return {string.rep('ab', 3), string.rep('x', 0), string.rep('x', -1), string.reverse('abc'), string.len('a\0b')}

string.rep()

string.rep('x', 'y')

('x'):rep({})

('x'):bad()

string.sub()

string.format('%d', 'x')

string.format('%s')

return string.format('%5d|%-5d|%05d|%+d|%x|%X|%o|%c|%e|%g|%q|%s|%%', 42, 42, 42, 42, 255, 255, 8, 65, 1.5, 1e20, 'a"b', 'x')

return string.format('%10.3s|%-10s|%.0f|%5.2f', 'abcdef', 'x', 2.5, 3.14159)

return {string.find('hello world', 'o w'), string.find('hello', 'l+'), string.match('key=val', '(%w+)=(%w+)'), string.gsub('hello', 'l', 'L')}

return {string.find('a+b', '+', 1, true), string.find('abc', 'b', -1), string.find('', ''), string.find('abc', '', 10)}

return string.gsub('hello world', '%w+', '%0 %0', 1)

return string.gsub('$name', '%$(%w+)', {name = 'value'})

local r = {} for k, v in string.gmatch('a=1,b=2', '(%w+)=(%w+)') do r[#r+1] = k .. v end return r

string.gsub('x', 'x', 5, 'y')

string.gsub('x', '(', '')

string.find('x', '[a')

string.find('x', '%')

string.gsub('x', 'x', '%9')

local t = {5, 2, 8, 1, 9, 3} table.sort(t) return t

local t = {5, 2, 8, 1, 9, 3} table.sort(t, function(a, b) return a > b end) return t

local t = {} for i = 1, 50 do t[i] = {i % 5, i} end table.sort(t, function(a, b) return a[1] < b[1] end) local r = {} for i, v in ipairs(t) do r[i] = v[2] end return r

local t = {'b', 'a', 'C', 'B'} table.sort(t) return t

table.sort({1, 'x', 2})

table.sort({3, 2, 1, 4, 5, 6, 7, 8, 9, 10}, function(a, b) return true end)

table.sort({1,2}, 5)

local t = {1, 2, 3} table.insert(t, 4) table.insert(t, 1, 0) table.remove(t, 2) return t

local t = {1, 2, 3} return {table.remove(t), table.remove(t, 1), #t, table.remove({}), table.remove(t, 9)}

table.insert({}, 1, 2, 3)

table.insert({})

table.insert(nil, 1)

return {table.concat({1, 2, 3}, ','), table.concat({}, ','), table.concat({1, 2, 3}, ',', 2, 3), table.concat({'a'}, nil)}

table.concat({1, {}, 3})

table.concat({1, 2}, ',', 1, 5)

return {table.getn({1, 2, 3}), table.maxn({1, 2, [10] = 3}), #{1, 2, nil, 4}, #{nil, nil, 3}}

table.setn({}, 1)

local r = {} table.foreach({1, 2, a = 3}, function(k, v) r[#r+1] = tostring(k) .. v end) return r

local r = {} table.foreachi({1, 2, 3}, function(k, v) r[#r+1] = k * v end) return r

return {math.floor(3.7), math.ceil(3.2), math.abs(-5), math.max(1, 5, 3), math.min(4, 2), math.sqrt(16), math.pow(2, 8), math.fmod(7, 3), math.fmod(-7, 3)}

return {tostring(math.pi), tostring(math.huge), math.floor(-3.5), tostring(math.modf(3.7)), tostring(math.modf(-3.7)), math.ldexp(1, 4), tostring(math.frexp(10)), tostring(math.log(10)), tostring(math.exp(1)), tostring(math.log10(1000)), tostring(math.sin(1)), tostring(math.deg(1)), tostring(math.rad(180))}

math.max()

math.floor('x')

math.random(0)

math.random(2, 1)

math.random(1, 2, 3)

math.randomseed(42) return {tostring(math.random()), math.random(100), math.random(5, 10), tostring(math.random())}

math.randomseed(-7) local r = {} for i = 1, 20 do r[i] = math.random(1000) end return r

math.randomseed('x')

local co = coroutine.create(function(a) local b = coroutine.yield(a + 1) return b * 2 end) local r = {coroutine.resume(co, 1)} r[#r+1] = coroutine.status(co) local s = {coroutine.resume(co, 10)} return {r, s, coroutine.status(co), {coroutine.resume(co)}}

local f = coroutine.wrap(function() for i = 1, 3 do coroutine.yield(i) end end) return {f(), f(), f(), f()}

local f = coroutine.wrap(function() error('inside') end) f()

local f = coroutine.wrap(function() error({err = 'table'}) end) f()

local f = coroutine.wrap(function() return 1 end) f() f()

coroutine.yield(1)

return {coroutine.running() == nil, coroutine.wrap(function() return type(coroutine.running()) end)()}

coroutine.create(5)

coroutine.create(print)

coroutine.resume(5)

local co co = coroutine.create(function() return coroutine.resume(co) end) return {coroutine.resume(co)}

return coroutine.wrap(function() return redis.call('ping') end)()

local co = coroutine.create(function() redis.call('set', KEYS[1], 'co') coroutine.yield() end) coroutine.resume(co) return redis.call('get', KEYS[1])

return {pcall(function() coroutine.yield() end)}

return loadstring('return 1 + 1')()

return {loadstring('bad code here')}

return {loadstring('x =', '=name')}

return {loadstring('x =', '@file')}

return {loadstring('line one = \nline two')}

return {loadstring('error("e")', 'a very long chunk name that goes on and on and on and on and on')}

return {pcall(loadstring('error("e")', 'chunk'))}

return {pcall(loadstring('local x = nil; x()'))}

loadstring(string.dump(function() return 1 end))()

loadstring('a = 1')()

return load(function() return nil end)

local n = 0 return load(function() n = n + 1 return ({'return ', '42'})[n] end)()

return getfenv(1) == _G

return {getfenv(0) == _G, getfenv(pcall) == _G}

local f = function() return x end setfenv(f, {x = 5}) return f()

setfenv(1, {redis = redis}) return redis.call('ping')

setfenv(1, {}) x = 1 return x

setfenv(pcall, {})

setfenv(5, {})

getfenv(-1)

return type(newproxy())

local p = newproxy(true) getmetatable(p).__index = function(_, k) return k end return p.hello

newproxy(5)

collectgarbage('bad')

return {collectgarbage('collect'), type(collectgarbage('count'))}

local r = {} for k, v in pairs({1, 2, 3, x = 1, y = 2, z = 3, [10] = 4}) do r[#r+1] = tostring(k) end return r

local t = {} for i = 1, 100 do t['key' .. i] = i end local r = {} for k in pairs(t) do r[#r+1] = k end return r

local t = {} for i = 1, 100 do t[i * 7] = i end local r = {} for k in pairs(t) do r[#r+1] = k end return r

local t = {} for i = 100, 1, -1 do t[i] = i end local r = {} for k in pairs(t) do r[#r+1] = k end return r

local t = {} for i = 1, 20 do t[i / 4] = i end local r = {} for k in pairs(t) do r[#r+1] = tostring(k) end return r

local t = {} for i = 1, 50 do t['k' .. i] = i end for i = 1, 50, 2 do t['k' .. i] = nil end for i = 60, 70 do t['n' .. i] = i end local r = {} for k in pairs(t) do r[#r+1] = k end return r

local t = {a = 1, b = 2, c = 3, d = 4, e = 5, f = 6, g = 7, true} t[false] = 1 t[true] = 2 t[1.5] = 3 t[-1] = 4 t[0] = 5 local r = {} for k in pairs(t) do r[#r+1] = tostring(k) end return r

local t = {1, 2, 3, 4, 5, 6, 7, 8, 9, nil, 11, nil} return {#t, #{nil}, #{nil, 2}, #{1, nil, 3}, #{n = 1, 1, 2}}

return {next({}), next({5}), next({a = 1})}

next({}, 'nokey')

next()

local t = {1, 2, 3} for k, v in pairs(t) do t[k] = nil end return #t

return {[1] = 'a', [2] = 'b', [4] = 'd'}

return {1, 2, {3, {4, {5}}}, 'six', 7.9, true, false, nil, 8}

return 3.99

return -3.99

return 2^53

return 1e100

return {tostring(1e100)}

return 'a\0b'

return function() end

return cjson.null

return {ok = 'fine'}

return {ok = 'two\r\nlines'}

return {err = 'ERR my error'}

return {err = 'My Error'}

return {err = '-dashed'}

return {err = 'no'}

return {err = 'two\r\nlines'}

return {ok = 5}

return {err = 5}

return {1, {err = 'inner'}, {ok = 'inner'}}

return redis.error_reply('My Err')

return redis.error_reply('-My Err')

return redis.error_reply('single')

return redis.error_reply('-single')

return redis.error_reply('')

return redis.error_reply(5)

return redis.error_reply('CODE with text\r\n')

return redis.status_reply('OK status')

return redis.status_reply(5)

return redis.status_reply()

return {double = 'x'}

return {double = 10}

return {big_number = '123456789012345678901234567890'}

return {big_number = '12\r\n3'}

return {verbatim_string = {format = 'txt', string = 'hello'}}

return {verbatim_string = {format = 'txt'}}

return {verbatim_string = {string = 'hello', format = 5}}

return {map = {a = 1, b = 2}}

return {map = {a = {map = {x = 'y'}}}}

return {set = {a = true, b = true}}

return {map = 5}

redis.setresp(3) return {map = {a = true, b = false}}

redis.setresp(3) return true

redis.setresp(3) return false

redis.setresp(3) return {true, false}

redis.setresp(3) return {true, false, nil, 1}

redis.setresp(2) return true

redis.setresp(4)

redis.setresp('x')

redis.setresp()

redis.setresp(2, 3)

redis.call('hset', KEYS[1], 'f', 'v') redis.setresp(3) local r = redis.call('hgetall', KEYS[1]) redis.call('del', KEYS[1]) return {type(r.map), r.map.f}

redis.setresp(3) redis.call('sadd', KEYS[1], 'x') local r = redis.call('smembers', KEYS[1]) redis.call('del', KEYS[1]) return r.set.x

redis.setresp(3) redis.call('zadd', KEYS[1], 1.5, 'x') local r = redis.call('zscore', KEYS[1], 'x') redis.call('del', KEYS[1]) return tostring(r.double)

redis.setresp(3) return redis.call('get', 'nosuch')

redis.setresp(3) return type(redis.call('get', 'nosuch'))

return type(redis.call('get', 'nosuch'))

return redis.call()

return redis.pcall()

return redis.call(nil)

return redis.call({})

return redis.call('get', {})

return redis.call('get', true)

return redis.call('nosuch')

return redis.pcall('nosuch')

return redis.pcall('nosuch').err

return redis.call('get')

return redis.call('get', 'a', 'b')

return redis.call('client', 'list')

return redis.call('client', 'nosuch')

return redis.call('config', 'get', 'x')

return redis.call('cluster', 'reset', 'hard')

return redis.call('eval', 'return 1', 0)

return redis.call('script', 'load', 'return 1')

return redis.call('function', 'list')

return redis.call('fcall', 'x', 0)

return redis.call('subscribe', 'x')

return redis.call('multi')

return redis.call('exec')

return redis.call('watch', 'x')

return redis.call('auth', 'x')

return redis.call('blpop', 'x', 0)

return redis.pcall('brpop', 'x', 0)

return redis.call('blmove', 'a', 'b', 'left', 'left', 0)

return redis.call('bzpopmin', 'x', 0)

return redis.call('xread', 'block', '0', 'streams', 's', '$')

return redis.call('xreadgroup', 'group', 'g', 'c', 'block', 0, 'streams', 's', '>')

return redis.call('wait', '0', '0')

return redis.call('monitor')

return redis.call('shutdown')

return redis.call('debug', 'sleep', 0)

return redis.call('hello', 3)

return redis.call('set', KEYS[1], 1.5, 'ex')

redis.call('set', KEYS[1], 10) return redis.call('incrby', KEYS[1], 2.0)

redis.call('set', KEYS[1], 0.1) return redis.call('get', KEYS[1])

redis.call('set', KEYS[1], 1/3) return redis.call('get', KEYS[1])

redis.call('set', KEYS[1], 1e20) return redis.call('get', KEYS[1])

redis.call('set', KEYS[1], 123456789012345) return redis.call('get', KEYS[1])

redis.call('del', KEYS[1]) return redis.call('lpush', KEYS[1], 1, 2, 3)

return redis.call('lrange', KEYS[1], 0, -1)

return redis.call('incr', KEYS[1])

local ok, e = pcall(redis.call, 'incr', KEYS[1]) return {ok, e, type(e)}

local r = redis.pcall('incr', KEYS[1]) return {type(r), r.err, r.ok == nil}

local r = redis.pcall('set', KEYS[1], 'v') return r.ok

return redis.call('GET', KEYS[1])

return redis.call('PING')

return redis.call('ping', 'hello')

return redis.call('echo', 'hello')

return redis.call('select', 99)

return redis.call('type', KEYS[1])

return {KEYS, ARGV, #KEYS, #ARGV}

KEYS[3] = 'x' ARGV[1] = nil return {KEYS, ARGV}

KEYS = nil

return ARGV[1] + ARGV[3]

return redis.sha1hex('')

return redis.sha1hex('Pizza & Mandolino')

return redis.sha1hex(5)

return redis.sha1hex()

return redis.sha1hex('a', 'b')

redis.log(redis.LOG_DEBUG, 'x')

redis.log()

redis.log('x', 'y')

redis.log(10, 'y')

redis.log(redis.LOG_WARNING)

return {redis.LOG_DEBUG, redis.LOG_VERBOSE, redis.LOG_NOTICE, redis.LOG_WARNING, redis.REPL_NONE, redis.REPL_AOF, redis.REPL_SLAVE, redis.REPL_REPLICA, redis.REPL_ALL}

return redis.replicate_commands()

redis.set_repl(12345)

redis.set_repl()

redis.set_repl(redis.REPL_ALL) return 1

return redis.breakpoint()

return redis.debug('x')

return redis.acl_check_cmd('set', 'x', 1)

return redis.acl_check_cmd('nosuch')

return redis.acl_check_cmd()

return redis.acl_check_cmd({})

return redis.acl_check_cmd('client|list')

redis.nosuch()

return redis.nosuch

return redis.register_function

return cjson.encode({1, 2, 3})

return cjson.encode({a = 1, b = 'x', c = true, d = false, e = cjson.null, f = {}, g = {1, {2}}, h = 1.5, i = -0.25, j = 1e20, k = 12345678901234})

local t = {} for i = 1, 40 do t['field' .. i] = i end return cjson.encode(t)

return cjson.encode('a"b\\c/d\b\f\n\r\t\1\127é')

return cjson.encode({[1] = 1, [2] = 2, [4] = 4})

return cjson.encode({[1] = 1, [100] = 2})

return cjson.encode({[1] = 1, a = 2})

return cjson.encode({[1.5] = 1})

return cjson.encode({[0] = 1})

return cjson.encode({[true] = 1})

return cjson.encode(function() end)

return cjson.encode(coroutine.create(function() end))

return cjson.encode(0/0)

return cjson.encode(1/0)

return cjson.encode({nil, nil, 3})

return cjson.encode(nil)

return cjson.encode()

return cjson.encode(1, 2)

local t = {} t.t = t return cjson.encode(t)

local t = {} for i = 1, 1001 do t = {t} end return cjson.encode(t)

local t = {} for i = 1, 998 do t = {t} end return #cjson.encode(t)

cjson.encode_sparse_array(true) local r = cjson.encode({[1] = 1, [100] = 2}) cjson.encode_sparse_array(false) return r

cjson.encode_sparse_array(false, 0) local r = cjson.encode({[1] = 1, [20] = 2}) cjson.encode_sparse_array(false, 2) return r

return {cjson.encode_sparse_array()}

local r = {cjson.encode_sparse_array(true, 5, 20)} cjson.encode_sparse_array(false, 2, 10) return r

cjson.encode_sparse_array(false, 2, 10) cjson.encode_sparse_array('x')

return {cjson.encode_max_depth(), cjson.decode_max_depth(), cjson.encode_number_precision(), cjson.encode_keep_buffer(), cjson.encode_invalid_numbers(), cjson.decode_invalid_numbers()}

cjson.encode_max_depth(2) local ok, e = pcall(cjson.encode, {{{}}}) cjson.encode_max_depth(1000) return e

cjson.decode_max_depth(2) local ok, e = pcall(cjson.decode, '[[[]]]') cjson.decode_max_depth(1000) return e

cjson.encode_max_depth(0)

cjson.encode_max_depth('x')

cjson.encode_number_precision(15)

cjson.encode_number_precision(3) local r = cjson.encode({1.23456, 123456, 0.000012345}) cjson.encode_number_precision(14) return r

cjson.encode_invalid_numbers(true) local r = cjson.encode({1/0, -1/0, 0/0}) cjson.encode_invalid_numbers(false) return r

cjson.encode_invalid_numbers('null') local r = cjson.encode({1/0, 0/0}) cjson.encode_invalid_numbers(false) return r

cjson.encode_invalid_numbers('bad')

local r = {cjson.encode_keep_buffer(false), cjson.encode_keep_buffer('on')} return r

cjson.decode_invalid_numbers(false) local ok, e = pcall(cjson.decode, '[0x10]') cjson.decode_invalid_numbers(true) return e

return cjson.decode('[1, 2.5, "x", true, false, null, {"a": 1}]')

local t = cjson.decode('{"a": [1, {"b": null}], "c": "\\u00e9\\n\\ud83d\\ude00"}') return {t.a[1], t.a[2].b == cjson.null, t.c}

local t = cjson.decode('{"z": 1, "y": 2, "x": 3, "w": 4, "v": 5}') local r = {} for k in pairs(t) do r[#r+1] = k end return r

return cjson.encode(cjson.decode('{"name": "x", "count": 5, "tags": ["a", "b"], "nested": {"k": "v", "n": null}, "price": 9.99}'))

return cjson.decode('')

return cjson.decode('{')

return cjson.decode('[1, 2')

return cjson.decode('{"a" 1}')

return cjson.decode('{"a": }')

return cjson.decode('{a: 1}')

return cjson.decode('[1,]')

return cjson.decode('[1 2]')

return cjson.decode('"abc')

return cjson.decode('"\\x"')

return cjson.decode('"\\u12"')

return cjson.decode('"\\ud800"')

return cjson.decode('tru')

return cjson.decode('[nul]')

return cjson.decode('1 2')

return cjson.decode('@')

return cjson.decode('-')

return cjson.decode('01')

return cjson.decode('0x1F')

return tostring(cjson.decode('Infinity'))

return tostring(cjson.decode('-inf'))

return tostring(cjson.decode('1e5'))

return tostring(cjson.decode('[1e]'))

return cjson.decode(5)

return cjson.decode({})

return cjson.decode('a\0')

return cjson.decode('\0a')

return {cjson._NAME, cjson._VERSION, type(cjson.new()), type(cjson.new().null)}

local c = cjson.new() c.encode_max_depth(1) return {pcall(c.encode, {{}})}

return cjson.decode('{"a":1}', 2)

local h = {} for c in cmsgpack.pack(1, -1, 127, 128, 255, 256, 65535, 65536, 4294967295, 4294967296, -32, -33, -128, -129, -32768, -32769, -2147483648, -2147483649):gmatch('.') do h[#h+1] = string.format('%02x', c:byte()) end return table.concat(h)

local h = {} for c in cmsgpack.pack(0.1, 1.5, 1e300, -0.0, 2^53, 'x', '', true, false, nil, {}, {1, 2}, {a = 1}, {1, nil, 3}, {[1] = 1, [3] = 3}, {[0] = 1}, {[1.5] = 1}):gmatch('.') do h[#h+1] = string.format('%02x', c:byte()) end return table.concat(h)

local h = {} for c in cmsgpack.pack(('x'):rep(31), ('x'):rep(32), ('x'):rep(255), ('x'):rep(256)):gmatch('.') do h[#h+1] = string.format('%02x', c:byte()) end return #h .. redis.sha1hex(table.concat(h))

local t = {} for i = 1, 20 do t['f' .. i] = i end return redis.sha1hex(cmsgpack.pack(t))

return cmsgpack.pack(1/0, -1/0)

return redis.sha1hex(cmsgpack.pack({1, {2, {3, {a = 'b'}}}, 'x'}))

return cmsgpack.unpack(cmsgpack.pack({1, 2, {3, 'four'}, 5}))

return {cmsgpack.unpack(cmsgpack.pack(1, 'two', -3.5, true))}

return {cmsgpack.unpack_one(cmsgpack.pack(1, 2, 3))}

return {cmsgpack.unpack_one(cmsgpack.pack(1, 2, 3), 1)}

return {cmsgpack.unpack_limit(cmsgpack.pack(1, 2, 3), 2)}

return {cmsgpack.unpack_limit(cmsgpack.pack(1, 2, 3), 2, 1)}

return {cmsgpack.unpack_limit(cmsgpack.pack(1, 2, 3), 0)}

return {cmsgpack.unpack('')}

cmsgpack.pack()

cmsgpack.unpack()

cmsgpack.unpack({})

cmsgpack.unpack('\220')

cmsgpack.unpack('\193')

cmsgpack.unpack('\146\1')

cmsgpack.unpack_one('abc', 10)

cmsgpack.unpack_one('abc', -1)

cmsgpack.unpack_limit('abc', -1)

cmsgpack.unpack_limit('abc')

return {cmsgpack._NAME, cmsgpack._VERSION, cmsgpack._COPYRIGHT, cmsgpack._DESCRIPTION}

local a = {x = nil, y = 5} local b = {x = a} a.x = b return redis.sha1hex(cmsgpack.pack(a))

return cmsgpack.unpack('\207\255\255\255\255\255\255\255\255')

return tostring(cmsgpack.unpack('\211\255\255\255\255\255\255\255\255'))

return {tostring(cmsgpack.unpack('\202\63\192\0\0')), tostring(cmsgpack.unpack('\203\63\240\0\0\0\0\0\0'))}

return struct.pack('>HIbB', 1, 2, -3, 4)

return struct.pack('<i3I5lL', -5, 123456789, -1, 2)

return struct.pack('fd', 1.5, -2.25)

return struct.pack('s', 'hello') .. struct.pack('c3', 'hello') .. struct.pack('c0', 'hello')

return struct.pack('!4bi', 1, 2)

return struct.pack('!bxh', 1, 2)

return {struct.unpack('>HIbB', struct.pack('>HIbB', 1, 2, -3, 4))}

return {struct.unpack('<sc2', 'hello\0xy')}

return {struct.unpack('bc0', '\3abc')}

return {struct.unpack('b', 'abc', 2)}

return {struct.size('bhild'), struct.size('!8bd'), struct.size('c10')}

struct.pack('b')

struct.pack('z', 1)

struct.pack('i100', 1)

struct.pack('c5', 'abc')

struct.pack('!3i', 1)

struct.unpack('i', 'ab')

struct.unpack('c0', 'ab')

struct.unpack('s', 'ab')

struct.unpack('b', 'a', 0)

struct.unpack('b', 'a', -5)

struct.size('s')

struct.size('c0')

struct.pack('i99999999999', 1)

return {bit.tobit(2^32 + 5), bit.bnot(0), bit.band(12, 10, 8), bit.bor(1, 2, 4), bit.bxor(5, 3), bit.lshift(1, 31), bit.rshift(-1, 28), bit.arshift(-8, 1), bit.rol(0x12345678, 8), bit.ror(0x12345678, 8), bit.bswap(0x12345678)}

return {bit.tohex(255), bit.tohex(255, 4), bit.tohex(-1, -8), bit.tohex(255, 0), bit.tohex(255, 100)}

return {bit.band(1.5, 3), bit.bor(-1.5, 0), bit.tobit(1e15), bit.tobit(-1), bit.lshift(1, 33), bit.band('7', 3)}

bit.band()

bit.band('x')

bit.lshift(1)

return bit

bad script

return (

x = = 1

if true then

for i = 1 do end

local function

return 'unfinished

return [[unfinished

goto x

local a <const> = 1

return 1 return 2

break

while true do local x = 1

function f( end

local t = {1, 2

return 0x

return 3x

return 1..2

return "\300"

return '\65\066\n\\'

f
()

return ...

local function f() return ... end

x.y:z = 1

1 = x

f() = 1

return [==[level ]] two]==]

return --[[ comment ]] 5

--[==[ long
comment ]==] return 7

return #!x

#!lua
return 1

#!lua flags=no-writes
return redis.call('set', 'x', 1)

#!lua flags=no-writes,allow-oom
return 5

#!lua flags=
return 1

#!not-lua
return 1

#!lua badger=data
return 1

#!lua flags=allow-oom,what?
return 1

#!lua
error('line two')

#!lua

local ok = 1 + nil

#!lua flags=allow-stale,no-cluster,allow-cross-slot-keys
return 1

local a = 1
local b = 2
return a.b.c

local t = {}
t.x.y = 1

return (function() local function f(n) if n == 0 then return 'end' end return f(n - 1) end return f(100000) end)()

local function f() return 1 + f() end return {pcall(f)}

local function f(n) if n == 0 then return 0 end return 1 + f(n - 1) end return f(15000)

local function f() return pcall(f) end return select('#', f())

local t = setmetatable({}, {}) getmetatable(t).__index = function(t, k) return t[k + 1] end return {pcall(function() return t[1] end)}

local t = {} for i = 1, 110 do t = setmetatable({}, {__index = t}) end return {pcall(function() return t.x end)}

local s = 0 for i = 1, 1000000 do s = s + i % 7 end return s

local t = {} for i = 1, 10000 do t[#t+1] = i end local s = 0 for _, v in ipairs(t) do s = s + v end return s

local s = {} for i = 1, 1000 do s[i] = string.char(i % 256) end return redis.sha1hex(table.concat(s))

local a, b, c = (function() return 1, 2 end)() return {a, b, tostring(c)}

local a, b = ((function() return 1, 2 end)()) return {a, tostring(b)}

local t = {(function() return 1, 2 end)(), (function() return 3, 4 end)()} return t

local x = 1 do local x = 2 end return x

local function counter() local n = 0 return function() n = n + 1 return n end end local a, b = counter(), counter() return {a(), a(), b()}

local fs = {} for i = 1, 3 do fs[i] = function() i = i + 10 return i end end return {fs[1](), fs[1](), fs[2](), fs[3]()}

local a = {} local i = 1 i, a[i] = i + 1, 20 return {i, a[1], a[2]}

local a, b = 1, 2 a, b = b, a return {a, b}

return not nil == true, 1

return {not 1, not nil, 1 and 2, nil and 1, false or 'x', nil or false, 1 or error('x')}

return 2^3^2 .. '|' .. -2^2 .. '|' .. 1 .. 2

return {1 == 1.0, '1' == 1, 'a' < 'b', 'Z' < 'a', '' < 'a', 'a\0b' < 'a\0c'}

local o = {n = 5} function o:get(x) return self.n + x end function o.static(x) return x end return {o:get(1), o.static(2)}

return {10 / 3, tostring(10 / 3), 10 / 3 .. ''}

return tostring(3) .. tostring(3.0) .. tostring(-0.0) .. tostring(1e3)

local t = {} t[1.0] = 'a' t[1] = 'b' return {#t, t[1]}

local t = {} t[0/0] = 1

local t = {} t[nil] = 1

local t = {} return t[nil]

return {math.huge > 1e308, -math.huge < 0}

return string.format('%q', 'line\nnew\r\0"\\')

return ('%s|%s|%s'):format(1, 1.5, 'x')

string.format('%s', nil)

string.format('%s', {})

string.format('%d', 1.5)

return string.format('%i|%5.1f|%g|%g', 3, 2.25, 100000, 1e15)

return {#'\xff', '\x41', '\u{48}'}

return {string.lower('ÀÉ'), string.upper('àé'), #'é'}

local s = '' for w in ('one two  three'):gmatch('%S+') do s = s .. '[' .. w .. ']' end return s

return {('x'):byte(), ('abc'):byte(-1), ('k:v'):match('^(.-):(.*)$')}

return {tostring(2^31), 2^31, -2^31, 2^63, -2^63, 2^64}

return {1e15, 1e16, 123456789.123, -1.9, 0.9}

local f = loadstring('local a = ... return a') return f(5)

return {ipairs({})}

ipairs()

pairs(nil)

pairs()

for i, v in ipairs(nil) do end

local t = setmetatable({1, 2}, {__index = function(t, i) if i < 5 then return i * 10 end end}) local r = {} for i, v in ipairs(t) do r[i] = v end return r

return io

return {__redis__err__handler}

return table.unpack

return string.pack

return math.tointeger

return utf8

return bit32

local t = {} for k in pairs(_G) do if k ~= 'os' and k ~= '__redis__err__handler' and k ~= '__redis__compare_helper' then t[#t+1] = k end end table.sort(t) return t

local t = {} for k in pairs(redis) do t[#t+1] = k end table.sort(t) return t

local t = {} for _, m in ipairs({'string', 'table', 'math', 'coroutine', 'cjson', 'cmsgpack', 'struct', 'bit'}) do for k in pairs(_G[m]) do t[#t+1] = m .. '.' .. k end end table.sort(t) return t
