package engine

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
)

// Places are members of sorted sets; the score is a geohash of 52 bits, in which the
// bits of the latitude and of the longitude alternate.

const (
	geoLat      = 85.05112878 // the square that is covered
	geoLon      = 180.0
	geoStep     = 26
	earthRadius = 6372797.560856 // in m
)

func geoCommands() map[string]*spec {
	m := map[string]*spec{
		"GEOADD": write(-5, 1, 1, 1, 0).with((*call).geoadd), "GEODIST": read(-4, 1, 1, 1).with((*call).geodist),
		"GEOPOS": read(-2, 1, 1, 1).with((*call).geopos), "GEOHASH": read(-2, 1, 1, 1).with((*call).geohash),
		"GEOSEARCH": read(-7, 1, 1, 1).with((*call).geosearch), "GEOSEARCHSTORE": write(-8, 1, 2, 1, 0).with((*call).geosearch),
	}
	for _, name := range []string{"GEORADIUS", "GEORADIUSBYMEMBER"} {
		arity := -6
		if name != "GEORADIUS" {
			arity = -5
		}
		m[name] = write(arity, 1, 1, 1, 0).keyed(storeKeys).with((*call).geosearch)
		m[name+"_RO"] = read(arity, 1, 1, 1).with((*call).geosearch)
	}
	return m
}

// place is a place on earth, in degrees.
type place struct{ lon, lat float64 }

// geoCell is the number of a cell, whose sides are 1/2^26 of the ranges.
func geoCell(p place, lat float64) uint64 {
	const cells = 1 << geoStep
	y := uint32((p.lat + lat) / (2 * lat) * cells)
	x := uint32((p.lon + geoLon) / (2 * geoLon) * cells)
	return spread(y) | spread(x)<<1
}

// spread puts a zero before each bit.
func spread(v uint32) uint64 {
	x := uint64(v)
	for _, s := range []struct {
		by   uint
		mask uint64
	}{{16, 0x0000ffff0000ffff}, {8, 0x00ff00ff00ff00ff}, {4, 0x0f0f0f0f0f0f0f0f}, {2, 0x3333333333333333}, {1, 0x5555555555555555}} {
		x = (x | x<<s.by) & s.mask
	}
	return x
}

// squeeze takes every second bit.
func squeeze(x uint64) (v uint32) {
	for i := range 32 {
		v |= uint32(x>>(2*i)&1) << i
	}
	return v
}

// geoDecode is the middle of the cell that a score stands for.
func geoDecode(score float64) place {
	bits := uint64(score)
	middle := func(v uint32, low, size float64) float64 {
		from := low + float64(v)/(1<<geoStep)*size
		to := low + float64(v+1)/(1<<geoStep)*size
		return (from + to) / 2
	}
	p := place{middle(squeeze(bits>>1), -geoLon, 2*geoLon), middle(squeeze(bits), -geoLat, 2*geoLat)}
	return place{max(-geoLon, min(geoLon, p.lon)), max(-geoLat, min(geoLat, p.lat))}
}

func radians(deg float64) float64 { return deg * (math.Pi / 180) }

func latDistance(a, b float64) float64 { return earthRadius * math.Abs(radians(b)-radians(a)) }

// distance is that of two places in m, by the haversine formula.
func distance(a, b place) float64 {
	v := math.Sin((radians(b.lon) - radians(a.lon)) / 2)
	if v == 0 {
		return latDistance(a.lat, b.lat)
	}
	u := math.Sin((radians(b.lat) - radians(a.lat)) / 2)
	return 2 * earthRadius * math.Asin(math.Sqrt(u*u+math.Cos(radians(a.lat))*math.Cos(radians(b.lat))*v*v))
}

// place parses a longitude and a latitude.
func (c *call) place(lon, lat string) (p place, ok bool) {
	for i, arg := range []string{lon, lat} {
		f, isFloat := parseScore(arg)
		if !isFloat {
			c.fail("ERR value is not a valid float")
			return p, false
		}
		*[]*float64{&p.lon, &p.lat}[i] = f
	}
	if math.Abs(p.lon) > geoLon || math.Abs(p.lat) > geoLat {
		inf := strings.NewReplacer("+Inf", "inf", "-Inf", "-inf")
		c.fail(inf.Replace(fmt.Sprintf("ERR invalid longitude,latitude pair %f,%f", p.lon, p.lat)))
		return p, false
	}
	return p, true
}

// unit is the length of a unit in m.
func (c *call) unit(arg string) (float64, bool) {
	units := map[string]float64{"m": 1, "km": 1000, "ft": 0.3048, "mi": 1609.34}
	f, ok := units[strings.ToLower(arg)]
	if !ok {
		c.fail("ERR unsupported unit provided. please use M, KM, FT, MI")
	}
	return f, ok
}

// geoadd is ZADD with the scores of places.
func (c *call) geoadd() {
	i := 2
	var nx, xx bool
options:
	for ; i < len(c.args); i++ {
		switch strings.ToUpper(c.args[i]) {
		case "NX":
			nx = true
		case "XX":
			xx = true
		case "CH":
		default:
			break options
		}
	}
	if (len(c.args)-i)%3 != 0 || nx && xx {
		c.fail(errSyntax)
		return
	}
	args := append([]string{"ZADD"}, c.args[1:i]...)
	for ; i < len(c.args); i += 3 {
		p, ok := c.place(c.args[i], c.args[i+1])
		if !ok {
			return
		}
		args = append(args, strconv.FormatUint(geoCell(p, geoLat), 10), c.args[i+2])
	}
	given := c.args
	c.args = args
	c.zadd()
	c.args = given
}

