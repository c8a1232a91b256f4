package engine

import "strings"

// geoQuery is a parsed search.
type geoQuery struct {
	z                     *zset
	search                bool // GEOSEARCH and GEOSEARCHSTORE
	center                place
	radius, width, height float64 // in units
	unit                  float64 // in m
	box                   bool

	from, by                      string // which of FROM… and BY… was given
	withDist, withHash, withCoord bool
	order                         int // 1 nearest first, -1 farthest first, 0 none
	count                         int64
	any                           bool
	storing                       bool
	store                         string
	storeDist                     bool
}

// geoQuery parses the search that args describe; ok is false after an error.
func (c *call) geoQuery() (q *geoQuery, ok bool) {
	name, readOnly := strings.CutSuffix(strings.ToUpper(c.args[0]), "_RO")
	key, rest := c.args[1], c.args[2:]
	q = &geoQuery{search: strings.HasPrefix(name, "GEOSEARCH"), unit: 1}
	storing := name == "GEOSEARCHSTORE"
	if storing {
		q.storing, q.store, key, rest = true, c.args[1], c.args[2], c.args[3:]
	}
	if q.z, ok = objectAt[*zset](c, key); !ok {
		return nil, false
	}
	switch name {
	case "GEORADIUS":
		if q.center, ok = c.place(rest[0], rest[1]); !ok || !q.circle(c, rest[2], rest[3]) {
			return nil, false
		}
		rest = rest[4:]
	case "GEORADIUSBYMEMBER":
		if q.z != nil && (!q.member(c, rest[0]) || !q.circle(c, rest[1], rest[2])) {
			return nil, false
		}
		rest = rest[3:]
	}
	for len(rest) > 0 {
		n := q.option(c, rest, storing, readOnly)
		if n == 0 {
			return nil, false
		}
		rest = rest[n:]
	}
	if !q.complete(c, storing) {
		return nil, false
	}
	if q.count > 0 && q.order == 0 && !q.any {
		q.order = 1
	}
	return q, true
}

// option reads one option and returns how many arguments it has; 0 after an error.
func (q *geoQuery) option(c *call, args []string, storing, readOnly bool) int {
	left := len(args) - 1
	switch opt := strings.ToUpper(args[0]); {
	case opt == "WITHDIST":
		q.withDist = true
	case opt == "WITHHASH":
		q.withHash = true
	case opt == "WITHCOORD":
		q.withCoord = true
	case opt == "ANY":
		q.any = true
	case opt == "ASC":
		q.order = 1
	case opt == "DESC":
		q.order = -1
	case opt == "COUNT" && left >= 1:
		n, isInt := parseInt(args[1])
		if !isInt {
			c.fail(errNotInt)
			return 0
		}
		if n <= 0 {
			c.fail("ERR COUNT must be > 0")
			return 0
		}
		q.count = n
		return 2
	case (opt == "STORE" || opt == "STOREDIST") && left >= 1 && !readOnly && !q.search:
		q.storing, q.store, q.storeDist = true, args[1], opt == "STOREDIST"
		return 2
	case opt == "STOREDIST" && storing:
		q.storeDist = true
	case q.search:
		return q.shape(c, opt, args)
	default:
		c.fail(errSyntax)
		return 0
	}
	return 1
}

// shape reads the options that only GEOSEARCH has.
func (q *geoQuery) shape(c *call, opt string, args []string) int {
	left, ok := len(args)-1, true
	switch {
	case opt == "FROMMEMBER" && left >= 1 && q.from != "FROMLONLAT":
		if q.from = opt; q.z != nil && !q.member(c, args[1]) {
			return 0
		}
		return 2
	case opt == "FROMLONLAT" && left >= 2 && q.from != "FROMMEMBER":
		q.from = opt
		if q.center, ok = c.place(args[1], args[2]); !ok {
			return 0
		}
		return 3
	case opt == "BYRADIUS" && left >= 2 && q.by != "BYBOX":
		if q.by = opt; !q.circle(c, args[1], args[2]) {
			return 0
		}
		return 3
	case opt == "BYBOX" && left >= 3 && q.by != "BYRADIUS":
		if q.by = opt; !q.rectangle(c, args[1:4]) {
			return 0
		}
		return 4
	}
	c.fail(errSyntax)
	return 0
}

// member makes the place of a member the center.
func (q *geoQuery) member(c *call, m string) bool {
	score, there := q.z.score(m)
	if !there {
		c.fail("ERR could not decode requested zset member")
		return false
	}
	q.center = geoDecode(score)
	return true
}

func (q *geoQuery) circle(c *call, radius, unit string) (ok bool) {
	if q.radius, ok = parseScore(radius); !ok {
		c.fail("ERR need numeric radius")
		return false
	}
	if q.radius < 0 {
		c.fail("ERR radius cannot be negative")
		return false
	}
	q.unit, ok = c.unit(unit)
	return ok
}

func (q *geoQuery) rectangle(c *call, args []string) (ok bool) {
	if q.width, ok = parseScore(args[0]); !ok {
		c.fail("ERR need numeric width")
		return false
	}
	if q.height, ok = parseScore(args[1]); !ok {
		c.fail("ERR need numeric height")
		return false
	}
	if q.width < 0 || q.height < 0 {
		c.fail("ERR height or width cannot be negative")
		return false
	}
	q.box = true
	q.unit, ok = c.unit(args[2])
	return ok
}

// complete checks what options need each other.
func (q *geoQuery) complete(c *call, storing bool) bool {
	switch {
	case q.storing && (q.withDist || q.withHash || q.withCoord):
		who := "STORE option in GEORADIUS"
		if storing {
			who = "GEOSEARCHSTORE"
		}
		c.fail("ERR " + who + " is not compatible with WITHDIST, WITHHASH and WITHCOORD options")
	case q.search && q.from == "":
		c.fail("ERR exactly one of FROMMEMBER or FROMLONLAT can be specified for " + c.args[0])
	case q.search && q.by == "":
		c.fail("ERR exactly one of BYRADIUS and BYBOX can be specified for " + c.args[0])
	case q.any && q.count == 0:
		c.fail("ERR the ANY argument requires COUNT argument")
	default:
		return true
	}
	return false
}
