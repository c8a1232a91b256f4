package engine

import (
	"math"
	"math/big"
	"strconv"
	"strings"
)

// parseInt parses an integer as strictly as Redis: no plus sign, no spaces, no
// leading zeros.
func parseInt(s string) (int64, bool) {
	if s == "" || len(s) > 20 {
		return 0, false
	}
	digits := strings.TrimPrefix(s, "-")
	if digits == "" || digits[0] < '0' || digits[0] > '9' || (digits[0] == '0' && s != "0") {
		return 0, false
	}
	n, err := strconv.ParseInt(s, 10, 64)
	return n, err == nil
}

// parseScore parses a float as Redis does for scores, increments and places.
func parseScore(s string) (float64, bool) {
	f, ok := parseDouble(s)
	if !ok || s == "" || strings.ContainsAny(s[:1], " \t\n\v\f\r") {
		return 0, false
	}
	if f == 0 && strings.ContainsAny(s, "123456789abcdfABCDF") && !zeroDigits(s) {
		return 0, false // too small for a double
	}
	if math.IsInf(f, 0) && !strings.ContainsAny(s, "iI") {
		return 0, false // too large for one
	}
	return f, true
}

// zeroDigits reports whether all digits before the exponent are zeros.
func zeroDigits(s string) bool {
	mantissa := strings.TrimPrefix(strings.TrimPrefix(strings.ToLower(strings.TrimLeft(s, "+-")), "0x"), "0X")
	if !strings.HasPrefix(strings.ToLower(strings.TrimLeft(s, "+-")), "0x") {
		mantissa, _, _ = strings.Cut(mantissa, "e")
	} else {
		mantissa, _, _ = strings.Cut(mantissa, "p")
	}
	return strings.Trim(mantissa, "0.") == ""
}

// parseDouble parses what C's strtod takes whole, but for NaN.
func parseDouble(s string) (float64, bool) {
	s = strings.TrimLeft(s, " \t\n\v\f\r")
	if strings.Contains(s, "_") {
		return 0, false
	}
	digits := strings.ToLower(strings.TrimLeft(s, "+-"))
	if strings.HasPrefix(digits, "0x") && !strings.Contains(digits, "p") {
		s += "p0"
	}
	f, err := strconv.ParseFloat(s, 64)
	if err != nil && !math.IsInf(f, 0) || math.IsNaN(f) {
		return 0, false
	}
	return f, true
}

// parseLong parses a float as Redis does for INCRBYFLOAT: a long double, here
// with its 64 bits of precision.
func parseLong(s string) (*big.Float, bool) {
	if s == "" || strings.ContainsAny(s, " _\t\n\v\f\r\x00") || len(s) > 256 {
		return nil, false
	}
	digits := strings.TrimLeft(s, "+-")
	sign := s[:len(s)-len(digits)]
	digits = strings.ToLower(digits)
	if digits == "inf" || digits == "infinity" {
		return new(big.Float).SetInf(sign == "-"), len(sign) < 2
	}
	base := 10
	if strings.HasPrefix(digits, "0x") {
		base = 0
		if !strings.Contains(digits, "p") {
			s += "p0"
		}
	} else if strings.ContainsAny(digits, "p") {
		return nil, false
	}
	f, _, err := big.ParseFloat(s, base, 64, big.ToNearestEven)
	return f, err == nil
}

// formatLong prints a long double as Redis does: 17 decimals without trailing
// zeros.
func formatLong(f *big.Float) string {
	s := f.Text('f', 17)
	s = strings.TrimRight(strings.TrimRight(s, "0"), ".")
	if s == "-0" || s == "" {
		return "0"
	}
	return s
}

// addLong adds a float argument to an old value; its error text is old's when
// that is no number.
func addLong(old, by, oldErr string) (string, string) {
	a, ok := parseLong(old)
	if !ok {
		return "", oldErr
	}
	b, ok := parseLong(by)
	if !ok {
		return "", "ERR value is not a valid float"
	}
	if a.IsInf() || b.IsInf() {
		return "", "ERR increment would produce NaN or Infinity"
	}
	return formatLong(new(big.Float).SetPrec(64).Add(a, b)), ""
}