// places are those of the members that args names from the third on; nil for one that
// does not exist.
func (c *call) places(members []string) (out []*place, ok bool) {
	z, ok := objectAt[*zset](c, c.args[1])
	if !ok {
		return nil, false
	}
	for _, m := range members {
		if score, there := z.score(m); there {
			p := geoDecode(score)
			out = append(out, &p)
			continue
		}
		out = append(out, nil)
	}
	return out, true
}

func (c *call) geodist() {
	unit := 1.0
	if len(c.args) > 5 {
		c.fail(errSyntax)
		return
	}
	if len(c.args) == 5 {
		var ok bool
		if unit, ok = c.unit(c.args[4]); !ok {
			return
		}
	}
	p, ok := c.places(c.args[2:4])
	if !ok {
		return
	}
	r := c.buf()
	if p[0] == nil || p[1] == nil {
		r.null()
	} else {
		r.bulk(strconv.FormatFloat(distance(*p[0], *p[1])/unit, 'f', 4, 64))
	}
	c.reply = r.b
}

// coordinate writes a double as Redis does a long double for people.
func (r *replyBuf) coordinate(f float64) {
	s := strconv.FormatFloat(f, 'f', 17, 64)
	s = strings.TrimRight(strings.TrimRight(s, "0"), ".")
	if s == "-0" {
		s = "0"
	}
	if r.v3 {
		r.b = append(append(append(r.b, ','), s...), '\r', '\n')
		return
	}
	r.bulk(s)
}

func (c *call) geopos() {
	places, ok := c.places(c.args[2:])
	if !ok {
		return
	}
	r := c.buf()
	r.array(len(places))
	for _, p := range places {
		if p == nil {
			r.nullArray()
			continue
		}
		r.array(2)
		r.coordinate(p.lon)
		r.coordinate(p.lat)
	}
	c.reply = r.b
}

// geohash answers geohashes as others write them: over the whole range of latitudes.
func (c *call) geohash() {
	const letters = "0123456789bcdefghjkmnpqrstuvwxyz"
	places, ok := c.places(c.args[2:])
	if !ok {
		return
	}
	r := c.buf()
	r.array(len(places))
	for _, p := range places {
		if p == nil {
			r.null()
			continue
		}
		bits, text := geoCell(*p, 90), make([]byte, 11)
		for i := range 10 {
			text[i] = letters[bits>>(52-5*(i+1))&31]
		}
		text[10] = '0' // there are no bits left for it
		r.bulk(string(text))
	}
	c.reply = r.b
}

// geoHit is a member that a search found.
type geoHit struct {
	n    *znode
	at   place
	dist float64 // in m
}

// geosearch is GEOSEARCH, GEOSEARCHSTORE, GEORADIUS and GEORADIUSBYMEMBER.
func (c *call) geosearch() {
	q, ok := c.geoQuery()
	if !ok {
		return
	}
	if !q.storing {
		c.noEffect()
	}
	hits := q.run(c)
	r := c.buf()
	if q.storing {
		out := newZset()
		for _, h := range hits {
			score := h.n.score
			if q.storeDist {
				score = h.dist / q.unit
			}
			out.put(h.n.member, score, &c.e.limits)
		}
		event := "georadiusstore"
		if q.search {
			event = "geosearchstore"
		}
		c.store(q.store, out, event)
		c.integer(int64(len(hits)))
		return
	}
	r.array(len(hits))
	for _, h := range hits {
		q.reply(r, h)
	}
	c.reply = r.b
}

func (q *geoQuery) reply(r *replyBuf, h geoHit) {
	n := 1
	for _, with := range []bool{q.withDist, q.withHash, q.withCoord} {
		if with {
			n++
		}
	}
	if n > 1 {
		r.array(n)
	}
	r.bulk(h.n.member)
	if q.withDist {
		r.bulk(strconv.FormatFloat(h.dist/q.unit, 'f', 4, 64))
	}
	if q.withHash {
		r.integer(int64(h.n.score))
	}
	if q.withCoord {
		r.array(2)
		r.coordinate(h.at.lon)
		r.coordinate(h.at.lat)
	}
}

// run looks at the members of the squares around the center.
func (q *geoQuery) run(c *call) (hits []geoHit) {
	if q.z == nil {
		return nil
	}
	for _, a := range q.areas() {
		from, to := a.scores()
		n, _ := q.z.seek(func(n *znode) bool { return n.score >= from })
		for ; n != nil && n.score < to && !q.enough(hits); n = n.after() {
			c.spend(8)
			if h, ok := q.hit(n); ok {
				hits = append(hits, h)
			}
		}
	}
	if q.order != 0 {
		slices.SortStableFunc(hits, func(a, b geoHit) int {
			c.spend(1)
			return q.order * cmp.Compare(a.dist, b.dist)
		})
	}
	if q.count > 0 && int64(len(hits)) > q.count {
		hits = hits[:q.count]
	}
	return hits
}

func (q *geoQuery) enough(hits []geoHit) bool { return q.any && int64(len(hits)) >= q.count }

// hit reports whether a member is in the shape.
func (q *geoQuery) hit(n *znode) (h geoHit, ok bool) {
	h = geoHit{n: n, at: geoDecode(n.score)}
	if q.box && (latDistance(q.center.lat, h.at.lat) > q.height*q.unit/2 ||
		distance(h.at, place{q.center.lon, h.at.lat}) > q.width*q.unit/2) {
		return h, false
	}
	h.dist = distance(q.center, h.at)
	return h, q.box || h.dist <= q.radius*q.unit
}
