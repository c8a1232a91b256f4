package datadir

// EscapeGlob makes a prefix literal in a MATCH pattern.
func EscapeGlob(prefix string) string {
	out := make([]byte, 0, len(prefix))
	for i := 0; i < len(prefix); i++ {
		switch prefix[i] {
		case '*', '?', '[', ']', '\\', '^':
			out = append(out, '\\')
		}
		out = append(out, prefix[i])
	}
	return string(out)
}
