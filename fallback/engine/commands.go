package engine

// Commands that miniredis answers as Redis does, or nearly so, by family; the
// handlers of the others are in the files of their families.

func read(arity, first, last, step int) *spec {
	return &spec{arity: arity, first: first, last: last, step: step}
}

func write(arity, first, last, step int, f flags) *spec {
	return &spec{arity: arity, flags: fWrite | f, first: first, last: last, step: step}
}

func (s *spec) with(run func(c *call)) *spec { s.run = run; return s }
func (s *spec) short(plain func(q *plainRead) bool) *spec {
	s.plain = plain
	return s
}
func (s *spec) unsure() *spec { s.flags |= fUnsure; return s }
func (s *spec) keyed(k func([]string) []string) *spec {
	s.keys = k
	return s
}

func stringCommands() map[string]*spec {
	return map[string]*spec{
		"GET": read(2, 1, 1, 1).with((*call).get).short((*plainRead).get), "MGET": read(-2, 1, -1, 1).short((*plainRead).mget), "STRLEN": read(2, 1, 1, 1),
		"GETRANGE": read(4, 1, 1, 1).with((*call).getrange), "SUBSTR": read(4, 1, 1, 1).with((*call).getrange),
		"GETBIT": read(3, 1, 1, 1), "BITCOUNT": read(-2, 1, 1, 1).with((*call).bitcount), "BITPOS": read(-3, 1, 1, 1),
		"SET": write(-3, 1, 1, 1, 0).with((*call).set), "SETNX": write(3, 1, 1, 1, fZero),
		"SETEX": write(4, 1, 1, 1, 0).with((*call).setex), "PSETEX": write(4, 1, 1, 1, 0).with((*call).setex),
		"GETEX": write(-2, 1, 1, 1, 0).with((*call).getex), "GETDEL": write(2, 1, 1, 1, fNil),
		"GETSET": write(3, 1, 1, 1, 0), "APPEND": write(3, 1, 1, 1, 0),
		"SETRANGE": write(4, 1, 1, 1, fZero).with((*call).setrange), "SETBIT": write(4, 1, 1, 1, 0).with((*call).setbit),
		"INCR": write(2, 1, 1, 1, 0).with((*call).incr), "DECR": write(2, 1, 1, 1, 0).with((*call).incr),
		"INCRBY": write(3, 1, 1, 1, 0).with((*call).incr), "DECRBY": write(3, 1, 1, 1, 0).with((*call).incr),
		"INCRBYFLOAT": write(3, 1, 1, 1, 0).with((*call).incrbyfloat),
		"MSET":        write(-3, 1, -1, 2, 0).with((*call).mset), "MSETNX": write(-3, 1, -1, 2, fZero).with((*call).mset),
		"BITOP": write(-4, 2, -1, 1, 0).with((*call).bitop),
	}
}

func hashCommands() map[string]*spec {
	return map[string]*spec{
		"HGET": read(3, 1, 1, 1).short((*plainRead).hget), "HMGET": read(-3, 1, 1, 1), "HGETALL": read(2, 1, 1, 1).unsure().short((*plainRead).hgetall),
		"HKEYS": read(2, 1, 1, 1).unsure(), "HVALS": read(2, 1, 1, 1).unsure(), "HLEN": read(2, 1, 1, 1),
		"HEXISTS": read(3, 1, 1, 1), "HSTRLEN": read(3, 1, 1, 1),
		"HSCAN":      read(-3, 1, 1, 1).with((*call).scanElements).unsure(),
		"HRANDFIELD": read(-2, 1, 1, 1).unsure(),
		"HSET":       write(-4, 1, 1, 1, 0).with((*call).hset), "HMSET": write(-4, 1, 1, 1, 0).with((*call).hset),
		"HSETNX": write(4, 1, 1, 1, fZero), "HDEL": write(-3, 1, 1, 1, fZero),
		"HINCRBY": write(4, 1, 1, 1, 0).with((*call).hincrby), "HINCRBYFLOAT": write(4, 1, 1, 1, 0).with((*call).hincrbyfloat),
		"HEXPIRE":   write(-6, 1, 1, 1, 0).with((*call).hexpire),
		"HPEXPIRE":  write(-6, 1, 1, 1, 0).with((*call).hexpire),
		"HEXPIREAT": write(-6, 1, 1, 1, 0).with((*call).hexpire), "HPEXPIREAT": write(-6, 1, 1, 1, 0).with((*call).hexpire),
		"HPERSIST": write(-5, 1, 1, 1, 0),
		"HTTL":     read(-5, 1, 1, 1).with((*call).httl).unsure(), "HPTTL": read(-5, 1, 1, 1).with((*call).httl).unsure(),
		"HEXPIRETIME": read(-5, 1, 1, 1).with((*call).httl), "HPEXPIRETIME": read(-5, 1, 1, 1).with((*call).httl),
	}
}

