package engine

import (
	"encoding/binary"
	"math"
	"math/bits"
	"strings"
)

// HyperLogLogs are strings in Redis's own format, so that GET, SET, dumps and
// the server's estimate agree with it: runs while they are short, then registers.

const (
	hllRegisters = 1 << 14
	hllHeader    = 16
	hllDense     = hllHeader + hllRegisters*6/8
	errNotHLL    = "WRONGTYPE Key is not a valid HyperLogLog string value."
	errBadHLL    = "INVALIDOBJ Corrupted HLL object detected"
)

func hllCommands() map[string]*spec {
	return map[string]*spec{
		"PFADD":   write(-2, 1, 1, 1, fZero).with((*call).pfadd),
		"PFCOUNT": read(-2, 1, -1, 1).with((*call).pfcount),
		"PFMERGE": write(-2, 1, -1, 1, 0).with((*call).pfmerge),
	}
}

// hllGet reads the registers of a key; found is false for an absent one, and ok
// is false after an error.
func (c *call) hllGet(key string) (reg []byte, found, ok bool) {
	reg = make([]byte, hllRegisters)
	s, found, ok := c.stringAt(key)
	if !ok || !found {
		return reg, false, ok
	}
	if len(s) < hllHeader || !strings.HasPrefix(s, "HYLL") || s[4] > 1 || s[4] == 0 && len(s) != hllDense {
		c.fail(errNotHLL)
		return nil, false, false
	}
	if s[4] == 1 {
		ok = hllSparse(s[hllHeader:], reg)
	} else {
		ok = true
		for i := range reg {
			at, shift := hllHeader+i*6/8, uint(i*6%8)
			b := uint(s[at]) >> shift
			if shift > 2 {
				b |= uint(s[at+1]) << (8 - shift)
			}
			reg[i] = byte(b & 63)
		}
	}
	if !ok {
		c.fail(errBadHLL)
	}
	return reg, true, ok
}

// hllSparse reads the run-length form.
func hllSparse(s string, reg []byte) bool {
	at := 0
	for i := 0; i < len(s); i++ {
		run, val := int(s[i]&63)+1, byte(0)
		switch {
		case s[i]&0x80 != 0:
			run, val = int(s[i]&3)+1, s[i]>>2&31+1
		case s[i]&0x40 != 0:
			if i+1 >= len(s) {
				return false
			}
			run = int(s[i]&63)<<8 | int(s[i+1])
			run++
			i++
		}
		if at+run > len(reg) {
			return false
		}
		for ; run > 0; run-- {
			reg[at] = val
			at++
		}
	}
	return at == len(reg)
}

// hllPut stores registers, keeping the key's deadline: as runs while they are short,
// as Redis does, and never as runs again once they were not.
func (c *call) hllPut(key string, reg []byte) {
	old, found, _ := c.stringAt(key)
	b := make([]byte, hllHeader, hllDense)
	copy(b, "HYLL")
	b[15] = 0x80 // the cached estimate is not valid
	dense := found && old[4] == 0
	if !dense {
		b[4] = 1
		b, dense = hllRuns(b, reg, int(c.e.limits.sparse))
	}
	if dense {
		b = b[:hllDense]
		clear(b[hllHeader:])
		b[4] = 0
		hllPack(b, reg)
	}
	c.changeString(key, string(b), "pfadd", formRaw)
}

// hllRuns appends the run-length form; dense says that it would be longer than most.
func hllRuns(b, reg []byte, most int) (out []byte, dense bool) {
	for at := 0; at < len(reg); {
		n, v := 1, reg[at]
		for at+n < len(reg) && reg[at+n] == v {
			n++
		}
		at += n
		switch {
		case v > 32 || len(b) > hllHeader+most:
			return b, true
		case v > 0:
			for ; n > 0; n -= 4 {
				b = append(b, 0x80|(v-1)<<2|byte(min(n, 4)-1))
			}
		case n > 64:
			b = append(b, 0x40|byte((n-1)>>8), byte(n-1))
		default:
			b = append(b, byte(n-1))
		}
	}
	return b, len(b) > hllHeader+most
}

// hllPack writes the dense form behind the header.
func hllPack(b, reg []byte) {
	for i, v := range reg {
		at, shift := hllHeader+i*6/8, uint(i*6%8)
		b[at] |= v << shift
		if shift > 2 {
			b[at+1] |= v >> (8 - shift)
		}
	}
}

func (c *call) pfadd() {
	reg, found, ok := c.hllGet(c.args[1])
	if !ok {
		return
	}
	changed := !found
	for _, el := range c.args[2:] {
		h := murmur64([]byte(el))
		i := h & (hllRegisters - 1)
		n := byte(bits.TrailingZeros64(h>>14|1<<50)) + 1
		if n > reg[i] {
			reg[i], changed = n, true
		}
	}
	if !changed {
		c.integer(0)
		return
	}
	c.hllPut(c.args[1], reg)
	c.integer(1)
}

// hllUnion merges the registers of keys.
func (c *call) hllUnion(keys []string) ([]byte, bool) {
	all := make([]byte, hllRegisters)
	for _, key := range keys {
		c.spend(hllRegisters / 8)
		reg, _, ok := c.hllGet(key)
		if !ok {
			return nil, false
		}
		for i, v := range reg {
			all[i] = max(all[i], v)
		}
	}
	return all, true
}

func (c *call) pfcount() {
	if reg, ok := c.hllUnion(c.args[1:]); ok {
		c.integer(hllEstimate(reg))
	}
}

func (c *call) pfmerge() {
	if reg, ok := c.hllUnion(c.args[1:]); ok {
		c.hllPut(c.args[1], reg)
		c.ok()
	}
}

// hllEstimate is the estimator of O. Ertl that Redis uses.
func hllEstimate(reg []byte) int64 {
	const m, q = float64(hllRegisters), 50
	var hist [64]float64
	for _, v := range reg {
		hist[v]++
	}
	z := m * hllTau((m-hist[q+1])/m)
	for j := q; j >= 1; j-- {
		z = (z + hist[j]) * 0.5
	}
	z += m * hllSigma(hist[0]/m)
	return int64(math.Round(0.721347520444481703680 * m * m / z))
}

func hllSigma(x float64) float64 {
	if x == 1 {
		return math.Inf(1)
	}
	y, z := 1.0, x
	for {
		x *= x
		old := z
		z += x * y
		y += y
		if z == old {
			return z
		}
	}
}

func hllTau(x float64) float64 {
	if x == 0 || x == 1 {
		return 0
	}
	y, z := 1.0, 1-x
	for {
		x = math.Sqrt(x)
		old := z
		y *= 0.5
		z -= (1 - x) * (1 - x) * y
		if z == old {
			return z / 3
		}
	}
}

// murmur64 is MurmurHash64A with the seed of Redis's HyperLogLog.
func murmur64(b []byte) uint64 {
	const m, r, seed = uint64(0xc6a4a7935bd1e995), 47, uint64(0xadc83b19)
	h := seed ^ uint64(len(b))*m
	for ; len(b) >= 8; b = b[8:] {
		k := binary.LittleEndian.Uint64(b) * m
		k ^= k >> r
		h = (h ^ k*m) * m
	}
	if len(b) > 0 {
		var tail [8]byte
		copy(tail[:], b)
		h = (h ^ binary.LittleEndian.Uint64(tail[:])) * m
	}
	h = (h ^ h>>r) * m
	return h ^ h>>r
}
