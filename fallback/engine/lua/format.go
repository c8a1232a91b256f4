package lua

import (
	"fmt"
	"math"
	"strings"
)

// stringFormat is string.format, with C's rules.
func stringFormat(l *State, args []Value) []Value {
	form := l.CheckString(args, 1)
	var out strings.Builder
	arg := 1
	for i := 0; i < len(form); i++ {
		if form[i] != '%' {
			out.WriteByte(form[i])
			continue
		}
		if i++; i < len(form) && form[i] == '%' {
			out.WriteByte('%')
			continue
		}
		if arg++; len(args) < arg {
			l.ArgError(arg, "no value")
		}
		flags := len(form[i:]) - len(strings.TrimLeft(form[i:], "-+ #0"))
		width := numberLen(form[i+flags:])
		end := i + flags + width
		precision := 0
		if strings.HasPrefix(form[end:], ".") {
			precision = numberLen(form[end+1:])
			end += 1 + precision
		}
		if flags > 5 {
			l.Errorf("invalid format (repeated flags)")
		}
		if width > 2 || precision > 2 {
			l.Errorf("invalid format (width or precision too long)")
		}
		verb := byte(0)
		if end < len(form) {
			verb = form[end]
		}
		formatOne(l, &out, args, arg, form[i:end], verb)
		i = end
	}
	l.charge(out.Len())
	return l.Return(out.String())
}

// numberLen counts the digits that s begins with.
func numberLen(s string) int { return len(s) - len(strings.TrimLeft(s, "0123456789")) }

// formatOne appends one argument. spec is flags, width and precision.
func formatOne(l *State, out *strings.Builder, args []Value, arg int, spec string, verb byte) {
	switch verb {
	case 'c':
		pad(out, spec, string([]byte{byte(ToInteger(l.CheckNumber(args, arg)))}))
	case 'd', 'i':
		fmt.Fprintf(out, "%"+spec+"d", ToInteger(l.CheckNumber(args, arg)))
	case 'o', 'u', 'x', 'X':
		if verb == 'u' {
			verb = 'd'
		}
		f := l.CheckNumber(args, arg)
		n := uint64(ToInteger(f))
		if f >= math.MaxInt64 {
			n = uint64(f)
		}
		fmt.Fprintf(out, "%"+strings.Trim(spec, "+ ")+string(verb), n)
	case 'e', 'E', 'f', 'g', 'G':
		f := l.CheckNumber(args, arg)
		if math.IsInf(f, 0) || math.IsNaN(f) {
			notFinite(out, spec, f)
			return
		}
		if !strings.Contains(spec, ".") {
			spec += ".6" // Go's %g prints all digits
		}
		fmt.Fprintf(out, "%"+spec+string(verb), f)
	case 'q':
		quoteLua(out, l.CheckString(args, arg))
	case 's':
		pad(out, spec, l.CheckString(args, arg))
	default:
		l.Errorf("invalid option '%%%s' to 'format'", string([]byte{verb}))
	}
}

// pad appends a string by its bytes, where Go counts letters.
func pad(out *strings.Builder, spec, s string) {
	flags := len(spec) - len(strings.TrimLeft(spec, "-+ #0"))
	var width, precision int
	head, tail, cut := strings.Cut(spec[flags:], ".")
	_, _ = fmt.Sscan(head, &width) // none is 0
	_, _ = fmt.Sscan(tail, &precision)
	if cut {
		s = s[:min(precision, len(s))]
	}
	fill := strings.Repeat(" ", max(width-len(s), 0))
	if strings.Contains(spec[:flags], "-") {
		s, fill = s+fill, ""
	}
	out.WriteString(fill + s)
}

func notFinite(out *strings.Builder, spec string, f float64) {
	s := "inf"
	if math.IsNaN(f) {
		s = "nan"
	}
	switch {
	case math.IsInf(f, -1), math.IsNaN(f) && math.Signbit(f):
		s = "-" + s
	case strings.Contains(spec, "+"):
		s = "+" + s
	}
	spec, _, _ = strings.Cut(spec, ".")
	pad(out, spec, s)
}

func quoteLua(out *strings.Builder, s string) {
	out.WriteByte('"')
	for i := 0; i < len(s); i++ {
		switch c := s[i]; c {
		case '"', '\\', '\n':
			out.WriteString("\\" + string(c))
		case '\r':
			out.WriteString(`\r`)
		case 0:
			out.WriteString(`\000`)
		default:
			out.WriteByte(c)
		}
	}
	out.WriteByte('"')
}
