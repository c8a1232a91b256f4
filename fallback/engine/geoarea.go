package engine

import "math"

// mercatorMax is half of the earth's extent in the projection, in m.
const mercatorMax = 20037726.37

// geoArea is a square of cells that are named by their first 2*step bits.
type geoArea struct {
	x, y uint32 // its place among the squares of its size
	step uint
}

func geoAreaOf(p place, step uint) geoArea {
	bits := geoCell(p, geoLat) >> (2 * (geoStep - step))
	return geoArea{squeeze(bits >> 1), squeeze(bits), step}
}

// move is the square so many to the east and to the north; the world is a ring both ways.
func (a geoArea) move(east, north int) geoArea {
	mask := uint32(1)<<a.step - 1
	a.x, a.y = (a.x+uint32(east))&mask, (a.y+uint32(north))&mask
	return a
}

// scores are the least score in the square and the least behind it.
func (a geoArea) scores() (from, to float64) {
	bits := spread(a.y) | spread(a.x)<<1
	shift := 2 * (geoStep - a.step)
	return float64(bits << shift), float64((bits + 1) << shift)
}

// edges are the south-western and the north-eastern corner.
func (a geoArea) edges() (low, high place) {
	n := float64(uint32(1) << a.step)
	low = place{-geoLon + 2*geoLon*float64(a.x)/n, -geoLat + 2*geoLat*float64(a.y)/n}
	return low, place{low.lon + 2*geoLon/n, low.lat + 2*geoLat/n}
}

// steps is how fine the squares are of which nine cover the search.
func (q *geoQuery) steps(radius float64) uint {
	if radius == 0 {
		return geoStep
	}
	step := 1
	for ; radius < mercatorMax; radius *= 2 {
		step++
	}
	step -= 2
	if lat := math.Abs(q.center.lat); lat > 80 { // squares are narrow at the poles
		step -= 2
	} else if lat > 66 {
		step--
	}
	return uint(max(1, min(step, geoStep)))
}

// bounds is the box around what is searched.
func (q *geoQuery) bounds() (low, high place) {
	height, width := q.radius*q.unit, q.radius*q.unit
	if q.box {
		height, width = q.height*q.unit/2, q.width*q.unit/2
	}
	degrees := func(rad float64) float64 { return rad / (math.Pi / 180) }
	lat := degrees(height / earthRadius)
	widest := q.center.lat + lat
	if q.center.lat < 0 {
		widest = q.center.lat - lat
	}
	lon := degrees(width / earthRadius / math.Cos(radians(widest)))
	return place{q.center.lon - lon, q.center.lat - lat}, place{q.center.lon + lon, q.center.lat + lat}
}

// areas are the squares to look at: that of the center first, then those around it.
func (q *geoQuery) areas() []geoArea {
	radius := q.radius * q.unit
	if q.box {
		radius = math.Hypot(q.width/2, q.height/2) * q.unit
	}
	low, high := q.bounds()
	step := q.steps(radius)
	mid := geoAreaOf(q.center, step)
	_, north := mid.move(0, 1).edges()
	south, _ := mid.move(0, -1).edges()
	_, east := mid.move(1, 0).edges()
	west, _ := mid.move(-1, 0).edges()
	if step > 1 && (north.lat < high.lat || south.lat > low.lat || east.lon < high.lon || west.lon > low.lon) {
		step--
		mid = geoAreaOf(q.center, step)
	}
	from, to := mid.edges()
	var out []geoArea
	for _, d := range [][2]int{{0, 0}, {0, 1}, {0, -1}, {1, 0}, {-1, 0}, {1, 1}, {-1, 1}, {1, -1}, {-1, -1}} {
		east, north := d[0], d[1]
		if step >= 2 && (north < 0 && from.lat < low.lat || north > 0 && to.lat > high.lat ||
			east < 0 && from.lon < low.lon || east > 0 && to.lon > high.lon) {
			continue
		}
		// Few and large squares are their own neighbours.
		if a := mid.move(east, north); len(out) == 0 || out[len(out)-1] != a {
			out = append(out, a)
		}
	}
	return out
}
