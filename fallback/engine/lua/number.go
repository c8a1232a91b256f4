package lua

import (
	"math"
	"strconv"
	"strings"
)

// FormatNumber prints a float as C's %.<digits>g.
func FormatNumber(f float64, digits int) string {
	if f == float64(int64(f)) && f < 1e14 && f > -1e14 && !(f == 0 && math.Signbit(f)) {
		return strconv.FormatInt(int64(f), 10)
	}
	switch {
	case math.IsInf(f, 1):
		return "inf"
	case math.IsInf(f, -1):
		return "-inf"
	case f != f && math.Signbit(f):
		return "-nan"
	case f != f:
		return "nan"
	}
	s := strconv.FormatFloat(f, 'g', digits, 64)
	mantissa, exp, hasExp := strings.Cut(s, "e")
	if strings.Contains(mantissa, ".") {
		mantissa = strings.TrimRight(strings.TrimRight(mantissa, "0"), ".")
	}
	if hasExp {
		return mantissa + "e" + exp
	}
	return mantissa
}

// ToString is a string, or a number as a string.
func ToString(v Value) (string, bool) {
	switch t := v.(type) {
	case string:
		return t, true
	case float64:
		return FormatNumber(t, 14), true
	}
	return "", false
}

// ToNumber is a number, or a string that reads as one.
func ToNumber(v Value) (float64, bool) {
	switch t := v.(type) {
	case float64:
		return t, true
	case string:
		return ParseNumber(t)
	}
	return 0, false
}

const spaces = " \t\n\v\f\r"

// ParseNumber reads what C's strtod does, and hexadecimal integers.
func ParseNumber(s string) (float64, bool) {
	s, _, _ = strings.Cut(s, "\x00") // where a string of C ends
	s = strings.Trim(s, spaces)
	if strings.Contains(s, "_") {
		return 0, false
	}
	switch digits := strings.ToLower(strings.TrimLeft(s, "+-")); {
	case digits == "nan" && len(s) <= 4:
		return math.Copysign(math.NaN(), map[bool]float64{true: -1, false: 1}[s[0] == '-']), true
	case strings.HasPrefix(digits, "0x") && !strings.Contains(digits, "p"):
		s += "p0"
	}
	f, err := strconv.ParseFloat(s, 64)
	return f, err == nil || math.IsInf(f, 0) // out of range is no error in C
}

// ToInteger cuts off a float's fraction as C does on the usual machines.
func ToInteger(f float64) int64 {
	if f != f || f >= math.MaxInt64 || f <= math.MinInt64 {
		return math.MinInt64
	}
	return int64(f)
}