func listCommands() map[string]*spec {
	return map[string]*spec{
		"LINDEX": read(3, 1, 1, 1), "LLEN": read(2, 1, 1, 1), "LRANGE": read(4, 1, 1, 1), "LPOS": read(-3, 1, 1, 1),
		"LPUSH": write(-3, 1, 1, 1, 0), "RPUSH": write(-3, 1, 1, 1, 0),
		"LPUSHX": write(-3, 1, 1, 1, fZero), "RPUSHX": write(-3, 1, 1, 1, fZero),
		"LPOP": write(-2, 1, 1, 1, fNil).with((*call).lpop), "RPOP": write(-2, 1, 1, 1, fNil).with((*call).lpop),
		"LSET": write(4, 1, 1, 1, 0), "LTRIM": write(4, 1, 1, 1, 0),
		"LREM":    write(4, 1, 1, 1, fZero),
		"LINSERT": write(5, 1, 1, 1, fZero).with((*call).linsert),
		"LMOVE":   write(5, 1, 2, 1, fNil).with((*call).lmove), "RPOPLPUSH": write(3, 1, 2, 1, fNil).with((*call).lmove),
		"LMPOP": write(-4, 0, 0, 0, fNil).keyed(counted(1)),
		"BLPOP": write(-3, 1, -2, 1, fNil).with((*call).blockingPop), "BRPOP": write(-3, 1, -2, 1, fNil).with((*call).blockingPop),
		"BLMOVE":     write(6, 1, 2, 1, fNil).with((*call).blockingMove),
		"BRPOPLPUSH": write(4, 1, 2, 1, fNil).with((*call).blockingMove),
		"BLMPOP":     write(-5, 0, 0, 0, fNil).keyed(counted(2)).with((*call).blockingMpop),
	}
}

func setCommands() map[string]*spec {
	return map[string]*spec{
		"SCARD": read(2, 1, 1, 1), "SISMEMBER": read(3, 1, 1, 1), "SMISMEMBER": read(-3, 1, 1, 1),
		"SMEMBERS": read(2, 1, 1, 1).unsure(), "SRANDMEMBER": read(-2, 1, 1, 1).unsure(),
		"SSCAN": read(-3, 1, 1, 1).with((*call).scanElements).unsure(),
		"SDIFF": read(-2, 1, -1, 1).unsure(), "SINTER": read(-2, 1, -1, 1).unsure(),
		"SUNION": read(-2, 1, -1, 1).unsure(), "SINTERCARD": read(-3, 0, 0, 0).keyed(counted(1)),
		"SADD": write(-3, 1, 1, 1, fZero), "SREM": write(-3, 1, 1, 1, fZero),
		"SMOVE":      write(4, 1, 2, 1, fZero),
		"SPOP":       write(-2, 1, 1, 1, fNil).with((*call).spop).unsure(),
		"SDIFFSTORE": write(-3, 1, -1, 1, 0).with((*call).store), "SINTERSTORE": write(-3, 1, -1, 1, 0).with((*call).store),
		"SUNIONSTORE": write(-3, 1, -1, 1, 0).with((*call).store),
	}
}

