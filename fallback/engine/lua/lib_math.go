package lua

import "math"

// mathLib has no random: that is Redis's own.
func mathLib() *Table {
	one := func(fn func(float64) float64) Native {
		return func(l *State, args []Value) []Value { return l.Return(Number(fn(l.CheckNumber(args, 1)))) }
	}
	two := func(fn func(x, y float64) float64) Native {
		return func(l *State, args []Value) []Value {
			y := l.CheckNumber(args, 2) // C's compilers look at it first
			return l.Return(Number(fn(l.CheckNumber(args, 1), y)))
		}
	}
	t := library(map[string]Native{
		"abs": one(math.Abs), "acos": one(math.Acos), "asin": one(math.Asin), "atan": one(math.Atan), "ceil": one(math.Ceil),
		"cos": one(math.Cos), "cosh": one(math.Cosh), "exp": one(math.Exp), "floor": one(math.Floor), "log": one(math.Log),
		"log10": one(math.Log10), "sin": one(math.Sin), "sinh": one(math.Sinh), "sqrt": one(math.Sqrt), "tan": one(math.Tan),
		"tanh": one(math.Tanh),
		"deg":  one(func(x float64) float64 { return x / (math.Pi / 180) }), "rad": one(func(x float64) float64 { return x * (math.Pi / 180) }),
		"atan2": two(math.Atan2), "fmod": two(math.Mod), "mod": two(math.Mod), "pow": two(math.Pow),
		"ldexp": two(func(x, e float64) float64 { return math.Ldexp(x, int(int32(ToInteger(e)))) }),
		"frexp": func(l *State, args []Value) []Value {
			frac, exp := math.Frexp(l.CheckNumber(args, 1))
			return l.Return(Number(frac), Number(float64(exp)))
		},
		"modf": func(l *State, args []Value) []Value {
			whole, frac := math.Modf(l.CheckNumber(args, 1))
			if math.IsInf(whole, 0) {
				frac = 0
			}
			return l.Return(Number(whole), Number(frac))
		},
		"max": func(l *State, args []Value) []Value {
			return extreme(l, args, func(a, b float64) bool { return a > b })
		},
		"min": func(l *State, args []Value) []Value {
			return extreme(l, args, func(a, b float64) bool { return a < b })
		},
	})
	t.Set("pi", math.Pi)
	t.Set("huge", math.Inf(1))
	return t
}

func extreme(l *State, args []Value, better func(a, b float64) bool) []Value {
	best := l.CheckNumber(args, 1)
	for i := range args {
		if f := l.CheckNumber(args, i+1); better(f, best) {
			best = f
		}
	}
	return l.Return(Number(best))
}

// bitLib is Lua BitOp, on 32 bits.
func bitLib() *Table {
	arg := func(l *State, args []Value, i int) uint32 { return toBits(l.CheckNumber(args, i)) }
	result := func(l *State, x uint32) []Value { return l.Return(Number(float64(int32(x)))) }
	fold := func(op func(a, b uint32) uint32) Native {
		return func(l *State, args []Value) []Value {
			x := arg(l, args, 1)
			for i := 2; i <= len(args); i++ {
				x = op(x, arg(l, args, i))
			}
			return result(l, x)
		}
	}
	shift := func(op func(a, n uint32) uint32) Native {
		return func(l *State, args []Value) []Value {
			x := arg(l, args, 1)
			return result(l, op(x, arg(l, args, 2)&31))
		}
	}
	one := func(op func(a uint32) uint32) Native {
		return func(l *State, args []Value) []Value { return result(l, op(arg(l, args, 1))) }
	}
	return library(map[string]Native{
		"band": fold(func(a, b uint32) uint32 { return a & b }), "bor": fold(func(a, b uint32) uint32 { return a | b }),
		"bxor":  fold(func(a, b uint32) uint32 { return a ^ b }),
		"tobit": one(func(a uint32) uint32 { return a }), "bnot": one(func(a uint32) uint32 { return ^a }),
		"bswap":  one(func(a uint32) uint32 { return a>>24 | a>>8&0xff00 | a<<8&0xff0000 | a<<24 }),
		"lshift": shift(func(a, n uint32) uint32 { return a << n }), "rshift": shift(func(a, n uint32) uint32 { return a >> n }),
		"arshift": shift(func(a, n uint32) uint32 { return uint32(int32(a) >> n) }),
		"rol":     shift(func(a, n uint32) uint32 { return a<<n | a>>(32-n) }),
		"ror":     shift(func(a, n uint32) uint32 { return a>>n | a<<(32-n) }),
		"tohex":   bitToHex,
	})
}

// toBits rounds a number to an integer and takes its low bits, with the arithmetic
// on doubles that the library in Redis uses.
func toBits(f float64) uint32 {
	return uint32(math.Float64bits(f + 6755399441055744.0))
}

func bitToHex(l *State, args []Value) []Value {
	x, n := toBits(l.CheckNumber(args, 1)), int32(8)
	if len(args) > 1 {
		n = int32(toBits(l.CheckNumber(args, 2)))
	}
	digits := "0123456789abcdef"
	if n < 0 {
		if n, digits = -n, "0123456789ABCDEF"; n < 0 {
			n = 8 // of the smallest number
		}
	}
	out := make([]byte, min(n, 8))
	for i := len(out) - 1; i >= 0; i-- {
		out[i] = digits[x&15]
		x >>= 4
	}
	return l.Return(string(out))
}