func zsetCommands() map[string]*spec {
	m := map[string]*spec{
		"ZCARD": read(2, 1, 1, 1), "ZCOUNT": read(4, 1, 1, 1).with((*call).byScore), "ZLEXCOUNT": read(4, 1, 1, 1),
		"ZSCORE": read(3, 1, 1, 1), "ZMSCORE": read(-3, 1, 1, 1), "ZRANGE": read(-4, 1, 1, 1),
		"ZRANK": read(3, 1, 1, 1), "ZREVRANK": read(3, 1, 1, 1),
		"ZRANDMEMBER": read(-2, 1, 1, 1).unsure(), "ZSCAN": read(-3, 1, 1, 1).with((*call).scanElements).unsure(),
		"ZUNION": read(-3, 0, 0, 0).keyed(counted(1)), "ZINTER": read(-3, 0, 0, 0).keyed(counted(1)).with((*call).zinter),
		"ZDIFF":      read(-3, 0, 0, 0).keyed(counted(1)).with((*call).zdiff),
		"ZINTERCARD": read(-3, 0, 0, 0).keyed(counted(1)).with((*call).zintercard),
		"ZADD":       write(-4, 1, 1, 1, fNil).with((*call).zadd), "ZINCRBY": write(4, 1, 1, 1, 0).with((*call).zincrby),
		"ZREM": write(-3, 1, 1, 1, fZero), "ZREMRANGEBYLEX": write(4, 1, 1, 1, fZero),
		"ZREMRANGEBYRANK": write(4, 1, 1, 1, fZero), "ZREMRANGEBYSCORE": write(4, 1, 1, 1, fZero).with((*call).byScore),
		"ZPOPMIN": write(-2, 1, 1, 1, fNil).with((*call).zpop), "ZPOPMAX": write(-2, 1, 1, 1, fNil).with((*call).zpop),
		"ZMPOP":       write(-4, 0, 0, 0, fNil).keyed(counted(1)),
		"BZMPOP":      write(-5, 0, 0, 0, fNil).keyed(counted(2)).with((*call).blockingMpop),
		"BZPOPMIN":    write(-3, 1, -2, 1, fNil).with((*call).blockingPop),
		"BZPOPMAX":    write(-3, 1, -2, 1, fNil).with((*call).blockingPop),
		"ZUNIONSTORE": write(-4, 0, 0, 0, 0).keyed(counted(2, 1)).with((*call).store),
		"ZINTERSTORE": write(-4, 0, 0, 0, 0).keyed(counted(2, 1)).with((*call).store),
		"ZDIFFSTORE":  write(-4, 0, 0, 0, 0).keyed(counted(2, 1)).with((*call).zdiffstore),
		"ZRANGESTORE": write(-5, 1, 2, 1, 0).with((*call).zrangestore),
	}
	for _, name := range []string{"ZREVRANGE", "ZRANGEBYLEX", "ZRANGEBYSCORE", "ZREVRANGEBYLEX", "ZREVRANGEBYSCORE"} {
		m[name] = read(-4, 1, 1, 1)
	}
	m["ZRANGEBYSCORE"].run, m["ZREVRANGEBYSCORE"].run = (*call).byScore, (*call).byScore
	return m
}

func geoCommands() map[string]*spec {
	return map[string]*spec{
		"GEODIST": read(-4, 1, 1, 1), "GEOPOS": read(-2, 1, 1, 1), "GEOSEARCH": read(-7, 1, 1, 1),
		"GEORADIUS_RO": read(-6, 1, 1, 1), "GEORADIUSBYMEMBER_RO": read(-5, 1, 1, 1),
		"GEORADIUS": write(-6, 1, 1, 1, 0).keyed(storeKeys).with((*call).georadius), "GEORADIUSBYMEMBER": write(-5, 1, 1, 1, 0).keyed(storeKeys).with((*call).georadius),
		"GEOADD": write(-5, 1, 1, 1, 0).with((*call).geoadd),
	}
}
